"""Rows as users have them: the reference's defaults, or the fault by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clearhead.batches.inputs import from_rows
from clearhead.errors import InputError

IDS = [[2, 7, 8, 3], [2, 9, 3, 0]]
MASK = [[1, 1, 1, 1], [1, 1, 1, 0]]


@pytest.mark.parametrize("as_given", [list, np.array, torch.tensor, lambda x: torch.tensor(x, dtype=torch.int32)])
def test_a_mask_says_where_rows_end(as_given: Any) -> None:
    packed = from_rows(as_given(IDS), as_given(MASK))
    assert packed.token_ids.tolist() == [2, 7, 8, 3, 2, 9, 3]
    assert packed.layout.sizes == [4, 3]
    assert packed.token_type_ids is None
    dense = from_rows(as_given(IDS), as_given(MASK), packed=False, pad=5)
    assert dense.layout.grid(dense.token_ids).tolist() == [[2, 7, 8, 3], [2, 9, 3, 5]]


def test_the_defaults_are_those_of_the_reference() -> None:
    """No mask: all are tokens; no positions: 0..T-1. Given outright, they change nothing."""
    short = from_rows(IDS)
    full = from_rows(IDS, np.ones((2, 4), int), np.zeros((2, 4), int), np.tile(np.arange(4), (2, 1)))
    for batch in (short, full, from_rows(IDS, position_ids=[[0, 1, 2, 3]])):
        assert torch.equal(batch.token_ids, short.token_ids)
        assert torch.equal(batch.layout.position_ids, torch.tensor([0, 1, 2, 3] * 2))
    assert full.token_type_ids is not None
    assert not full.token_type_ids.any()


def test_a_dense_row_keeps_its_width() -> None:
    dense = from_rows([[2, 3, 0, 0]], [[1, 1, 0, 0]], packed=False)
    assert dense.layout.longest == 4


def test_boolean_masks_and_types_go_with_their_tokens() -> None:
    batch = from_rows(IDS, np.array(MASK) == 1, [[0, 0, 1, 1], [0, 1, 1, 1]])
    assert batch.token_type_ids is not None
    assert batch.token_type_ids.tolist() == [0, 0, 1, 1, 0, 1, 1]


@pytest.mark.parametrize(
    ("ids", "mask"), [([[0, 0, 2, 9, 3]], [[0, 0, 1, 1, 1]]), ([[2, 0, 9, 0, 3]], [[1, 0, 1, 0, 1]])]
)
def test_pads_before_and_between_need_positions_that_say_so(ids: list[list[int]], mask: list[list[int]]) -> None:
    with pytest.raises(InputError, match="row 0 has pads before or between its tokens, and the default positions"):
        from_rows(ids, mask)
    places = (np.array(mask).cumsum(1) - 1).clip(0)
    batch = from_rows(ids, mask, position_ids=places)
    assert batch.token_ids.tolist() == [2, 9, 3]
    assert batch.layout.sizes == [3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_ids": [2, 7, 3]}, r"input_ids: expected whole numbers \(B, T\), a row a sequence, got int64 \(3,\)"),
        ({"input_ids": [[2.0, 7.0]]}, "input_ids: expected whole numbers"),
        ({"input_ids": np.zeros((0, 3), int)}, r"input_ids: expected whole numbers .* \(0, 3\)"),
        ({"input_ids": [[2, 7], [3]]}, "input_ids: rows of unlike lengths"),
        ({"attention_mask": [[1, 1]]}, r"attention_mask: its shape \(1, 2\) is not that of input_ids, \(2, 4\)"),
        ({"attention_mask": [[1, 1, 1, 1], [1, 2, 1, 0]]}, "attention_mask: row 1 holds numbers other than 1"),
        ({"attention_mask": [[1, 1, 1, 1], [0, 0, 0, 0]]}, "attention_mask: row 1 has no token"),
        ({"token_type_ids": [[0, 1]]}, "token_type_ids: its shape"),
        ({"position_ids": [[0, 1]]}, "position_ids: its shape"),
        ({"position_ids": [[0, 1, 2, 3], [1, 2, 3, 4]]}, "position_ids: the tokens of row 1 do not stand at 0, 1, 2"),
    ],
)
def test_each_fault_by_its_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_rows(**{"input_ids": IDS, **arguments})
