"""One hypothesis a source, a word at a time: the best one (greedy), or one that is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from clearhead.layers.decoding_steps import (
    C,
    Hypothesis,
    Step,
    as_limits,
    best_words,
    check_possible,
    log_probabilities,
)

Choose = Callable[[Tensor, list[int], int], Tensor]  # (ln p (R, V), the rows' sources, their length) -> ids (R,)


@torch.no_grad()
def greedy(
    step: Step[C],
    cache: C,
    begin_ids: Tensor,
    *,
    end: int,
    max_length: int | Sequence[int],
    banned: Iterable[int] = (),
) -> list[Hypothesis]:
    """One hypothesis a source: at each step the most probable word that is not `banned`.

    `cache` holds a row a source, and `begin_ids` (B,) are their first inputs; rows leave when they write `end` or are
    `max_length` long.
    """
    never = _as_ids(banned, begin_ids.device)

    def choose(log_p: Tensor, sources: list[int], length: int) -> Tensor:
        values, words = best_words(log_p, 1, never)
        check_possible(values[:, 0].tolist())
        return words[:, 0]

    return _written(step, cache, begin_ids, choose, end, as_limits(max_length, len(begin_ids)))


@torch.no_grad()
def sample(
    step: Step[C],
    cache: C,
    begin_ids: Tensor,
    *,
    end: int,
    max_length: int | Sequence[int],
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    banned: Iterable[int] = (),
) -> list[Hypothesis]:
    """One hypothesis a source, each word drawn from `sampling_probabilities`. `score` is the model's own log p.

    What a source draws depends on the generator and on the source's number, not on which others are beside it or end
    sooner. Otherwise as `greedy`.
    """
    limits = as_limits(max_length, len(begin_ids))
    never = _as_ids(banned, begin_ids.device)
    draws = [torch.rand(limit, generator=generator, dtype=torch.float64) for limit in limits]

    def choose(log_p: Tensor, sources: list[int], length: int) -> Tensor:
        allowed = log_p.index_fill(1, never, -math.inf)
        check_possible(allowed.amax(-1).tolist())
        kept = sampling_probabilities(allowed, temperature=temperature, top_k=top_k, top_p=top_p)
        return drawn(kept, torch.stack([draws[source][length] for source in sources]).to(kept.device))

    return _written(step, cache, begin_ids, choose, end, limits)


def sampling_probabilities(
    logits: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """softmax(logits / temperature) (R, V), cut to the `top_k` best words (Fan et al. 2018, arXiv:1805.04833, 5.1),
    then to the fewest best words that hold `top_p` of what is left (Holtzman et al. 2019, arXiv:1904.09751, 3.1)."""
    scaled = logits / temperature
    if top_k is not None and top_k < scaled.shape[1]:
        least = scaled.topk(top_k).values[:, -1:]  # (R, 1)
        scaled = scaled.masked_fill(scaled < least, -math.inf)
    probabilities = scaled.softmax(-1)
    if top_p is None or top_p >= 1:
        return probabilities
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered  # the mass of better words
    kept = torch.zeros_like(probabilities).scatter(1, order, ordered.masked_fill(before >= top_p, 0.0))
    return kept / kept.sum(-1, keepdim=True)


def drawn(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The word of each row (R,) whose share of [0, 1) the number `uniform` (R,) falls into; none of probability 0."""
    upto = probabilities.double().cumsum(-1)  # (R, V)
    return torch.searchsorted(upto, (uniform * upto[:, -1])[:, None], right=True)[:, 0]


def _as_ids(banned: Iterable[int], device: torch.device) -> Tensor:
    return torch.tensor(sorted(set(banned)), dtype=torch.int64, device=device)


def _written(
    step: Step[C], cache: C, begin_ids: Tensor, choose: Choose, end: int, limits: list[int]
) -> list[Hypothesis]:
    """Every source's own words, as `choose` picks them, until all have ended."""
    ids: list[list[int]] = [[] for _ in limits]
    scores = [0.0] * len(limits)
    active, token_ids = list(range(len(limits))), begin_ids
    while active:
        log_p = log_probabilities(step(token_ids, cache))
        chosen = choose(log_p, active, len(ids[active[0]]))
        values = log_p.gather(1, chosen[:, None])[:, 0]
        for source, word, value in zip(active, chosen.tolist(), values.tolist(), strict=True):
            ids[source].append(word)
            scores[source] += value
        kept = [
            row for row, source in enumerate(active) if ids[source][-1] != end and len(ids[source]) < limits[source]
        ]
        if kept and len(kept) < len(active):
            rows = torch.tensor(kept, device=begin_ids.device)
            cache.select(rows)
            chosen = chosen[rows]
        active, token_ids = [active[row] for row in kept], chosen
    return [Hypothesis(tuple(written), score, score) for written, score in zip(ids, scores, strict=True)]
