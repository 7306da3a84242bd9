"""`descend` is the plain loop: torch's own optimizer step by step, with a schedule and a clip where asked."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from clearhead.training.descent import descend


def bowl(start: float) -> Tensor:
    return torch.tensor([start], dtype=torch.float64, requires_grad=True)


def test_it_takes_the_steps_of_the_optimizer_it_is_given() -> None:
    w = bowl(1.0)
    losses = descend(torch.optim.SGD([w], 0.25), lambda: (w**2).sum(), 3)
    assert losses == [1.0, 0.25, 0.0625]
    assert w.item() == pytest.approx(0.125)


def test_each_call_of_the_loss_draws_the_next_batch() -> None:
    w = bowl(0.0)
    batches = iter([1.0, 2.0, 4.0])
    losses = descend(torch.optim.SGD([w], 0.0), lambda: (w - next(batches)).square().sum(), 3)
    assert losses == [1.0, 4.0, 16.0]


def test_the_schedule_scales_the_rate_of_every_group() -> None:
    a, b = bowl(0.0), bowl(0.0)
    optimizer = torch.optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 10.0}], 1.0)
    descend(optimizer, lambda: a.sum() + b.sum(), 4, schedule="linear")
    assert a.item() == pytest.approx(-(0.875 + 0.625 + 0.375 + 0.125))
    assert b.item() == pytest.approx(10 * a.item())


def test_a_clip_bounds_the_norm_of_the_whole_gradient() -> None:
    w = bowl(0.0)
    descend(torch.optim.SGD([w], 1.0), lambda: 100 * w.sum(), 2, clip=0.5)
    assert w.item() == pytest.approx(-1.0)


def test_a_loss_that_is_not_finite_ends_it_before_the_weights_are_touched() -> None:
    w = bowl(1.0)
    losses = descend(torch.optim.SGD([w], 1.0), lambda: (w / 0).sum(), 5)
    assert math.isinf(losses[-1]) and len(losses) == 1
    assert w.item() == 1.0
