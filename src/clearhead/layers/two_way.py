"""A layer that is read both ways, up to a code and back down: autoencoders and Boltzmann machines are stacks of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearhead.batches.layout import Layout


class TwoWay(nn.Module):
    """Up: (n, I) -> (n, O), f(W x + b). Down: (n, O) -> (n, I), W^T h, with the same W.

    Rows are whatever they are where `window` is 1. Above that they are the tokens of a layout, and W reaches over that
    many of them (an odd number), the token itself in the middle: a 1-D convolution up, its transpose down (Masci et al.
    2011, ICANN, "Stacked convolutional auto-encoders"; Lee et al. 2009, ICML, for Boltzmann machines). What lies
    outside the sequence is 0.
    """

    def __init__(self, input_size: int, output_size: int, activation: nn.Module, *, window: int = 1) -> None:
        super().__init__()
        self.input_size = input_size
        self.window = window
        self.linear = nn.Linear(window * input_size, output_size)
        self.activation = activation

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        code: Tensor = self.activation(self.scores(x, layout))
        return code

    def scores(self, x: Tensor, layout: Layout) -> Tensor:
        """W x + b (n, O)."""
        scores: Tensor = self.linear(windows(x, layout, self.window))
        return scores

    def down(self, h: Tensor, layout: Layout) -> Tensor:
        """W^T h (n, I)."""
        weight = self.linear.weight.reshape(-1, self.window, self.input_size)  # (O, window, I)
        mirrored = weight.flip(1).transpose(0, 1).flatten(0, 1)  # (window * O, I)
        return torch.matmul(windows(h, layout, self.window), mirrored)


def windows(x: Tensor, layout: Layout, width: int) -> Tensor:
    """(N, D) -> (N, width * D): every token's neighbours within its own sequence, from the left to the right."""
    if width == 1:
        return x
    here = torch.arange(len(x), device=x.device)
    lengths = layout.lengths[layout.sequence_ids]  # (N,)
    parts = []
    for offset in range(-(width // 2), width // 2 + 1):
        place = layout.position_ids + offset
        inside = layout.real & (place >= 0) & (place < lengths)  # (N,)
        parts.append(x.index_select(0, torch.where(inside, here + offset, here)) * inside[:, None])
    return torch.cat(parts, dim=-1)
