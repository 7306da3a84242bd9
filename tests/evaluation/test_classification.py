"""Class scores by hand, and where there is nothing to score."""

from __future__ import annotations

import pytest

from clearhead.evaluation.classification import class_scores
from clearhead.evaluation.counts import Counts


def test_by_hand() -> None:
    scores = class_scores(["a", "a", "b", "c"], ["a", "b", "b", "d"])
    assert scores.confusions == {("a", "a"): 1, ("a", "b"): 1, ("b", "b"): 1, ("c", "d"): 1}
    assert scores.classes == {
        "a": Counts(1, 1, 2),
        "b": Counts(1, 2, 1),
        "c": Counts(0, 0, 1),
        "d": Counts(0, 1, 0),
    }
    assert (scores.count, scores.accuracy) == (4, 0.5)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 4, abs=1e-15)


def test_nothing_is_nought_and_unlike_numbers_are_refused() -> None:
    scores = class_scores([], [])
    assert (scores.count, scores.accuracy, scores.macro_f1, scores.classes) == (0, 0.0, 0.0, {})
    with pytest.raises(ValueError, match="zip"):
        class_scores(["a"], [])
