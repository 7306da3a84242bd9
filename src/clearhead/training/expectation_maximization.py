"""EM as an optimizer: from the gradient of a likelihood to the parameters that the expected counts would choose."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class EM(torch.optim.Optimizer):
    """w = log((c + smoothing) / sum of (c + smoothing)) along the last dimension of each parameter w, a table of
    log-probabilities (Dempster, Laird & Rubin 1977; for HMMs Baum et al. 1970).

    c are the expected counts: minus the gradient of the *summed* negative log-likelihood at w, since
    d log p(x) / d log w = E[times that w is used | x]. `count` is what the sum was divided by before, which matters
    where counts are smoothed. What is impossible (w = -inf) stays so, smoothed or not. A row that is never used and not
    smoothed keeps its values. Where every label is known the counts are plain counts, and one step is the maximum of
    the likelihood.
    """

    def __init__(self, params: Iterable[nn.Parameter], smoothing: float = 0.0) -> None:
        super().__init__(params, {"lr": 1.0, "smoothing": smoothing})
        self.count = 1

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
                weight.copy_(maximised(weight, gradient, self.count, group["smoothing"]))


def maximised(weight: Tensor, gradient: Tensor, count: int, smoothing: float) -> Tensor:
    """The new rows (..., K) in float64, where `gradient` is that of the mean over `count`."""
    counts = (gradient.double() * -count).clamp_min(0) + smoothing * (weight > -math.inf)
    totals = counts.sum(dim=-1, keepdim=True)
    return torch.where(totals > 0, counts.log() - totals.log(), weight.double())
