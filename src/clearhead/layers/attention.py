"""Attention within each sequence of a stream: a fused path, and a slow twin whose weights can be watched."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.layout import Layout
from clearhead.layers.masks import CAUSAL, FULL, Mask, square

Bias = Callable[[int, torch.dtype, torch.device], Tensor]


def attention(
    qkv: Tensor, layout: Layout, *, mask: Mask = FULL, scale: float | None = None, bias: Bias | None = None
) -> Tensor:
    """softmax(scale q k^T + bias) v for each sequence: (N, 3, H, d) -> (N, H, d) (Vaswani et al. 2017, eq. 1).

    `scale` None is 1 / sqrt(d). `bias(length, ...)` gives (H, length, length). A query that may see no key gets zeros.
    The sequences run through torch's fused kernel in the groups of the layout.
    """
    blocks = []
    for block, group in zip(layout.fold(qkv), layout.groups, strict=True):
        query, key, value = (part.transpose(1, 2) for part in block.unbind(2))  # (b, H, t, d) each
        plain = bias is None and mask == CAUSAL
        seen = None if plain else _as_kernel_mask(mask, bias, group.real, query)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, is_causal=plain, scale=scale)
        blocks.append(mixed.transpose(1, 2))  # (b, t, H, d)
    return layout.unfold(blocks)


def _as_kernel_mask(mask: Mask, bias: Bias | None, real: Tensor | None, query: Tensor) -> Tensor | None:
    """What the kernel takes: None, bool (True: seen), or the bias with -inf where nothing is seen."""
    allowed = may_see(mask, real, query.shape[-2], query.device)
    if bias is None:
        return allowed
    added = bias(query.shape[-2], query.dtype, query.device)  # (H, t, t)
    return added if allowed is None else added.masked_fill(~allowed, -torch.inf)


def may_see(mask: Mask, real: Tensor | None, length: int, device: torch.device) -> Tensor | None:
    """Which query may see which key, (b or 1, 1, t or 1, t) bool, None for all; `real` (b, t) is False at pads.

    Behind the causal mask no real query sees a pad, since pads come last.
    """
    allowed = None if mask == FULL else square(mask, length, device)[None, None]
    if real is None or mask == CAUSAL:
        return allowed
    keys = real[:, None, None, :]
    return keys if allowed is None else allowed & keys


class AttentionWeights(nn.Module):
    """softmax over the keys that may be seen: scores (B, H, T, T) -> weights of the same shape, for hooks to watch."""

    def forward(self, scores: Tensor, allowed: Tensor | None) -> Tensor:
        if allowed is None:
            return scores.softmax(-1)
        lowest = torch.finfo(scores.dtype).min  # finite, so that a query that sees nothing gives 0, not NaN
        return scores.masked_fill(~allowed, lowest).softmax(-1).masked_fill(~allowed, 0.0)


class MultiHeadAttention(nn.Module):
    """(N, D) -> (N, D): H heads of self-attention, W_o [head_1; ...; head_H] (Vaswani et al. 2017, 3.2.2).

    `scale` None is 1 / sqrt(d_k), 1.0 is plain. `fused=False` computes the same through `self.weights`, whose output
    (B, H, T, T) can be watched and which can be differentiated twice. `rotation` and `bias` are those of `Positions`.
    """

    def __init__(
        self,
        hidden_size: int,
        num_attention_heads: int,
        *,
        mask: Mask = FULL,
        scale: float | None = None,
        fused: bool = True,
        rotation: nn.Module | None = None,
        bias: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.heads = num_attention_heads
        self.mask = mask
        self.scale = scale
        self.fused = fused
        self.rotation = rotation
        self.bias = bias
        self.projection = nn.Linear(hidden_size, 3 * hidden_size)
        self.weights = AttentionWeights()
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        qkv = self.projection(x).unflatten(-1, (3, self.heads, -1))  # (N, 3, H, d)
        if self.rotation is not None:
            qkv = torch.cat((self.rotation(qkv[:, :2], layout), qkv[:, 2:]), dim=1)
        if self.fused:
            mixed = attention(qkv, layout, mask=self.mask, scale=self.scale, bias=self.bias)  # (N, H, d)
        else:
            mixed = self._watched(qkv, layout)
        projected: Tensor = self.output(mixed.flatten(1))
        return projected

    def _watched(self, qkv: Tensor, layout: Layout) -> Tensor:
        """`attention` in the open, on the whole grid at once."""
        query, key, value = layout.grid(qkv).permute(2, 0, 3, 1, 4).unbind()  # (B, H, T, d) each
        scale = query.shape[-1] ** -0.5 if self.scale is None else self.scale
        scores = (query * scale) @ key.transpose(-1, -2)  # (B, H, T, T)
        if self.bias is not None:
            scores = scores + self.bias(layout.longest, scores.dtype, scores.device)
        real = layout.real_grid if layout.has_pads else None
        weights = self.weights(scores, may_see(self.mask, real, layout.longest, scores.device))
        return layout.flat((weights @ value).transpose(1, 2))  # (N, H, d)
