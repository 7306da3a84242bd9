"""The feed-forward layer by hand, plain and gated."""

from __future__ import annotations

import pytest
import torch

from clearhead.layers.activations import ACTIVATIONS
from clearhead.layers.feedforward import FEEDFORWARDS, FeedForward, GatedFeedForward, feedforward

X = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_plain_layer_by_hand(name: str) -> None:
    layer = feedforward(6, 7, name).double()
    assert isinstance(layer, FeedForward)
    inner = ACTIVATIONS[name]()(X @ layer.inner.weight.T + layer.inner.bias)
    torch.testing.assert_close(layer(X), inner @ layer.outer.weight.T + layer.outer.bias, rtol=0, atol=1e-14)


def test_swiglu_by_hand() -> None:
    layer = feedforward(6, 7, "swiglu").double()
    assert isinstance(layer, GatedFeedForward)
    gate = X @ layer.gate.weight.T
    expected = (gate / (1 + (-gate).exp()) * (X @ layer.inner.weight.T)) @ layer.outer.weight.T
    torch.testing.assert_close(layer(X), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", FEEDFORWARDS)
def test_a_third_matrix_costs_nothing_where_the_width_is_left_out(name: str) -> None:
    matrices = sum(p.numel() for p in feedforward(48, None, name).parameters() if p.ndim == 2)
    assert matrices == 8 * 48**2
