"""The position-wise feed-forward layer, plain and gated."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.layers.activations import ACTIVATIONS

SWIGLU = "swiglu"
FEEDFORWARDS = (*ACTIVATIONS, SWIGLU)


class FeedForward(nn.Module):
    """(N, D) -> (N, D): W2 f(W1 x + b1) + b2 (Vaswani et al. 2017, arXiv:1706.03762, eq. 2)."""

    def __init__(self, hidden_size: int, intermediate_size: int, activation: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Linear(hidden_size, intermediate_size)
        self.activation = activation
        self.outer = nn.Linear(intermediate_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.outer(self.activation(self.inner(x)))
        return projected


class GatedFeedForward(nn.Module):
    """(N, D) -> (N, D): (silu(x W) * x V) W2, SwiGLU without biases (Shazeer 2020, arXiv:2002.05202, eq. 6)."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.inner = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.outer = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.outer(F.silu(self.gate(x)) * self.inner(x))
        return projected


def feedforward(hidden_size: int, intermediate_size: int | None, name: str) -> FeedForward | GatedFeedForward:
    """The layer by the name of its activation, one of `FEEDFORWARDS`.

    Left out, the inner width is 4 D, and 8 D / 3 where a third matrix is to cost nothing (Shazeer 2020, section 3).
    """
    if name == SWIGLU:
        return GatedFeedForward(hidden_size, intermediate_size or max(1, round(8 * hidden_size / 3)))
    return FeedForward(hidden_size, intermediate_size or 4 * hidden_size, ACTIVATIONS[name]())
