"""Early stopping: whether the scores on held-out data say that training has done what it can."""

from __future__ import annotations

from collections.abc import Sequence


def looks_since_best(scores: Sequence[float]) -> int:
    """How many looks there have been since the best score, of which less is better; ties count as no better.

    Training ends when this reaches the patience (Prechelt 1998, "Early stopping - but when?", criterion UP). A score
    that is NaN is never the best. 0 where there is no score yet.
    """
    best = min((score for score in scores if score == score), default=None)
    return len(scores) - 1 - scores.index(best) if best is not None else len(scores)
