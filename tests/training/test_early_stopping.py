"""How long ago the best look was."""

from __future__ import annotations

import math

import pytest

from clearhead.training.early_stopping import looks_since_best


@pytest.mark.parametrize(
    ("scores", "since"),
    [
        ([], 0),
        ([3.0], 0),
        ([3.0, 2.0], 0),
        ([2.0, 3.0, 2.5], 2),
        ([3.0, 2.0, 2.0], 1),
        ([3.0, 2.0, 2.5, 1.9], 0),
        ([2.0, math.nan, math.nan], 2),
        ([math.nan, 2.0], 0),
        ([math.nan, math.nan], 2),
    ],
)
def test_it_counts_from_the_first_of_the_best(scores: list[float], since: int) -> None:
    assert looks_since_best(scores) == since
