"""Torch's optimizers, with weight decay where it belongs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clearhead.training.optimizers import build_optimizer, parameter_groups
from clearhead.training.spec import OptimizerSpec


class Tied(nn.Module):
    """An embedding used twice, a norm and a frozen matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.norm = nn.LayerNorm(3)
        self.decoder = nn.Linear(3, 5)
        self.decoder.weight = self.embedding.weight
        self.frozen = nn.Linear(3, 3, bias=False).requires_grad_(False)


def test_only_matrices_decay_and_a_tied_one_once() -> None:
    model = Tied()
    matrices, vectors = parameter_groups(model, 0.1)
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    assert [id(parameter) for parameter in matrices["params"]] == [id(model.embedding.weight)]
    assert {parameter.shape for parameter in vectors["params"]} == {torch.Size([3]), torch.Size([5])}


def one_step(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, gradients: torch.Tensor) -> None:
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()


def test_adamw_is_the_papers() -> None:
    parameter = nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3))
    expected = parameter.detach().clone()
    gradients = torch.randn(4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    module = nn.Module()
    module.register_parameter("weight", parameter)
    one_step(build_optimizer(module, OptimizerSpec(weight_decay=0.1, betas=(0.8, 0.95)), 0.01), parameter, gradients)
    first, second = torch.zeros_like(expected), torch.zeros_like(expected)
    for t, gradient in enumerate(gradients, 1):
        first = 0.8 * first + 0.2 * gradient
        second = 0.95 * second + 0.05 * gradient**2
        step = (first / (1 - 0.8**t)) / ((second / (1 - 0.95**t)).sqrt() + 1e-8)
        expected = expected - 0.01 * (step + 0.1 * expected)
    torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_keeps_a_velocity(nesterov: bool) -> None:
    parameter = nn.Parameter(torch.ones(2, 3, dtype=torch.float64))
    expected = parameter.detach().clone()
    gradients = torch.randn(4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    module = nn.Module()
    module.register_parameter("weight", parameter)
    spec = OptimizerSpec(name="sgd", momentum=0.9, nesterov=nesterov, weight_decay=0.0)
    one_step(build_optimizer(module, spec, 0.1), parameter, gradients)
    velocity = torch.zeros_like(expected)
    for gradient in gradients:
        velocity = 0.9 * velocity + gradient
        expected = expected - 0.1 * (gradient + 0.9 * velocity if nesterov else velocity)
    torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=1e-12)
