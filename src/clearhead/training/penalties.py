"""Penalties: terms of the loss that grow with the weights, and the gradients they add."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def matrices(module: nn.Module) -> list[nn.Parameter]:
    """The trained parameters that are shrunk by decay and penalties: all but vectors (biases, the scales of norms)."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad and parameter.ndim >= 2]


@torch.no_grad()
def add_gradients(penalised: list[nn.Parameter], l1: float, l2: float) -> None:
    """Adds l1 sign(w) + l2 w to the gradient of each w: a subgradient of l1 |w| + l2 / 2 |w|^2, 0 at w = 0."""
    for weight in penalised:
        term: Tensor = weight * l2
        if l1:
            term.add_(weight.sign(), alpha=l1)
        weight.grad = term if weight.grad is None else weight.grad.add_(term)


@torch.no_grad()
def l2_value(penalised: list[nn.Parameter], l2: float) -> float:
    """l2 / 2 |w|^2 over all of them."""
    return l2 / 2 * sum(float(weight.square().sum()) for weight in penalised)
