"""The position-wise feed-forward layer."""

from __future__ import annotations

from torch import Tensor, nn


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
