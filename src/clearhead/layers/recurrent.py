"""Recurrent layers over a stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearhead.batches.layout import Layout


class LSTM(nn.Module):
    """(N, input) -> (N, hidden): one long short-term memory over each sequence, from its first token on, or from its
    last (`backward`) (Hochreiter & Schmidhuber 1997; with forget gates, Gers et al. 2000).

    The state at a token has read that token. Pads come after the last step, where nobody looks.
    """

    def __init__(self, input_size: int, hidden_size: int, *, backward: bool = False) -> None:
        super().__init__()
        self.backward = backward
        self.cell = nn.LSTM(input_size, hidden_size, batch_first=True)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        if self.backward:
            return layout.reverse(self._run(layout.reverse(x), layout))
        return self._run(x, layout)

    def _run(self, x: Tensor, layout: Layout) -> Tensor:
        # In bf16, torch's kernel fails on a CPU without the instructions.
        with torch.autocast(x.device.type, enabled=False):
            states, _ = self.cell(layout.grid(x.to(self.cell.all_weights[0][0].dtype)))  # (B, T, hidden)
        return layout.flat(states)
