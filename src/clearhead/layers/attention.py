"""Attention within each sequence of a stream: a fused path, and a slow twin whose weights can be watched."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.layout import Layout
from clearhead.layers.cache import Cache
from clearhead.layers.masks import CAUSAL, FULL, Mask, square
from clearhead.layers.positions import Alibi, Rotary
from clearhead.layers.scores import Cosine, DotProduct, Score

Bias = Callable[[int, torch.dtype, torch.device], Tensor]


def attention(
    qkv: Tensor,
    layout: Layout,
    *,
    mask: Mask = FULL,
    scale: float | None = None,
    bias: Bias | None = None,
    blocked: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(scale q k^T + bias) v for each sequence: (N, 3, H, d) -> (N, H, d) (Vaswani et al. 2017, eq. 1).

    `scale` None is 1 / sqrt(d). `bias(length, ...)` gives (H, length, length). `blocked` (N,) is True where no query
    may see the key. A query that may see no key gets zeros. `dropout` falls on the weights. The sequences run through
    torch's fused kernel in the groups of the layout.
    """
    blocks = []
    hidden = [None] * len(layout.groups) if blocked is None else layout.fold(blocked)  # (b, t) each
    for block, group, out in zip(layout.fold(qkv), layout.groups, hidden, strict=True):
        query, key, value = (part.transpose(1, 2) for part in block.unbind(2))  # (b, H, t, d) each
        plain = bias is None and mask == CAUSAL and out is None
        seen = None
        if not plain:
            allowed = without(out, may_see(mask, group.real, query.shape[-2], query.device))
            seen = kernel_mask(allowed, None if bias is None else bias(query.shape[-2], query.dtype, query.device))
        mixed = F.scaled_dot_product_attention(query, key, value, seen, dropout, is_causal=plain, scale=scale)
        blocks.append(mixed.transpose(1, 2))  # (b, t, H, d)
    return layout.unfold(blocks)


def kernel_mask(allowed: Tensor | None, bias: Tensor | None) -> Tensor | None:
    """What the kernel takes: None, bool (True: seen), or the bias with -inf where nothing is seen."""
    if bias is None:
        return allowed
    return bias if allowed is None else bias.masked_fill(~allowed, -math.inf)


def may_see(mask: Mask, real: Tensor | None, length: int, device: torch.device) -> Tensor | None:
    """Which query may see which key, (b or 1, 1, t or 1, t) bool, None for all; `real` (b, t) is False at pads.

    Behind the causal mask no real query sees a pad, since pads come last.
    """
    allowed = None if mask == FULL else square(mask, length, device)[None, None]
    if real is None or mask == CAUSAL:
        return allowed
    return without(~real, allowed)


def without(blocked: Tensor | None, allowed: Tensor | None) -> Tensor | None:
    """`allowed` less the keys that are `blocked` (b, s) for every query."""
    if blocked is None:
        return allowed
    keys = ~blocked[:, None, None, :]
    return keys if allowed is None else allowed & keys


class AttentionWeights(nn.Module):
    """softmax over the keys that may be seen: scores (B, H, T, S) -> weights of the same shape, for hooks to watch."""

    def forward(self, scores: Tensor, allowed: Tensor | None) -> Tensor:
        if allowed is None:
            return scores.softmax(-1)
        lowest = torch.finfo(scores.dtype).min  # finite, so that a query that sees nothing gives 0, not NaN
        return scores.masked_fill(~allowed, lowest).softmax(-1).masked_fill(~allowed, 0.0)


def mix(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    score: Score,
    weights: AttentionWeights,
    dropout: nn.Dropout,
    fused: bool,
    allowed: Tensor | None,
    bias: Tensor | None = None,
) -> Tensor:
    """softmax(score + bias) v: query (B, H, T, d), key and value (B, H, S, d) -> (B, H, T, d).

    In the open, unless it is `fused` and the score is a product; then `weights` puts out (B, H, T, S), before the
    `dropout` that falls on it in training.
    """
    if fused and score.scale is not None:
        rate = dropout.p if dropout.training else 0.0
        seen = kernel_mask(allowed, bias)
        return F.scaled_dot_product_attention(query, key, value, seen, rate, scale=score.scale)
    scores = score(query, key)  # (B, H, T, S)
    if bias is not None:
        scores = scores + bias
    mixed: Tensor = dropout(weights(scores, allowed)) @ value
    return mixed


class MultiHeadAttention(nn.Module):
    """(N, D) -> (N, D): H heads of self-attention, W_o [head_1; ...; head_H] (Vaswani et al. 2017, 3.2.2).

    `score` None is the dot product over sqrt(d). `fused=False` computes the same through `self.weights`, whose output
    (B, H, T, T) can be watched and which can be differentiated twice. A score that is no product is computed in the
    open either way; fused, in the groups of the layout. `rotation` and `bias` are those of `Positions`.
    """

    def __init__(
        self,
        hidden_size: int,
        num_attention_heads: int,
        *,
        mask: Mask = FULL,
        score: Score | None = None,
        dropout: float = 0.0,
        fused: bool = True,
        rotation: Rotary | None = None,
        bias: Alibi | None = None,
    ) -> None:
        super().__init__()
        self.heads = num_attention_heads
        self.mask = mask
        self.score = score or DotProduct((hidden_size // num_attention_heads) ** -0.5)
        self.fused = fused
        self.rotation = rotation
        self.bias = bias
        self.projection = nn.Linear(hidden_size, 3 * hidden_size)
        self.weights = AttentionWeights()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, layout: Layout, blocked: Tensor | None = None) -> Tensor:
        """`blocked` (N,) is True where no query may see the key."""
        qkv = self._projected(x, layout.position_ids, layout.longest)  # (N, 3, H, d)
        if self.fused and self.score.scale is not None:
            dropout = self.dropout.p if self.training else 0.0
            mixed = attention(
                qkv,
                layout,
                mask=self.mask,
                scale=self.score.scale,
                bias=self.bias,
                blocked=blocked,
                dropout=dropout,
            )  # (N, H, d)
        else:
            mixed = self._in_the_open(qkv, layout, blocked)
        projected: Tensor = self.output(mixed.flatten(1))
        return projected

    def keys_values(self, x: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """What queries meet of each token: (N, D) -> keys and values, (N, H, d) each."""
        _, key, value = self._projected(x, layout.position_ids, layout.longest).unbind(1)
        return key, value

    def step(self, x: Tensor, cache: Cache, number: int) -> Tensor:
        """The next token of every row, x (R, D), among what its row has written: (R, D). Appends to layer `number`."""
        query, key, value = self._projected(x, cache.places, cache.longest).unbind(1)  # (R, H, d) each
        keys, values = cache.append(number, key, value)  # (G, H, S, d) each
        mixed = mix(
            cache.grouped(query),  # (G, H, k, d)
            keys,
            values,
            score=self.score,
            weights=self.weights,
            dropout=self.dropout,
            fused=self.fused,
            allowed=cache.allowed(self.mask),
            bias=cache.bias(self.bias, query.dtype),
        )
        projected: Tensor = self.output(cache.ungrouped(mixed).flatten(1))
        return projected

    def _projected(self, x: Tensor, places: Tensor, longest: int) -> Tensor:
        qkv: Tensor = self.projection(x).unflatten(-1, (3, self.heads, -1))  # (N, 3, H, d)
        if self.rotation is not None:
            qkv = torch.cat((self.rotation.at(qkv[:, :2], places, longest), qkv[:, 2:]), dim=1)
        if isinstance(self.score, Cosine):
            query, key, value = qkv.unbind(1)
            qkv = torch.stack((self.score.query(query), self.score.key(key), value), dim=1)
        return qkv

    def _in_the_open(self, qkv: Tensor, layout: Layout, blocked: Tensor | None) -> Tensor:
        """`attention` in the open: on the whole grid at once, to be watched, or by groups where nobody watches."""
        if self.fused:
            folded = None if blocked is None else layout.fold(blocked)
            blocks = [
                self._open_block(block, group.real, None if folded is None else folded[number])
                for number, (block, group) in enumerate(zip(layout.fold(qkv), layout.groups, strict=True))
            ]
            return layout.unfold(blocks)
        real = layout.real_grid if layout.has_pads else None
        out = None if blocked is None else layout.grid(blocked)
        return layout.flat(self._open_block(layout.grid(qkv), real, out))

    def _open_block(self, block: Tensor, real: Tensor | None, blocked: Tensor | None) -> Tensor:
        """(b, t, 3, H, d) -> (b, t, H, d)."""
        query, key, value = block.permute(2, 0, 3, 1, 4).unbind()  # (b, H, t, d) each
        length = query.shape[-2]
        mixed = mix(
            query,
            key,
            value,
            score=self.score,
            weights=self.weights,
            dropout=self.dropout,
            fused=False,
            allowed=without(blocked, may_see(self.mask, real, length, query.device)),
            bias=None if self.bias is None else self.bias(length, query.dtype, query.device),
        )
        return mixed.transpose(1, 2)
