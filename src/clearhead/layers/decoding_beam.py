"""Beam search: the best hypotheses under a length penalty, many sources at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clearhead.errors import InputError
from clearhead.layers.decoding_steps import (
    C,
    Hypothesis,
    Step,
    as_limits,
    best_words,
    check_possible,
    log_probabilities,
)

Candidate = tuple[float, int, int]  # log p, the row that it continues, the word


@dataclass
class Search:
    """The beam of one source: open hypotheses (log p, ids), the best first, and finished ones.

    Hypotheses y are compared by log p(y) / |y|^alpha, |y| counting all that is written, `end` included: alpha 0 is
    log p itself, 1 the mean of a token (with ((5 + |y|) / 6)^alpha in the place of |y|^alpha it is the penalty of Wu
    et al. 2016, arXiv:1609.08144, eq. 14). A hypothesis is finished when it writes `end`, or is `limit` long.
    """

    beams: int
    alpha: float
    limit: int
    wanted: int
    opened: list[tuple[float, tuple[int, ...]]] = field(default_factory=lambda: [(0.0, ())])
    finished: list[Hypothesis] = field(default_factory=list)

    def advance(self, candidates: Sequence[Candidate], end: int) -> list[int]:
        """Takes the best continuations, the best first, and names the row that each open hypothesis comes from.

        Of these, the first `beams` are in the beam: who ends there is finished. The rest only fill up the places of
        those who ended.
        """
        length = len(self.opened[0][1]) + 1
        opened: list[tuple[float, tuple[int, ...]]] = []
        parents: list[int] = []
        for rank, (score, parent, word) in enumerate(candidates):
            if len(opened) == self.beams:
                break
            ids = (*self.opened[parent][1], word)
            if word == end or length == self.limit:
                if rank < self.beams:
                    self.finished.append(Hypothesis(ids, score, score / math.pow(length, self.alpha)))
            else:
                opened.append((score, ids))
                parents.append(parent)
        self.opened = opened
        return [] if self._decided() else parents

    def _decided(self) -> bool:
        """Whether no open hypothesis can become one of the `wanted` best.

        log p never rises, so the most that one can reach is its log p of now at the greatest length.
        """
        if not self.opened:
            return True
        if len(self.finished) < self.wanted:
            return False
        within_reach = self.opened[0][0] / math.pow(self.limit, self.alpha)
        return within_reach <= self.best()[-1].normalized

    def best(self) -> list[Hypothesis]:
        """The `wanted` best finished hypotheses, the best first; of equals, the one that was finished first."""
        return sorted(self.finished, key=lambda one: -one.normalized)[: self.wanted]


@torch.no_grad()
def beam(
    step: Step[C],
    cache: C,
    begin_ids: Tensor,
    *,
    end: int,
    max_length: int | Sequence[int],
    beams: int,
    length_penalty: float = 0.0,
    n_best: int = 1,
    banned: Iterable[int] = (),
) -> list[list[Hypothesis]]:
    """The `n_best` hypotheses of each of B sources, the best first, from a beam of `beams`.

    `cache` holds a row a source, and `begin_ids` (B,) are their first inputs. A source is searched until no open
    hypothesis can beat the n-th best finished one (see `Search`), so the best does not depend on `n_best`; then its
    rows leave. `banned` words are never written. Fewer than `n_best` come back where no more are possible.
    """
    if not 1 <= n_best <= beams or length_penalty < 0:
        raise InputError(
            f"a beam of {beams} gives 1 to {beams} hypotheses under a length_penalty of at least 0, not {n_best} under "
            f"{length_penalty:g}"
        )
    limits = as_limits(max_length, len(begin_ids))
    searches = [Search(beams, length_penalty, limit, n_best) for limit in limits]
    never = torch.tensor(sorted(set(banned)), dtype=torch.int64, device=begin_ids.device)
    active, token_ids = searches, begin_ids
    while active:
        values, ids = best_words(log_probabilities(step(token_ids, cache)), 2 * beams, never)
        rows, words, going_on = [], [], []
        for search, first, candidates in _per_source(active, values.tolist(), ids.tolist()):
            parents = search.advance(candidates, end)
            if parents:
                going_on.append(search)
                rows += [first + parent for parent in parents]
                words += [written[-1] for _, written in search.opened]
        if going_on and rows != list(range(len(token_ids))):
            cache.select(torch.tensor(rows, device=begin_ids.device))
        active, token_ids = going_on, torch.tensor(words, device=begin_ids.device)
    return [search.best() for search in searches]


def _per_source(
    active: Sequence[Search], values: list[list[float]], ids: list[list[int]]
) -> Iterable[tuple[Search, int, list[Candidate]]]:
    """Each source with its first row and its 2 * beams best continuations: at least `beams` of these are no end."""
    first = 0
    for search in active:
        found = [
            (score + value, parent, word)
            for parent, (score, _) in enumerate(search.opened)
            for value, word in zip(values[first + parent], ids[first + parent], strict=True)
            if value > -math.inf
        ]
        found.sort(key=lambda candidate: -candidate[0])
        check_possible([found[0][0] if found else -math.inf])
        first, own = first + len(search.opened), first  # before the search goes on to other rows
        yield search, own, found[: 2 * search.beams]
