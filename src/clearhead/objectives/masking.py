"""Which tokens a masked language model asks for: pieces or whole words, one by one or in spans.

A unit is what is chosen or left as one: a token, or the pieces of a word. Each is decided by one number that is uniform
in [0, 1), and every unit that is no special token is chosen with the same probability, spans or not.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

LONGEST_SPAN, GOES_ON = 10, 0.8
SPAN_LENGTHS: dict[str, tuple[float, ...]] = {
    "none": (1.0,),
    # Geo(0.2) cut off at 10 words, 3.8 on average (Joshi et al. 2019, arXiv:1907.10529, 3.1)
    "geometric": tuple(GOES_ON**length for length in range(LONGEST_SPAN)),
    # p(n) = (1/n) / (1/1 + 1/2 + 1/3) (Lan et al. 2019, arXiv:1909.11942, eq. 2)
    "ngram": (1.0, 1 / 2, 1 / 3),
}


def fixed_draws(token_ids: Tensor, sizes: Sequence[int], columns: int, seed: int) -> Tensor:
    """Numbers uniform in [0, 1) (n, columns) that each sequence's own ids and `seed` alone decide."""
    drawn = []
    for ids in torch.split(token_ids.cpu(), list(sizes)):
        digest = hashlib.blake2b(ids.numpy().tobytes(), digest_size=16, key=seed.to_bytes(8, "big")).digest()
        drawn.append(np.random.default_rng(int.from_bytes(digest, "big")).random((len(ids), columns)))
    return torch.from_numpy(np.concatenate(drawn))


def unit_starts(special: Tensor, continues: Tensor, sequence_ids: Tensor) -> Tensor:
    """Where a unit begins (n,): at every token but those that continue a word of their own sequence."""
    inside = continues & ~special
    inside[:1] = False
    inside[1:] &= (sequence_ids[1:] == sequence_ids[:-1]) & ~special[:-1]
    return ~inside


def singly(draws: Tensor, special: Tensor, probability: float) -> Tensor:
    """For each unit (n,) its own number where it is chosen, -1 where not: each by itself."""
    return torch.where((draws < probability) & ~special, torch.arange(len(draws), device=draws.device), -1)


def in_spans(
    draws: Tensor, special: Tensor, sequence_ids: Tensor, probability: float, lengths: Sequence[float]
) -> Tensor:
    """For each unit (n,) the number of the unit that its span begins with, -1 where it is not chosen.

    Spans are as long as `lengths` has it (weights of 1, 2, ... units) and stay within a run of units between special
    ones. A free unit begins a span with probability p / (p + m (1 - p)), m the mean length, and the first one of a run
    stands in a span that began before it with the share that such a process has in the long run: so each unit is chosen
    with probability p, and with m = 1 each by itself.
    """
    mean = sum(length * weight for length, weight in enumerate(lengths, 1)) / sum(lengths)
    begins = probability / (probability + mean * (1 - probability))
    whole, rest = _cumulative(lengths), _cumulative([sum(lengths[r:]) for r in range(len(lengths))])
    leaders = []
    left, leader, sequence, fresh = 0, -1, -1, True
    for unit, (u, is_special, own) in enumerate(
        zip(draws.tolist(), special.tolist(), sequence_ids.tolist(), strict=True)
    ):
        if is_special or own != sequence:
            left, sequence, fresh = 0, own, True
        if not is_special:
            bar, chances = (probability, rest) if fresh else (begins, whole)
            if left == 0 and u < bar:
                left, leader = 1 + bisect.bisect_right(chances, u / bar, hi=len(lengths) - 1), unit
            fresh = False
        leaders.append(leader if left else -1)
        left = max(0, left - 1)
    return torch.tensor(leaders, dtype=torch.int64, device=draws.device)


def with_one_each(leaders: Tensor, draws: Tensor, special: Tensor, sequence_ids: Tensor) -> Tensor:
    """`leaders`, with the unit of the smallest draw chosen in every sequence in which none is."""
    free = draws.masked_fill(special, torch.inf)
    sequences = int(sequence_ids.max()) + 1
    lowest = free.new_full((sequences,), torch.inf).scatter_reduce(0, sequence_ids, free, "amin")
    found = leaders.new_zeros(sequences).index_add(0, sequence_ids, (leaders >= 0).long())
    added = ~special & (found == 0)[sequence_ids] & (free == lowest[sequence_ids])
    return torch.where(added, torch.arange(len(draws), device=draws.device), leaders)


def _cumulative(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return list(accumulate(weight / total for weight in weights))
