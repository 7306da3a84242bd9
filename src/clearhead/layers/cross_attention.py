"""Attention from one stream to another: each sequence reads its own source."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clearhead.layers.attention import AttentionWeights, mix, without
from clearhead.layers.cache import Cache
from clearhead.layers.pairing import Pairing
from clearhead.layers.scores import DotProduct, Score


@dataclass(frozen=True, eq=False)
class Source:
    """What is read: `hidden` (M, D), who reads it, and where no query may see the key (M,)."""

    hidden: Tensor
    pairing: Pairing
    blocked: Tensor | None = None


class CrossAttention(nn.Module):
    """(N, D) reading (M, D) -> (N, D): queries from one stream, keys and values from the other (Vaswani et al. 2017,
    3.2.3). Every token of the source may be seen. A query whose source has no key to see mixes zeros.

    `score`, `dropout` and `fused` are those of `MultiHeadAttention`; watched weights are (B, H, T, S).
    """

    def __init__(
        self,
        hidden_size: int,
        num_attention_heads: int,
        *,
        score: Score | None = None,
        dropout: float = 0.0,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.heads = num_attention_heads
        self.score = score or DotProduct((hidden_size // num_attention_heads) ** -0.5)
        self.fused = fused
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key_value = nn.Linear(hidden_size, 2 * hidden_size)
        self.weights = AttentionWeights()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, source: Source) -> Tensor:
        query = self._queries(x)  # (N, H, d)
        key, value = self.keys_values(source.hidden)  # (M, H, d) each
        if not len(key):
            mixed = query * 0
        elif self.fused:
            mixed = self._by_groups(query, torch.stack((key, value), dim=1), source)
        else:
            mixed = self._watched(query, key, value, source)
        projected: Tensor = self.output(mixed.flatten(1))
        return projected

    def keys_values(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What queries meet of each token of the source: (M, D) -> keys and values, (M, H, d) each."""
        key, value = self.key_value(hidden).unflatten(-1, (2, self.heads, -1)).unbind(1)
        return self.score.key(key), value

    def step(self, x: Tensor, cache: Cache, number: int) -> Tensor:
        """One token of every row, x (R, D), reads the source of its group: (R, D)."""
        keys, values = cache.source[number]  # (G, H, S, d) each
        mixed = self._mix(cache.grouped(self._queries(x)), keys, values, cache.source_seen)
        projected: Tensor = self.output(cache.ungrouped(mixed).flatten(1))
        return projected

    def _queries(self, x: Tensor) -> Tensor:
        return self.score.query(self.query(x).unflatten(-1, (self.heads, -1)))

    def _by_groups(self, query: Tensor, key_value: Tensor, source: Source) -> Tensor:
        pairing = source.pairing
        blocked = [None] * len(pairing.groups) if source.blocked is None else pairing.fold_source(source.blocked)
        blocks = []
        for group, asks, told, out in zip(
            pairing.groups, pairing.fold(query), pairing.fold_source(key_value), blocked, strict=True
        ):
            key, value = told.permute(2, 0, 3, 1, 4).unbind()  # (b, H, s, d) each
            allowed = without(out, without(None if group.real is None else ~group.real, None))
            blocks.append(self._mix(asks.transpose(1, 2), key, value, allowed).transpose(1, 2))  # (b, t, H, d)
        return pairing.unfold(blocks)

    def _watched(self, query: Tensor, key: Tensor, value: Tensor, source: Source) -> Tensor:
        """On the whole grids at once."""
        layout, other = source.pairing.layout, source.pairing.source
        asks, keys, values = (
            grid.transpose(1, 2) for grid in (layout.grid(query), other.grid(key), other.grid(value))
        )  # (B, H, T, d), (B, H, S, d) twice
        allowed = without(~other.real_grid if other.has_pads else None, None)
        out = None if source.blocked is None else other.grid(source.blocked)
        return layout.flat(self._mix(asks, keys, values, without(out, allowed)).transpose(1, 2))

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None) -> Tensor:
        return mix(
            query,
            key,
            value,
            score=self.score,
            weights=self.weights,
            dropout=self.dropout,
            fused=self.fused,
            allowed=allowed,
        )
