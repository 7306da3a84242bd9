"""What every search is given, a step of a model that it does not know, and what it gives back: hypotheses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from clearhead.errors import InputError

BLOCK = 128  # words among which the best is found first, so that a row is read once and sorted never


class Cache(Protocol):
    """What R rows have written so far. After `select(rows)`, row i goes on from what row `rows[i]` has written."""

    def select(self, rows: Tensor) -> None: ...


C = TypeVar("C", bound=Cache)
Step = Callable[[Tensor, C], Tensor]  # (token_ids (R,), cache) -> logits (R, V) of each row's next token


@dataclass(frozen=True)
class Hypothesis:
    """`token_ids` written after `begin`, with `end` where it was reached. `score` is their log p under the model, in
    nats; `normalized` is what hypotheses of unlike length are compared by."""

    token_ids: tuple[int, ...]
    score: float
    normalized: float


def as_limits(max_length: int | Sequence[int], sources: int) -> list[int]:
    """How many tokens each source may write, `end` included. Raises `InputError` for none at all."""
    limits = [max_length] * sources if isinstance(max_length, int) else list(max_length)
    if len(limits) != sources or min(limits, default=1) < 1:
        raise InputError(f"max_length: {sources} sources need a length each, of at least 1 token, got {list(limits)}")
    return limits


def log_probabilities(logits: Tensor) -> Tensor:
    """ln softmax (R, V) in at least float32. Raises `InputError` where a row is no distribution."""
    precise = logits if logits.dtype == torch.float64 else logits.float()
    log_p = precise.log_softmax(-1)
    if bool(log_p[:, 0].isnan().any()):  # one number of a row that is none makes all of it so
        raise InputError(
            "the model's logits are not finite numbers, so there is no next token; it was trained with too large a "
            "learning rate, or all its words are impossible"
        )
    return log_p


def check_possible(best: Iterable[float]) -> None:
    """Raises `InputError` where the best that could be written next has no probability at all."""
    if any(value == -math.inf for value in best):
        raise InputError("no word can be written next: those that the model finds possible are banned; ban fewer")


def best_words(log_p: Tensor, count: int, banned: Tensor) -> tuple[Tensor, Tensor]:
    """The `count` best words of each row that are not `banned`: values and ids (R, count) each, the best first.

    (R, V) is read once: the best `count` words lie in the `count` blocks whose best word is best. Where fewer words
    are left, the last values are -inf.
    """
    wanted = min(count + len(banned), log_p.shape[1])
    values, ids = _topk(log_p, wanted)
    if len(banned):
        values = values.masked_fill(torch.isin(ids, banned), -math.inf)
        values, order = values.sort(dim=-1, descending=True, stable=True)
        ids = ids.gather(1, order)
    return values[:, :count], ids[:, :count]


def _topk(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`x.topk(count)`: the blocks of `BLOCK` words with the best heads first, then the words of these."""
    rows, words = x.shape
    blocks = words // BLOCK
    if blocks <= 2 * count:
        values, ids = x.topk(count)
        return values, ids
    whole = blocks * BLOCK
    heads = x[:, :whole].reshape(rows, blocks, BLOCK).amax(-1)  # (R, blocks)
    chosen = heads.topk(count, sorted=False).indices  # (R, count)
    places = torch.arange(BLOCK, device=x.device)
    inside = (chosen[:, :, None] * BLOCK + places).flatten(1)  # (R, count * BLOCK)
    rest = torch.arange(whole, words, device=x.device).expand(rows, -1)
    candidates = torch.cat((inside, rest), dim=1)
    values, order = x.gather(1, candidates).topk(count)
    return values, candidates.gather(1, order)
