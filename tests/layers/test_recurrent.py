"""The LSTM over a stream. Torch's own: tests/parity."""

from __future__ import annotations

import pytest
import torch

from clearhead.batches.layout import Layout
from clearhead.evaluation.probes import influence
from clearhead.layers.recurrent import LSTM

LENGTHS = torch.tensor([4, 1, 6])


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_state_has_read_its_own_side_and_its_own_token_only(backward: bool, packed: bool) -> None:
    layout = Layout(LENGTHS, 6, packed)
    torch.manual_seed(0)
    lstm = LSTM(3, 5, backward=backward).double()
    matrix = influence(lambda x: lstm(x, layout), torch.randn(layout.tokens, 3))[layout.real][:, layout.real]
    where, place = layout.sequence_ids[layout.real], layout.position_ids[layout.real]
    side = place[:, None] <= place if backward else place[:, None] >= place
    expected = side & (where[:, None] == where)
    assert torch.equal(matrix > 0, expected)


def test_backward_is_forward_on_the_reversed_stream() -> None:
    layout = Layout(LENGTHS, 6, packed=True)
    forward, backward = LSTM(3, 5).double(), LSTM(3, 5, backward=True).double()
    backward.load_state_dict(forward.state_dict())
    x = torch.randn(layout.tokens, 3, dtype=torch.float64)
    turned = layout.reverse(forward(layout.reverse(x), layout))
    torch.testing.assert_close(backward(x, layout), turned, rtol=0, atol=1e-14)


def test_it_can_be_differentiated_twice() -> None:
    layout = Layout(torch.tensor([3, 1]), 3, packed=True)
    lstm = LSTM(2, 2, backward=True).double()
    x = torch.randn(layout.tokens, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: lstm(x, layout), x)


def test_it_runs_under_bf16_autocast_in_its_own_precision() -> None:
    layout = Layout(LENGTHS, 6, packed=True)
    lstm = LSTM(3, 5)
    x = torch.randn(layout.tokens, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = lstm(x.bfloat16(), layout)
    torch.testing.assert_close(states, lstm(x.bfloat16().float(), layout))
