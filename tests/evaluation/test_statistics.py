"""Statistics against scipy, and the promises that verdicts rest on, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clearhead.evaluation.statistics import (
    Sample,
    holm,
    holm_shares,
    interval,
    seeds_to_decide,
    smallest_detectable,
    spent,
    tail,
)

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-3)


@given(numbers, st.sampled_from([0.05, 0.01, 0.2]))
def test_interval_of_seeds_is_scipys(values: list[float], alpha: float) -> None:
    low, high = interval(Sample(tuple(values)), alpha)
    expected = stats.ttest_1samp(values, 0).confidence_interval(1 - alpha)
    assert (low, high) == pytest.approx((expected.low, expected.high))


@given(numbers, st.floats(-50, 50))
def test_tail_is_scipys_two_sided_p(values: list[float], bound: float) -> None:
    assert tail(Sample(tuple(values)), bound) == pytest.approx(stats.ttest_1samp(values, bound).pvalue, abs=1e-9)


@given(numbers, st.floats(-50, 50), st.floats(0.001, 0.5))
def test_tail_and_interval_say_the_same(values: list[float], bound: float, alpha: float) -> None:
    sample = Sample(tuple(values))
    p = tail(sample, bound)
    low, high = interval(sample, alpha)
    if abs(p - alpha) > 1e-6:
        assert (p < alpha) == (not low <= bound <= high)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_shares_reject_what_holm_rejects(p_values: list[float]) -> None:
    adjusted, shares = holm(p_values), holm_shares(p_values, 0.05)
    for p, p_adjusted, share in zip(p_values, adjusted, shares, strict=True):
        if abs(p_adjusted - 0.05) > 1e-9:
            assert (p_adjusted < 0.05) == (p < share or p == share)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_spent_sums_to_one_and_grows() -> None:
    for looks in (1, 2, 3, 5):
        shares = spent(looks)
        assert sum(shares) == pytest.approx(1)
        assert shares == sorted(shares)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_interval_of_seeds_covers_what_it_says(n: int) -> None:
    rng = np.random.default_rng(n)
    runs = 2000
    covered = 0
    for row in rng.normal(0.3, 1.0, (runs, n)):
        low, high = interval(Sample(tuple(row)), 0.05)
        covered += low <= 0.3 <= high
    assert abs(covered / runs - 0.95) < 3 * math.sqrt(0.95 * 0.05 / runs)


def test_bootstrap_of_seeds_would_not_cover() -> None:
    """Why seeds get Student's t: the percentile bootstrap covers far less than it says at three numbers."""
    rng = np.random.default_rng(0)
    covered = 0
    for row in rng.normal(0, 1, (400, 3)):
        means = rng.choice(row, (500, 3)).mean(1)
        covered += np.quantile(means, 0.025) <= 0 <= np.quantile(means, 0.975)
    assert covered / 400 < 0.85


def test_interval_of_items_covers_what_it_says() -> None:
    rng = np.random.default_rng(1)
    runs = 300
    covered = 0
    for row in rng.exponential(1.0, (runs, 80)):
        low, high = interval(Sample(tuple(row), items=True), 0.05)
        covered += low <= 1.0 <= high
    assert covered / runs > 0.90


def test_tail_of_items_is_small_where_all_items_agree() -> None:
    items = Sample(tuple(np.random.default_rng(0).normal(1, 0.5, 60)), items=True)
    assert tail(items, 0.0) < 0.002
    assert tail(items, items.mean) == 1.0


def test_one_number_gives_no_interval() -> None:
    assert interval(Sample((1.0,)), 0.05) == (-math.inf, math.inf)
    assert tail(Sample((1.0,)), 0.0) == 1.0


def test_equal_numbers_are_their_own_interval() -> None:
    sample = Sample((0.5, 0.5, 0.5))
    assert interval(sample, 0.05) == (0.5, 0.5)
    assert tail(sample, 0.0) == 0.0
    assert tail(Sample((0.0, 0.0, 0.0)), 0.0) == 1.0


def test_seeds_to_decide_is_the_first_that_decides() -> None:
    needed = seeds_to_decide(1.0, 0.5, 0.05)
    assert needed is not None

    def half(n: int) -> float:
        return float(stats.t.ppf(0.975, n - 1)) / math.sqrt(n)

    assert half(needed) <= 0.5 < half(needed - 1)
    assert seeds_to_decide(1.0, 0.0, 0.05) is None


def test_smallest_detectable_is_detected_that_often() -> None:
    n = 6
    effect = smallest_detectable(1.0, n, 0.05)
    rng = np.random.default_rng(3)
    found = np.mean([tail(Sample(tuple(row)), 0.0) < 0.05 for row in rng.normal(effect, 1.0, (1500, n))])
    assert 0.75 < found < 0.93
