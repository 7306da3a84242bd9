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


@dataclass(frozen=True, eq=False)
class Batch:
    """A stream of `token_ids` (N,) int64 and its layout. Each of `labels` is (N,), -100 where nothing is asked."""

    token_ids: Tensor
    layout: Layout
    token_type_ids: Tensor | None = None
    labels: Mapping[str, Tensor] = field(default_factory=dict)


def collate(sequences: Sequence[TokenIds], *, packed: bool, pad: int = 0, longest: int | None = None) -> Batch:
    """One batch of sequences of token ids, in the order given; dense rows are filled up with `pad` to `longest`.

    `longest` (None: that of the longest sequence) makes a dense grid wider. Raises `InputError` for no sequences,
    for one without tokens, and for one longer than `longest`.
    """
    rows = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    sizes = [len(row) for row in rows]
    if not rows or 0 in sizes:
        raise InputError("a batch needs at least one sequence, and every sequence at least one token")
    width = max(sizes) if longest is None else longest
    if width < max(sizes):
        raise InputError(f"a sequence of {max(sizes)} tokens does not fit a row of {width}")
    layout = Layout(torch.tensor(sizes), max(sizes) if packed else width, packed)
    if packed:
        return Batch(torch.from_numpy(np.concatenate(rows)), layout)
    grid = np.full((len(rows), width), pad, dtype=np.int64)
    for place, row in zip(grid, rows, strict=True):
        place[: len(row)] = row
    return Batch(torch.from_numpy(grid.reshape(-1)), layout)
