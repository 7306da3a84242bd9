"""`Pairing`: the sequences of one layout beside those of another, folded together for attention across the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearhead.batches.layout import Layout

CELLS_IN_A_GROUP = 1024  # about what one more call of an attention kernel costs, in pairs of tokens
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PairGroup:
    """b pairs as blocks (b, t) and (b, s). `real` (b, s) is False at pads of the second, None where it has none."""

    pairs: int
    longest: int
    longest_source: int
    real: Tensor | None


@dataclass(frozen=True, eq=False)
class Pairing:
    """Sequence i of `layout` (N tokens) reads sequence i of `source` (M tokens). Either may be packed or dense.

    `groups` are the blocks that `fold` and `fold_source` give: dense, the two grids; else pairs of like lengths.
    """

    layout: Layout
    source: Layout

    @cached_property
    def _folding(self) -> tuple[tuple[PairGroup, ...], Tensor | None, Tensor | None, Tensor | None]:
        """The groups, and the indices that gather all blocks of each stream and scatter those of the first back."""
        with torch.inference_mode(False):
            return _grids(self) if _is_grid(self.layout) and _is_grid(self.source) else _fold(self)

    @property
    def groups(self) -> tuple[PairGroup, ...]:
        return self._folding[0]

    def fold(self, x: Tensor) -> list[Tensor]:
        """(N, ...) -> a block (b, t, ...) a group; pads hold some other token's values."""
        return _blocks(x, self._folding[1], [(group.pairs, group.longest) for group in self.groups])

    def fold_source(self, x: Tensor) -> list[Tensor]:
        """(M, ...) -> a block (b, s, ...) a group; pads hold some other token's values."""
        return _blocks(x, self._folding[2], [(group.pairs, group.longest_source) for group in self.groups])

    def unfold(self, blocks: Sequence[Tensor]) -> Tensor:
        """A block (b, t, ...) a group -> (N, ...): the way back from `fold`."""
        parts = [block.flatten(0, 1) for block in blocks]
        x = parts[0] if len(parts) == 1 else torch.cat(parts)
        return x if self._folding[3] is None else x.index_select(0, self._folding[3])


def _blocks(x: Tensor, gather: Tensor | None, shapes: list[tuple[int, int]]) -> list[Tensor]:
    laid = x if gather is None else x.index_select(0, gather)
    parts = torch.split(laid, [rows * length for rows, length in shapes])
    return [part.reshape(*shape, *x.shape[1:]) for part, shape in zip(parts, shapes, strict=True)]


def _is_grid(layout: Layout) -> bool:
    return not (layout.packed and layout.has_pads)


def _grids(pairing: Pairing) -> tuple[tuple[PairGroup, ...], None, None, None]:
    layout, source = pairing.layout, pairing.source
    real = source.real_grid if source.has_pads else None
    return (PairGroup(len(layout.sizes), layout.longest, source.longest, real),), None, None, None


def _fold(pairing: Pairing) -> tuple[tuple[PairGroup, ...], Tensor, Tensor, Tensor]:
    layout, source = pairing.layout, pairing.source
    device = layout.lengths.device
    sizes = np.array(layout.sizes) if layout.packed else np.full(len(layout.sizes), layout.longest)  # pads answer too
    source_sizes = np.array(source.sizes)
    groups, gathers, source_gathers, offset = [], [], [], 0
    scatter = np.empty(layout.tokens, np.int64)
    for members in like_pairs(sizes, source_sizes):
        gather, real = _gathered(_starts(layout)[members], sizes[members])
        source_gather, source_real = _gathered(_starts(source)[members], source_sizes[members])
        scatter[gather[real]] = offset + np.flatnonzero(real)
        offset += gather.size
        gathers.append(gather.reshape(-1))
        source_gathers.append(source_gather.reshape(-1))
        seen = None if source_real.all() else torch.from_numpy(source_real).to(device)
        groups.append(PairGroup(len(members), gather.shape[1], source_gather.shape[1], seen))
    ways = [torch.from_numpy(np.concatenate(parts)).to(device) for parts in (gathers, source_gathers)]
    return tuple(groups), ways[0], ways[1], torch.from_numpy(scatter).to(device)


def _starts(layout: Layout) -> Places:
    """Where in the stream each sequence begins (B,)."""
    if not layout.packed:
        return np.arange(len(layout.sizes)) * layout.longest
    sizes = np.array(layout.sizes)
    starts: Places = sizes.cumsum() - sizes
    return starts


def _gathered(starts: Places, sizes: Places) -> tuple[Places, NDArray[np.bool_]]:
    """The places of some sequences in the stream as a block (b, t), 0 at pads, and where it is real."""
    columns = np.arange(sizes.max())
    real = columns < sizes[:, None]
    return np.where(real, starts[:, None] + columns, 0), real


def like_pairs(sizes: Places, source_sizes: Places, allowed: int = CELLS_IN_A_GROUP) -> list[Places]:
    """The pairs' numbers in groups, longest first, so that padding a group to its longest adds few cells (t, s).

    A group takes the next pair as long as the cells that are no pair of tokens stay within `allowed`.
    """
    order = np.lexsort((-source_sizes, -sizes))
    groups, first, filled, widest = [], 0, 0, 0
    for place, pair in enumerate(order):
        size, source_size = int(sizes[pair]), int(source_sizes[pair])
        taken = place - first + 1
        widest_now = max(widest, source_size)
        if place > first and taken * int(sizes[order[first]]) * widest_now - filled - size * source_size > allowed:
            groups.append(order[first:place])
            first, filled, widest_now = place, 0, source_size
        filled += size * source_size
        widest = widest_now
    return [*groups, order[first:]]
