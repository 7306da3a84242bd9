"""The learning rate's shape over a run."""

from __future__ import annotations

import math

import pytest

from clearhead.training.schedules import SCHEDULES, learning_rate_share


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_is_a_straight_line_to_the_peak(name: str) -> None:
    assert learning_rate_share(name, 0.2, 0.05) == pytest.approx(0.25)
    assert learning_rate_share(name, 0.2, 0.2) == pytest.approx(1.0)


@pytest.mark.parametrize(("name", "middle", "end"), [("constant", 1, 1), ("linear", 0.5, 0), ("cosine", 0.5, 0)])
def test_the_rest_follows_the_schedule(name: str, middle: float, end: float) -> None:
    assert learning_rate_share(name, 0.2, 0.6) == pytest.approx(middle)
    assert learning_rate_share(name, 0.2, 1.0) == pytest.approx(end, abs=1e-15)


def test_cosine_is_the_papers() -> None:
    assert learning_rate_share("cosine", 0.0, 0.25) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


@pytest.mark.parametrize("name", SCHEDULES)
def test_progress_beyond_the_budget_is_its_end(name: str) -> None:
    assert learning_rate_share(name, 0.1, 1.2) == learning_rate_share(name, 0.1, 1.0)
