"""LAMB: Adam's direction, with the length of each matrix's step tied to the length of the matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

EPS = 1e-6


class LAMB(torch.optim.Optimizer):
    """w -= learning_rate |w| / |u| u, u = m / (sqrt(v) + eps) + weight_decay w, m and v Adam's moments without bias
    (You et al. 2019, arXiv:1904.00962, algorithm 2, phi the identity).

    A group that is not `trusted` (vectors) takes the step u itself, as the authors' code does with biases and norms;
    so does a parameter whose |w| or |u| is 0.
    """

    def __init__(self, params: Any, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": 0.0, "trusted": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)

    def _move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"], state["m"], state["v"] = 0, torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        first, second = group["betas"]
        state["m"].lerp_(gradient, 1 - first)
        state["v"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = (state["v"] / (1 - second ** state["step"])).sqrt_().add_(EPS)
        direction = (state["m"] / (1 - first ** state["step"])).div_(spread).add_(weight, alpha=group["weight_decay"])
        trust = 1.0
        if group["trusted"]:
            lengths = float(weight.norm()), float(direction.norm())
            trust = lengths[0] / lengths[1] if all(lengths) else 1.0
        weight.add_(direction, alpha=-group["lr"] * trust)
