"""How a decoder looks back at its source: scores of its state against every source state, and the mixed context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clearhead.layers.attention import AttentionWeights


class DotScore(nn.Module):
    """h_t . h_s (Luong et al. 2015, arXiv:1508.04025, eq. 8)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()

    def keys(self, memory: Tensor) -> Tensor:
        return memory

    def forward(self, state: Tensor, keys: Tensor) -> Tensor:
        return state @ keys.transpose(1, 2)


class GeneralScore(nn.Module):
    """h_t^T W_a h_s (Luong et al. 2015, eq. 8)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.matrix = nn.Linear(hidden_size, hidden_size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        keys: Tensor = self.matrix(memory)
        return keys

    def forward(self, state: Tensor, keys: Tensor) -> Tensor:
        return state @ keys.transpose(1, 2)


class AdditiveScore(nn.Module):
    """v_a^T tanh(W_a h_t + U_a h_s) (Bahdanau et al. 2014, arXiv:1409.0473, A.1.2)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, hidden_size, bias=False)
        self.key = nn.Linear(hidden_size, hidden_size, bias=False)
        self.vector = nn.Linear(hidden_size, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        keys: Tensor = self.key(memory)
        return keys

    def forward(self, state: Tensor, keys: Tensor) -> Tensor:
        scores: Tensor = self.vector(torch.tanh(self.query(state)[:, :, None] + keys[:, None]))  # (B, T, S, 1)
        return scores[..., 0]


class ConcatScore(nn.Module):
    """v_a^T tanh(W_a [h_t; h_s]) (Luong et al. 2015, eq. 8): the additive score, its two matrices side by side in one
    that is drawn as one."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.matrix = nn.Linear(2 * hidden_size, hidden_size, bias=False)
        self.vector = nn.Linear(hidden_size, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        return memory @ self.matrix.weight.chunk(2, dim=1)[1].T

    def forward(self, state: Tensor, keys: Tensor) -> Tensor:
        of_state = state @ self.matrix.weight.chunk(2, dim=1)[0].T  # (B, T, D)
        scores: Tensor = self.vector(torch.tanh(of_state[:, :, None] + keys[:, None]))  # (B, T, S, 1)
        return scores[..., 0]


AlignmentScore = DotScore | GeneralScore | AdditiveScore | ConcatScore


@dataclass(frozen=True, eq=False)
class Memory:
    """What B decoders look back at: source states (B, S, D), what scores read of them, and where there are some
    (B, 1, S), None for everywhere."""

    states: Tensor
    keys: Tensor
    real: Tensor | None

    def select(self, rows: Tensor) -> Memory:
        """The memory of row i is that of row `rows[i]`."""
        real = None if self.real is None else self.real.index_select(0, rows)
        return Memory(self.states.index_select(0, rows), self.keys.index_select(0, rows), real)


class Alignment(nn.Module):
    """Decoder states h_t (B, T, D) -> attentional states h~_t = tanh(W_c [c_t; h_t]) (B, T, D), where c_t is the mean
    of the source states under weights softmax(score(h_t, h_s)) (Luong et al. 2015, 3.1, eq. 5 and 7).

    The weights (B, T, S), zero where there is no source token, are what `weights` puts out.
    """

    def __init__(self, hidden_size: int, score: AlignmentScore) -> None:
        super().__init__()
        self.score = score
        self.weights = AttentionWeights()
        self.output = nn.Linear(2 * hidden_size, hidden_size, bias=False)

    def remember(self, states: Tensor, real: Tensor | None) -> Memory:
        """The source states (B, S, D), of which `real` (B, S) are tokens, with what does not change step by step."""
        return Memory(states, self.score.keys(states), None if real is None else real[:, None])

    def forward(self, state: Tensor, memory: Memory) -> Tensor:
        weights = self.weights(self.score(state, memory.keys), memory.real)  # (B, T, S)
        context = weights @ memory.states  # (B, T, D)
        return torch.tanh(self.output(torch.cat((context, state), dim=-1)))


ALIGNMENT_SCORES: dict[str, Callable[[int], AlignmentScore]] = {
    "dot": DotScore,
    "general": GeneralScore,
    "additive": AdditiveScore,
    "concat": ConcatScore,
}
