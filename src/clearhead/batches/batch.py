"""`Batch`: token ids as one flat stream, with what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearhead.batches.layout import Layout
from clearhead.errors import InputError

TokenIds = NDArray[np.integer[Any]] | Tensor
NOT_ASKED = -100  # the label of a token of which nothing is asked
NO_FEATURE = -1  # fills the rows of tokens that have fewer features than others


@dataclass(frozen=True, eq=False)
class Item:
    """One sequence before it stands in a batch: `token_ids` (n,), and what lies beside them, token by token.

    Each of `labels` is (n,), -100 where nothing is asked; each of `features` is (n, F) ids, -1 where a token has
    fewer. `source` is the sequence that this one is written from (translation).
    """

    token_ids: TokenIds
    token_type_ids: TokenIds | None = None
    labels: Mapping[str, TokenIds] = field(default_factory=dict)
    features: Mapping[str, TokenIds] = field(default_factory=dict)
    source: Item | None = None

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True, eq=False)
class Batch:
    """A stream of `token_ids` (N,) int64 and its layout. Each of `labels` is (N,), -100 where nothing is asked.

    `features` (N, F) int64 hold ids beside the token's own (characters, sparse features), -1 where there is none.
    `source` is the batch that the sequences of this one are written from, in the same order.
    """

    token_ids: Tensor
    layout: Layout
    token_type_ids: Tensor | None = None
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    features: Mapping[str, Tensor] = field(default_factory=dict)
    source: Batch | None = None


def collate(sequences: Sequence[TokenIds | Item], *, packed: bool, pad: int = 0, longest: int | None = None) -> Batch:
    """One batch of sequences, in the order given; dense rows are filled up with `pad` to `longest`.

    All items must hold the same maps. `longest` (None: that of the longest sequence) makes a dense grid wider. Raises
    `InputError` for no sequences, for one without tokens, and for one longer than `longest`.
    """
    items = [sequence if isinstance(sequence, Item) else Item(sequence) for sequence in sequences]
    sizes = [len(item) for item in items]
    if not items or 0 in sizes:
        raise InputError("a batch needs at least one sequence, and every sequence at least one token")
    width = max(sizes) if longest is None else longest
    if width < max(sizes):
        raise InputError(f"a sequence of {max(sizes)} tokens does not fit a row of {width}")
    layout = Layout(torch.tensor(sizes), max(sizes) if packed else width, packed)
    first = items[0]

    def laid(rows: Sequence[Any], fill: int) -> Tensor:
        return _laid([np.asarray(row, dtype=np.int64) for row in rows], None if packed else width, fill)

    return Batch(
        laid([item.token_ids for item in items], pad),
        layout,
        None if first.token_type_ids is None else laid([item.token_type_ids for item in items], 0),
        {name: laid([item.labels[name] for item in items], NOT_ASKED) for name in first.labels},
        {name: laid(_equally_wide([item.features[name] for item in items]), NO_FEATURE) for name in first.features},
        None if first.source is None else _sources(items, packed, pad),
    )


def _laid(rows: list[NDArray[np.int64]], width: int | None, fill: int) -> Tensor:
    """Rows (n, ...) end to end, or each filled up to `width`: (N, ...)."""
    if width is None:
        return torch.from_numpy(np.concatenate(rows))
    grid = np.full((len(rows), width, *rows[0].shape[1:]), fill, dtype=np.int64)
    for place, row in zip(grid, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(grid.reshape(-1, *grid.shape[2:]))


def _equally_wide(rows: Sequence[TokenIds]) -> list[NDArray[np.int64]]:
    arrays = [np.asarray(row, dtype=np.int64) for row in rows]
    widest = max(array.shape[1] for array in arrays)
    return [
        np.pad(array, ((0, 0), (0, widest - array.shape[1])), constant_values=NO_FEATURE)
        if array.shape[1] < widest
        else array
        for array in arrays
    ]


def _sources(items: Sequence[Item], packed: bool, pad: int) -> Batch:
    return collate([item.source for item in items if item.source is not None], packed=packed, pad=pad)
