"""Recurrent layers over a stream."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from clearhead.batches.layout import Layout

# A projected LSTM takes torch's own kernel, as it should; nobody is helped by hearing it.
warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")

LSTMState = tuple[Tensor, Tensor]  # the output (R, hidden) and the cell (R, cell) after the last token of R sequences


class LSTM(nn.Module):
    """(N, input) -> (N, hidden): one long short-term memory over each sequence, from its first token on, or from its
    last (`backward`) (Hochreiter & Schmidhuber 1997; with forget gates, Gers et al. 2000).

    The state at a token has read that token. Every call starts from zeros, so nothing is carried from one to the next;
    `step` carries the state that it is given. `cell_size` (None: `hidden_size`) above the `hidden_size` makes the cell
    wider than the output, h = W_r (o * tanh c), and h is what recurs (Sak et al. 2014, arXiv:1402.1128, eq. 7).
    Pads come after the last step, where nobody looks.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, cell_size: int | None = None, backward: bool = False
    ) -> None:
        super().__init__()
        self.backward = backward
        projected = cell_size is not None and cell_size != hidden_size
        self.cell = nn.LSTM(
            input_size, cell_size or hidden_size, batch_first=True, proj_size=hidden_size if projected else 0
        )

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        if self.backward:
            return layout.reverse(self._run(layout.reverse(x), layout))
        return self._run(x, layout)

    def start(self, rows: int) -> LSTMState:
        """The state before the first token of `rows` sequences: zeros."""
        weight: Tensor = self.cell.all_weights[0][0]
        output = self.cell.proj_size or self.cell.hidden_size
        return weight.new_zeros(rows, output), weight.new_zeros(rows, self.cell.hidden_size)

    def read(self, x: Tensor, layout: Layout) -> tuple[Tensor, LSTMState]:
        """(N, input) -> what `forward` gives (N, hidden), and the state after the last token of each of B sequences."""
        with torch.autocast(x.device.type, enabled=False):
            grid = layout.grid(x.to(self.cell.all_weights[0][0].dtype))  # (B, T, input)
            packed = pack_padded_sequence(grid, layout.lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, (hidden, cell) = self.cell(packed)
        padded, _ = pad_packed_sequence(states, batch_first=True, total_length=layout.longest)
        return layout.flat(padded), (hidden[0], cell[0])

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """(R, input), a token a sequence, and the states before it -> the outputs (R, hidden) and the states after."""
        with torch.autocast(x.device.type, enabled=False):
            output, (hidden, cell) = self.cell(x.to(state[0].dtype)[:, None], (state[0][None], state[1][None]))
        return output[:, 0], (hidden[0], cell[0])

    def _run(self, x: Tensor, layout: Layout) -> Tensor:
        # In bf16, torch's kernel fails on a CPU without the instructions.
        with torch.autocast(x.device.type, enabled=False):
            states, _ = self.cell(layout.grid(x.to(self.cell.all_weights[0][0].dtype)))  # (B, T, hidden)
        return layout.flat(states)
