"""Attention scores: how well a key fits a query.

A score has `query(q)` and `key(k)`, (..., H, d) to the same shape, applied before the tokens meet (a cache keeps what
`key` gives), and is called with query (B, H, T, d) and key (B, H, S, d) for the scores (B, H, T, S). `scale` is the
factor of a dot product that a fused kernel may take over, None where the score is no product.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COSINE_START = 0.1
COSINE_LEAST = 0.01


class DotProduct(nn.Module):
    """scale q . k: scale 1 / sqrt(d) is Vaswani et al. 2017 (arXiv:1706.03762, eq. 1), 1 is Luong et al. 2015."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def query(self, query: Tensor) -> Tensor:
        return query

    def key(self, key: Tensor) -> Tensor:
        return key

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return (query * self.scale) @ key.transpose(-1, -2)


class Cosine(nn.Module):
    """cos(q, k) / temperature (Henry et al. 2020, arXiv:2010.04245, 3).

    `temperature` None is learned, one a head, from 0.1 on and never below 0.01 (Liu et al. 2021, arXiv:2111.09883).
    """

    scale = 1.0

    def __init__(self, num_attention_heads: int, temperature: float | None) -> None:
        super().__init__()
        self.temperature = temperature
        start = torch.full((num_attention_heads, 1), math.log(COSINE_START))
        self.log_temperature = nn.Parameter(start) if temperature is None else None

    def query(self, query: Tensor) -> Tensor:
        unit = F.normalize(query, dim=-1)
        if self.log_temperature is not None:
            return unit / self.log_temperature.exp().clamp(min=COSINE_LEAST)
        return unit if self.temperature is None else unit / self.temperature

    def key(self, key: Tensor) -> Tensor:
        return F.normalize(key, dim=-1)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return query @ key.transpose(-1, -2)


class Additive(nn.Module):
    """v . tanh(q + k) / temperature, a vector v (d,) for each head (Bahdanau et al. 2015, arXiv:1409.0473, A.1.2: the
    projections that make q and k are its W and U). No product, so no fused kernel: (B, H, T, S, d) numbers at once."""

    scale = None

    def __init__(self, num_attention_heads: int, head_size: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.vector = nn.Parameter(torch.empty(num_attention_heads, head_size))
        nn.init.normal_(self.vector, std=head_size**-0.5)

    def query(self, query: Tensor) -> Tensor:
        return query

    def key(self, key: Tensor) -> Tensor:
        return key

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        bent = torch.tanh(query[..., :, None, :] + key[..., None, :, :])  # (B, H, T, S, d)
        v = (self.vector / self.temperature)[:, None, :, None]  # (H, 1, d, 1)
        return (bent @ v).squeeze(-1)


Score = DotProduct | Cosine | Additive


def scaled(num_attention_heads: int, head_size: int, temperature: float | None) -> Score:
    return DotProduct(head_size**-0.5 / (temperature or 1.0))


def plain(num_attention_heads: int, head_size: int, temperature: float | None) -> Score:
    return DotProduct(1.0 / (temperature or 1.0))


def additive(num_attention_heads: int, head_size: int, temperature: float | None) -> Score:
    return Additive(num_attention_heads, head_size, temperature or 1.0)


def cosine(num_attention_heads: int, head_size: int, temperature: float | None) -> Score:
    return Cosine(num_attention_heads, temperature)


SCORES: dict[str, Callable[[int, int, float | None], Score]] = {
    "scaled": scaled,
    "plain": plain,
    "additive": additive,
    "cosine": cosine,
}
