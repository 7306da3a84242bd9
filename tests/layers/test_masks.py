"""Masks as functions of positions."""

from __future__ import annotations

import copy
import pickle

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clearhead.layers.masks import (
    CAUSAL,
    MASKS,
    SIZED_MASKS,
    Mask,
    anticausal,
    causal,
    causal_window,
    full,
    looks_ahead,
    prefix,
    prefix_lm,
    square,
    window,
)

SIZE = 7
CPU = torch.device("cpu")


def seen(mask: Mask) -> Tensor:
    return square(mask, SIZE, CPU)


masks = st.recursive(
    st.one_of(
        st.sampled_from([full(), causal(), anticausal()]),
        st.integers(0, 8).map(window),
        st.integers(0, 8).map(prefix),
    ),
    lambda inner: st.builds(lambda one, other, both: one & other if both else one | other, inner, inner, st.booleans()),
    max_leaves=4,
)


def test_each_mask_of_the_menu_by_hand() -> None:
    by_hand = {
        "full": (full(), lambda q, k: True),
        "causal": (causal(), lambda q, k: k <= q),
        "anticausal": (anticausal(), lambda q, k: k >= q),
        "window": (window(2), lambda q, k: abs(q - k) <= 2),
        "causal_window": (causal_window(2), lambda q, k: q - 2 <= k <= q),
        "prefix": (prefix_lm(3), lambda q, k: k < 3 or k <= q),
    }
    assert by_hand.keys() == MASKS.keys() | SIZED_MASKS.keys()
    for mask, allows in by_hand.values():
        assert seen(mask).tolist() == [[allows(q, k) for k in range(SIZE)] for q in range(SIZE)]


@given(masks, masks)
def test_masks_compose_as_sets(one: Mask, other: Mask) -> None:
    assert torch.equal(seen(one & other), seen(one) & seen(other))
    assert torch.equal(seen(one | other), seen(one) | seen(other))
    assert torch.equal(seen((one | other) & one), seen(one))


@given(masks, st.integers(1, SIZE))
def test_a_mask_knows_positions_not_places(mask: Mask, start: int) -> None:
    """A block of late queries sees what those rows of the whole square see, as in generation with a cache."""
    positions = torch.arange(SIZE)
    assert torch.equal(mask(positions[start:, None], positions[None]), seen(mask)[start:])


def test_masks_are_equal_by_what_they_compute_also_after_a_copy() -> None:
    assert causal() == CAUSAL
    assert causal() != anticausal()
    for mask in (causal(), window(3) & causal()):
        for again in (copy.deepcopy(mask), pickle.loads(pickle.dumps(mask))):
            assert torch.equal(seen(again), seen(mask))
    assert copy.deepcopy(causal()) == CAUSAL
    assert pickle.loads(pickle.dumps(causal())) == CAUSAL


@given(masks)
def test_a_mask_looks_ahead_where_a_query_sees_a_later_key(mask: Mask) -> None:
    assert looks_ahead(mask) == any(mask(torch.tensor(q), torch.tensor(k)) for q in range(12) for k in range(q + 1, 12))
