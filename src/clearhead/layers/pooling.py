"""Pooling: one vector a sequence, from the states of its real tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clearhead.batches.layout import Layout


class Pooler(nn.Module):
    """tanh(W h_1 + b) of the first token's state: (B, D) -> (B, D) (the code of Devlin et al. 2018, `pooler`)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)

    def forward(self, first_states: Tensor) -> Tensor:
        pooled: Tensor = self.dense(first_states).tanh()
        return pooled


def pooler_of(model: nn.Module) -> Pooler | None:
    """The pooler that a trunk brings along (BERT), if any: heads share it, so that what one task taught it stays."""
    found = getattr(model, "pooler", None)
    return found if isinstance(found, Pooler) else None


def first_places(layout: Layout) -> Tensor:
    """Where in the stream each sequence begins (B,)."""
    if layout.packed:
        return layout.lengths.cumsum(0) - layout.lengths
    return torch.arange(len(layout.sizes), device=layout.lengths.device) * layout.longest


def first(x: Tensor, layout: Layout) -> Tensor:
    """(N, D) -> (B, D): the state of each sequence's first token."""
    return x.index_select(0, first_places(layout))


def last(x: Tensor, layout: Layout) -> Tensor:
    """(N, D) -> (B, D): the state of each sequence's last token."""
    return x.index_select(0, first_places(layout) + layout.lengths - 1)


def mean(x: Tensor, layout: Layout) -> Tensor:
    """(N, D) -> (B, D): the mean over each sequence's tokens."""
    total = _grid(x, layout, 0.0).sum(1)  # (B, D)
    return total / layout.lengths[:, None].to(total.dtype)


def greatest(x: Tensor, layout: Layout) -> Tensor:
    """(N, D) -> (B, D): each feature's greatest value over the sequence's tokens."""
    return _grid(x, layout, -torch.inf).amax(1)


def _grid(x: Tensor, layout: Layout, fill: float) -> Tensor:
    """(N, D) -> (B, T, D) with `fill` at pads."""
    grid = layout.grid(x)
    return grid.masked_fill(~layout.real_grid[:, :, None], fill) if layout.has_pads else grid


POOLINGS: dict[str, Callable[[Tensor, Layout], Tensor]] = {
    "first": first,
    "last": last,
    "mean": mean,
    "max": greatest,
}
