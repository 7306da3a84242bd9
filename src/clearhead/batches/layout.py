"""`Layout`: where the sequences of a batch lie in its flat stream of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

PADS_IN_A_GROUP = 16  # about what one more call of an attention kernel costs, in tokens


@dataclass(frozen=True, eq=False)
class Layout:
    """B sequences in a stream of N tokens. Dense: N = B * `longest`, pads included; packed: N = the sum of `lengths`.

    Letters in shapes: N tokens of the stream, B sequences, T the longest. What is derived is computed once and kept.
    """

    lengths: Tensor  # (B,) int64
    longest: int
    packed: bool

    @cached_property
    def sizes(self) -> list[int]:
        """`lengths` as plain numbers."""
        sizes: list[int] = self.lengths.tolist()
        return sizes

    @property
    def tokens(self) -> int:
        """N, the length of the stream."""
        return sum(self.sizes) if self.packed else len(self.sizes) * self.longest

    @cached_property
    def has_pads(self) -> bool:
        """Whether the grid (B, T) holds places that are no token."""
        return sum(self.sizes) < len(self.sizes) * self.longest

    @property
    def sequence_ids(self) -> Tensor:
        """The number of the sequence of each token (N,), pads included."""
        return self._places[0]

    @property
    def position_ids(self) -> Tensor:
        """The place of each token in its own sequence, from 0 (N,)."""
        return self._places[1]

    @property
    def real(self) -> Tensor:
        """False at pads (N,)."""
        return self._places[2]

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor, Tensor]:
        with torch.inference_mode(False):  # what is kept may be used in training later
            rows = torch.arange(len(self.sizes), device=self.lengths.device)
            if not self.packed:
                columns = torch.arange(self.longest, device=self.lengths.device)
                real = columns < self.lengths[:, None]  # (B, T)
                return rows.repeat_interleave(self.longest), columns.repeat(len(rows)), real.flatten()
            sequence_ids = rows.repeat_interleave(self.lengths)
            starts = self.lengths.cumsum(0) - self.lengths  # (B,)
            position_ids = torch.arange(len(sequence_ids), device=rows.device) - starts[sequence_ids]
            return sequence_ids, position_ids, torch.ones_like(sequence_ids, dtype=torch.bool)

    @cached_property
    def real_grid(self) -> Tensor:
        """False at pads (B, T)."""
        with torch.inference_mode(False):
            return torch.arange(self.longest, device=self.lengths.device) < self.lengths[:, None]

    @cached_property
    def _slots(self) -> Tensor:
        """The place of each token in the flattened grid (N,)."""
        with torch.inference_mode(False):
            return self.sequence_ids * self.longest + self.position_ids

    @property
    def _stream_is_grid(self) -> bool:
        return not (self.packed and self.has_pads)

    def grid(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """(N, ...) -> (B, T, ...), a row a sequence. Packed: pads hold `fill`; dense: a view, pads as they are."""
        rows = len(self.sizes)
        if self._stream_is_grid:
            return x.reshape(rows, self.longest, *x.shape[1:])
        blank = x.new_full((rows * self.longest, *x.shape[1:]), fill)
        return blank.index_copy(0, self._slots, x).reshape(rows, self.longest, *x.shape[1:])

    def flat(self, grid: Tensor) -> Tensor:
        """(B, T, ...) -> (N, ...): the way back from `grid`."""
        stream = grid.flatten(0, 1)  # (B * T, ...)
        return stream if self._stream_is_grid else stream.index_select(0, self._slots)

    @cached_property
    def _real_places(self) -> Tensor:
        with torch.inference_mode(False):
            return self.real.nonzero().squeeze(1)

    def take_real(self, x: Tensor) -> Tensor:
        """(N, ...) -> (n, ...): the stream without its pads."""
        return x if self.packed or not self.has_pads else x.index_select(0, self._real_places)

    def put_real(self, x: Tensor) -> Tensor:
        """(n, ...) -> (N, ...): the way back from `take_real`, zeros at pads."""
        if self.packed or not self.has_pads:
            return x
        return x.new_zeros((self.tokens, *x.shape[1:])).index_copy(0, self._real_places, x)

    @cached_property
    def _mirror(self) -> Tensor:
        with torch.inference_mode(False):
            last = self.lengths[self.sequence_ids] - 1  # (N,)
            here = torch.arange(self.tokens, device=self.lengths.device)
            return torch.where(self.real, here + last - 2 * self.position_ids, here)

    def reverse(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, ...): every sequence last token first, pads where they were. Its own inverse."""
        return x.index_select(0, self._mirror)

    @cached_property
    def _folding(self) -> Folding:
        with torch.inference_mode(False):
            return _fold(self)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The blocks that `fold` gives, in its order. Dense: one, the grid; packed: sequences of like length."""
        return self._folding.groups

    def fold(self, x: Tensor) -> list[Tensor]:
        """(N, ...) -> a block (b, t, ...) a group; the pads of a block hold some other token's values."""
        groups, gather = self.groups, self._folding.gather
        if gather is not None:
            x = x.index_select(0, gather)  # (sum of b * t, ...)
        parts = torch.split(x, [group.sequences * group.longest for group in groups])
        return [
            part.reshape(group.sequences, group.longest, *x.shape[1:])
            for part, group in zip(parts, groups, strict=True)
        ]

    def unfold(self, blocks: Sequence[Tensor]) -> Tensor:
        """A block (b, t, ...) a group -> (N, ...): the way back from `fold`."""
        parts = [block.flatten(0, 1) for block in blocks]
        x = parts[0] if len(parts) == 1 else torch.cat(parts)
        return x if self._folding.scatter is None else x.index_select(0, self._folding.scatter)


@dataclass(frozen=True, eq=False)
class Group:
    """Sequences of like length as one block (b, t). `real` (b, t) is False at its pads, None where it has none."""

    sequences: int
    longest: int
    real: Tensor | None


@dataclass(frozen=True, eq=False)
class Folding:
    """The groups of a layout, and the indices from the stream to all blocks laid end to end and back (None: as is)."""

    groups: tuple[Group, ...]
    gather: Tensor | None
    scatter: Tensor | None


def _fold(layout: Layout) -> Folding:
    if layout._stream_is_grid:
        group = Group(len(layout.sizes), layout.longest, layout.real_grid if layout.has_pads else None)
        return Folding((group,), None, None)
    device = layout.lengths.device
    sizes = np.array(layout.sizes)
    starts = sizes.cumsum() - sizes
    groups, gathers = [], []
    scatter = np.empty(layout.tokens, np.int64)
    offset = 0
    for members in like_lengths(sizes):
        lengths = sizes[members]  # longest first
        columns = np.arange(lengths[0])
        real = columns < lengths[:, None]  # (b, t)
        gather = np.where(real, starts[members][:, None] + columns, 0)
        scatter[gather[real]] = offset + np.flatnonzero(real)
        offset += gather.size
        gathers.append(gather.reshape(-1))
        groups.append(Group(len(members), len(columns), None if real.all() else torch.from_numpy(real).to(device)))
    gather_all = torch.from_numpy(np.concatenate(gathers)).to(device)
    return Folding(tuple(groups), gather_all, torch.from_numpy(scatter).to(device))


def like_lengths(sizes: np.ndarray, allowed_pads: int = PADS_IN_A_GROUP) -> list[np.ndarray]:
    """The sequences' numbers in groups, longest first, so that padding a group to its longest adds few pads.

    A group takes the next shorter sequence as long as its pads stay within `allowed_pads`.
    """
    order = np.argsort(-sizes, kind="stable")
    groups, first, pads = [], 0, 0
    for place, size in enumerate(sizes[order].tolist()):
        pads += int(sizes[order[first]]) - size
        if pads > allowed_pads:
            groups.append(order[first:place])
            first, pads = place, 0
    return [*groups, order[first:]]
