"""The task-weighted mix of a trunk's layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ScalarMix(nn.Module):
    """L + 1 layers (N, D) -> (N, D): gamma * sum_j softmax(s)_j h_j (Peters et al. 2018, arXiv:1802.05365, eq. 1).

    It starts as the mean of the layers: s = 0, gamma = 1. `normalize` puts every h_j to mean 0 and variance 1 over its
    features before it is weighted (the same paper, 3.2: layer norm), without weights of its own.
    """

    def __init__(self, layers: int, *, normalize: bool = False) -> None:
        super().__init__()
        self.scalars = nn.Parameter(torch.zeros(layers))  # s
        self.gamma = nn.Parameter(torch.ones(1))
        self.normalize = normalize

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        weights = self.scalars.softmax(dim=0)
        if self.normalize:
            layers = [F.layer_norm(layer, layer.shape[-1:]) for layer in layers]
        mixed = torch.stack([weight * layer for weight, layer in zip(weights, layers, strict=True)]).sum(dim=0)
        return self.gamma * mixed
