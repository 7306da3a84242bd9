"""Positions: how a token's place is told, by an addition to its embedding, a turn of q and k, or a bias on scores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clearhead.batches.layout import Layout
from clearhead.errors import InputError

BASE = 10000.0


@dataclass(frozen=True, eq=False)
class Positions:
    """The parts that one way of telling positions needs.

    `added(x (N, D), layout)` -> (N, D); `rotation(qk (N, 2, H, d), layout)` -> the same shape;
    `bias(length)` -> (H, length, length), added to the scores. None: this part does nothing. `at` of each takes places
    (N,) instead of a layout, and how long the longest sequence is: what generation knows.
    """

    added: LearnedPositions | SinusoidalPositions | None = None
    rotation: Rotary | None = None
    bias: Alibi | None = None


class LearnedPositions(nn.Module):
    """x + P[position], P learned (Gehring et al. 2017, arXiv:1705.03122; Devlin et al. 2018).

    Raises `InputError` for a sequence longer than the table.
    """

    def __init__(self, hidden_size: int, max_length: int) -> None:
        super().__init__()
        self.table = nn.Embedding(max_length, hidden_size)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        return self.at(x, layout.position_ids, layout.longest)

    def at(self, x: Tensor, places: Tensor, longest: int) -> Tensor:
        if longest > self.table.num_embeddings:
            raise InputError(
                f"model.positions: a sequence of {longest} tokens is longer than the "
                f"{self.table.num_embeddings} learned ones; raise text.max_length, or take rotary, sinusoidal or alibi"
            )
        place: Tensor = self.table(places)
        return x + place


class SinusoidalPositions(nn.Module):
    """x + P, P[t, 2i] = sin(t / 10000^(2i/D)), P[t, 2i+1] = cos of the same (Vaswani et al. 2017, 3.5).

    `halves`: all the sines first, then all the cosines, as in the code of that paper and in Marian.
    """

    def __init__(self, *, halves: bool = False) -> None:
        super().__init__()
        self.halves = halves

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        return self.at(x, layout.position_ids, layout.longest)

    def at(self, x: Tensor, places: Tensor, longest: int) -> Tensor:
        table = _sinusoids(_rounded(longest), x.shape[-1], self.halves, x.dtype, x.device)
        return x + table.index_select(0, places)


class Rotary(nn.Module):
    """q and k with each pair of features (i, i + d/2) turned by the angle t / 10000^(2i/d), so that q.k depends on the
    distance alone (Su et al. 2021, arXiv:2104.09864, eq. 34, with the pairs laid half by half). Needs an even d."""

    def forward(self, qk: Tensor, layout: Layout) -> Tensor:
        return self.at(qk, layout.position_ids, layout.longest)

    def at(self, qk: Tensor, places: Tensor, longest: int) -> Tensor:
        cos, sin = _rotations(_rounded(longest), qk.shape[-1], qk.dtype, qk.device)
        cos = cos.index_select(0, places)[:, None, None]  # (N, 1, 1, d)
        sin = sin.index_select(0, places)[:, None, None]
        first, second = qk.chunk(2, dim=-1)
        return qk * cos + torch.cat((-second, first), dim=-1) * sin


class Alibi(nn.Module):
    """-m_h |i - j| on the scores, with slopes m_h = 2^(-8h/H), h = 1..H (Press et al. 2021, arXiv:2108.12409, 3)."""

    def __init__(self, num_attention_heads: int) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads

    def forward(self, length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        table = _alibi(self.num_attention_heads, _rounded(length), dtype, device)
        return table[:, :length, :length]

    def at(self, queries: Tensor, keys: Tensor, dtype: torch.dtype) -> Tensor:
        """The bias of queries at places (R,) on keys at places (R, S): (R, H, S)."""
        slopes = _slopes(self.num_attention_heads).to(keys.device)
        distance = (queries[:, None] - keys).abs()[:, None]  # (R, 1, S)
        return (-slopes[:, None] * distance).to(dtype)


def _rounded(length: int) -> int:
    """The next power of two, so that few tables are made and kept."""
    return 1 << (length - 1).bit_length()


@torch.inference_mode(False)
def _angles(length: int, size: int) -> Tensor:
    """t / 10000^(2i / size) for t < length, i < size / 2 rounded up: (length, i), float64."""
    rates = BASE ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    return torch.arange(length, dtype=torch.float64)[:, None] * rates


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def _sinusoids(length: int, size: int, halves: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    angles = _angles(length, size)
    if halves:
        table = torch.cat((angles.sin(), angles.cos()), dim=-1)[:, :size]  # (length, size)
    else:
        table = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :size]
    return table.to(device=device, dtype=dtype, copy=True)


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def _rotations(length: int, size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    angles = _angles(length, size).repeat(1, 2)  # (length, size)
    return angles.cos().to(device=device, dtype=dtype), angles.sin().to(device=device, dtype=dtype)


def _slopes(heads: int) -> Tensor:
    return 2.0 ** (-8.0 * torch.arange(1, heads + 1, dtype=torch.float64) / heads)  # (H,)


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def _alibi(heads: int, length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    slopes = _slopes(heads)
    places = torch.arange(length, dtype=torch.float64)
    distance = (places[:, None] - places).abs()  # (length, length)
    return (-slopes[:, None, None] * distance).to(device=device, dtype=dtype)


def none(hidden_size: int, num_attention_heads: int, max_length: int) -> Positions:
    """Nothing is told: without a mask the tokens are a bag."""
    return Positions()


def learned(hidden_size: int, num_attention_heads: int, max_length: int) -> Positions:
    return Positions(added=LearnedPositions(hidden_size, max_length))


def sinusoidal(hidden_size: int, num_attention_heads: int, max_length: int) -> Positions:
    return Positions(added=SinusoidalPositions())


def sinusoidal_halves(hidden_size: int, num_attention_heads: int, max_length: int) -> Positions:
    return Positions(added=SinusoidalPositions(halves=True))


def rotary(hidden_size: int, num_attention_heads: int, max_length: int) -> Positions:
    return Positions(rotation=Rotary())


def alibi(hidden_size: int, num_attention_heads: int, max_length: int) -> Positions:
    return Positions(bias=Alibi(num_attention_heads))


POSITIONS: dict[str, Callable[[int, int, int], Positions]] = {
    "none": none,
    "learned": learned,
    "sinusoidal": sinusoidal,
    "sinusoidal_halves": sinusoidal_halves,
    "rotary": rotary,
    "alibi": alibi,
}
