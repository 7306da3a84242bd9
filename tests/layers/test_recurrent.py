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


@pytest.mark.parametrize("cell_size", [None, 9])
def test_steps_and_reads_are_the_whole_run(cell_size: int | None) -> None:
    torch.manual_seed(0)
    layout = Layout(torch.tensor([4, 4]), 4, packed=True)
    lstm = LSTM(3, 5, cell_size=cell_size).double()
    x = torch.randn(layout.tokens, 3, dtype=torch.float64)
    whole = layout.grid(lstm(x, layout))  # (2, 4, 5)
    state = lstm.start(2)
    for place in range(4):
        output, state = lstm.step(layout.grid(x)[:, place], state)
        torch.testing.assert_close(output, whole[:, place], rtol=0, atol=1e-14)
    read, last = lstm.read(x, layout)
    torch.testing.assert_close(read, layout.flat(whole), rtol=0, atol=1e-14)
    for one, other in zip(last, state, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-14)


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_read_ends_at_the_last_token_and_not_at_a_pad(packed: bool) -> None:
    torch.manual_seed(0)
    layout = Layout(LENGTHS, 6, packed)
    lstm = LSTM(3, 5).double()
    x = torch.randn(layout.tokens, 3, dtype=torch.float64)
    read, (hidden, _) = lstm.read(x, layout)
    whole = layout.grid(lstm(x, layout))
    torch.testing.assert_close(layout.take_real(read), whole[layout.real_grid], rtol=0, atol=1e-14)
    torch.testing.assert_close(hidden, whole[torch.arange(3), LENGTHS - 1], rtol=0, atol=1e-14)


def test_the_projected_cell_recurs_through_its_projection() -> None:
    """Sak et al. 2014, eq. 1-7, without peepholes, a token at a time."""
    torch.manual_seed(0)
    lstm = LSTM(3, 2, cell_size=4).double()
    w = lstm.cell.state_dict()
    x = torch.randn(5, 3, dtype=torch.float64)
    hidden, cell, expected = torch.zeros(2).double(), torch.zeros(4).double(), []
    for one in x:
        gates = w["weight_ih_l0"] @ one + w["bias_ih_l0"] + w["weight_hh_l0"] @ hidden + w["bias_hh_l0"]
        i, f, g, o = gates.chunk(4)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = w["weight_hr_l0"] @ (torch.sigmoid(o) * torch.tanh(cell))
        expected.append(hidden)
    layout = Layout(torch.tensor([5]), 5, packed=True)
    torch.testing.assert_close(lstm(x, layout), torch.stack(expected), rtol=0, atol=1e-14)
