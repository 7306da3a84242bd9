"""Collating sequences of token ids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearhead.batches.batch import collate
from clearhead.errors import InputError

SEQUENCES = [np.array([5, 6, 7], dtype=np.int32), np.array([8], dtype=np.int32), torch.tensor([9, 10])]


def test_packed_is_end_to_end() -> None:
    batch = collate(SEQUENCES, packed=True)
    assert batch.token_ids.tolist() == [5, 6, 7, 8, 9, 10]
    assert batch.token_ids.dtype == torch.int64
    assert (batch.layout.sizes, batch.layout.longest, batch.layout.packed) == ([3, 1, 2], 3, True)
    assert batch.token_type_ids is None
    assert not batch.labels


def test_dense_is_filled_up() -> None:
    batch = collate(SEQUENCES, packed=False, pad=1, longest=4)
    assert batch.token_ids.reshape(3, 4).tolist() == [[5, 6, 7, 1], [8, 1, 1, 1], [9, 10, 1, 1]]
    assert batch.layout.longest == 4
    assert collate(SEQUENCES, packed=False).token_ids.reshape(3, 3).tolist() == [[5, 6, 7], [8, 0, 0], [9, 10, 0]]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=1, max_size=6))
def test_dense_and_packed_hold_the_same_real_tokens(ids: list[list[int]]) -> None:
    sequences = [np.array(one) for one in ids]
    packed, dense = collate(sequences, packed=True), collate(sequences, packed=False)
    assert torch.equal(packed.token_ids, dense.token_ids[dense.layout.real])
    assert packed.layout.sizes == dense.layout.sizes == [len(one) for one in ids]


@pytest.mark.parametrize("packed", [True, False])
def test_the_batch_owns_its_ids(packed: bool) -> None:
    ids = np.array([1, 2, 3])
    batch = collate([ids], packed=packed)
    batch.token_ids[0] = 7
    assert ids[0] == 1


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sequences", [[], [np.array([1]), np.array([], dtype=np.int32)]])
def test_nothing_is_refused(sequences: list[np.ndarray], packed: bool) -> None:
    with pytest.raises(InputError, match="at least one"):
        collate(sequences, packed=packed)


def test_a_row_too_short_is_refused() -> None:
    with pytest.raises(InputError, match="3 tokens does not fit a row of 2"):
        collate(SEQUENCES, packed=False, longest=2)
