"""`States`: what a trunk makes of a batch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clearhead.batches.layout import Layout


@dataclass(frozen=True, eq=False)
class States:
    """`hidden` (N, D), what heads read; `layers`, the embedding's output first, then that of each layer (N, D)."""

    hidden: Tensor
    layout: Layout
    layers: tuple[Tensor, ...]
