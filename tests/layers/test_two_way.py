"""Up to a code and down again, against torch's convolution and its transpose."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearhead.batches.layout import Layout
from clearhead.layers.two_way import TwoWay, windows

LENGTHS = torch.tensor([4, 1, 6])
LAYOUTS = [Layout(LENGTHS, 6, True), Layout(LENGTHS, 7, False)]
EITHER = pytest.mark.parametrize("layout", LAYOUTS, ids=["packed", "dense"])
BELOW, ABOVE = 3, 5


def layer(window: int) -> TwoWay:
    torch.manual_seed(0)
    return TwoWay(BELOW, ABOVE, nn.Sigmoid(), window=window).double()


@EITHER
@pytest.mark.parametrize("window", [1, 3, 5])
def test_up_is_torchs_convolution_and_down_its_transpose(layout: Layout, window: int) -> None:
    two_way = layer(window)
    kernel = two_way.linear.weight.reshape(ABOVE, window, BELOW).transpose(1, 2)  # (ABOVE, BELOW, window)
    x, h = (torch.randn(layout.tokens, size, dtype=torch.float64) for size in (BELOW, ABOVE))
    up, down = (layout.take_real(y).split(layout.sizes) for y in (two_way.scores(x, layout), two_way.down(h, layout)))
    ups, downs = (layout.take_real(y).split(layout.sizes) for y in (x, h))
    for ours, one in zip(up, ups, strict=True):
        theirs = F.conv1d(one.T[None], kernel, two_way.linear.bias, padding=window // 2)[0].T
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)
    for ours, one in zip(down, downs, strict=True):
        theirs = F.conv_transpose1d(one.T[None], kernel, padding=window // 2)[0].T
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)


@EITHER
def test_down_is_the_adjoint_of_up(layout: Layout) -> None:
    two_way = layer(3)
    nn.init.zeros_(two_way.linear.bias)
    x, h = (torch.randn(layout.tokens, size, dtype=torch.float64) * layout.real[:, None] for size in (BELOW, ABOVE))
    left, right = (two_way.scores(x, layout) * h).sum(), (two_way.down(h, layout) * x).sum()
    torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


def test_windows_by_hand() -> None:
    layout = Layout(torch.tensor([2, 1]), 2, packed=False)
    x = torch.tensor([[1.0], [2.0], [3.0], [9.0]])  # the last is a pad
    assert windows(x, layout, 3).tolist() == [[0, 1, 2], [1, 2, 0], [0, 3, 0], [0, 0, 0]]
    assert windows(x, layout, 1) is x
