"""Rows of token ids as users of BERT have them -> `Batch`: right defaults, or one sentence that names the fault."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from clearhead.batches.batch import Batch, Item, collate
from clearhead.errors import InputError

Rows = ArrayLike | Tensor


def from_rows(
    input_ids: Rows,
    attention_mask: Rows | None = None,
    token_type_ids: Rows | None = None,
    position_ids: Rows | None = None,
    *,
    packed: bool = True,
    pad: int = 0,
) -> Batch:
    """The batch of rows (B, T) whose `attention_mask` is 1 at tokens and 0 at pads.

    Left out, as in the code of Devlin et al. 2018: the mask is 1 everywhere, token types are 0, positions 0..T-1. What
    the mask hides is taken out, so its tokens must stand at the positions 0, 1, 2, ... of their row: pads at the left
    and holes need `position_ids` that say so, since the default ones count pads. Raises `InputError`.
    """
    ids = _rows("input_ids", input_ids)
    mask = np.ones_like(ids) if attention_mask is None else _beside("attention_mask", attention_mask, ids)
    if not np.isin(mask, (0, 1)).all():
        raise InputError(
            f"attention_mask: row {_row_of(~np.isin(mask, (0, 1)))} holds numbers other than 1 (token) and 0 (pad)"
        )
    real = mask == 1
    if not real.any(1).all():
        raise InputError(f"attention_mask: row {_row_of(~real.any(1))} has no token; leave that row out")
    _check_positions(position_ids, real)
    types = None if token_type_ids is None else _beside("token_type_ids", token_type_ids, ids)
    items = [
        Item(row[kept], None if types is None else types[number][kept])
        for number, (row, kept) in enumerate(zip(ids, real, strict=True))
    ]
    return collate(items, packed=packed, pad=pad, longest=None if packed else ids.shape[1])


def _rows(name: str, rows: Rows) -> NDArray[np.int64]:
    """(B, T) int64 of what the user gave."""
    try:
        array: NDArray[Any] = np.asarray(rows.detach().cpu() if isinstance(rows, Tensor) else rows)
    except ValueError as fault:
        raise InputError(f"{name}: rows of unlike lengths; fill them up with pads, or use `collate`") from fault
    if array.ndim != 2 or not array.size or array.dtype.kind not in "iub":
        raise InputError(
            f"{name}: expected whole numbers (B, T), a row a sequence, got {array.dtype} {tuple(array.shape)}"
        )
    return array.astype(np.int64)


def _beside(name: str, rows: Rows, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    array = _rows(name, rows)
    if array.shape != ids.shape:
        raise InputError(f"{name}: its shape {array.shape} is not that of input_ids, {ids.shape}")
    return array


def _check_positions(position_ids: Rows | None, real: NDArray[np.bool_]) -> None:
    """Raises unless the tokens of each row stand at 0, 1, 2, ..., which is where a `Layout` puts them."""
    given = np.arange(real.shape[1])[None] if position_ids is None else _rows("position_ids", position_ids)
    if given.shape not in (real.shape, (1, real.shape[1])):
        raise InputError(f"position_ids: its shape {given.shape} is not that of input_ids, {real.shape}")
    wrong = real & (np.broadcast_to(given, real.shape) != real.cumsum(1) - 1)
    if not wrong.any():
        return
    if position_ids is None:
        raise InputError(
            f"attention_mask: row {_row_of(wrong)} has pads before or between its tokens, and the default positions "
            "count pads; put the pads at the end, or give position_ids that count the tokens alone"
        )
    raise InputError(
        f"position_ids: the tokens of row {_row_of(wrong)} do not stand at 0, 1, 2, ...; leave position_ids out"
    )


def _row_of(wrong: NDArray[np.bool_]) -> int:
    """The number of the first row in which something is wrong."""
    return int(np.argwhere(wrong)[0][0])
