from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scipy import stats

from clearhead.bilingual import same
from clearhead.experiments.evidence import Evidence, Row
from clearhead.experiments.views import Axis, View
from clearhead.report.summaries import MOST_PLACES, summarize


def of(values: list[float], arm: str = "a", dose: int = 4) -> list[Row]:
    return [Row("e", arm, {"d_k": dose}, seed, "loss", value) for seed, value in enumerate(values)]


@pytest.fixture
def view() -> View:
    return View(
        "v", "lines", "e", ("loss",), Axis("d_k", same("d_k")), Axis("value", same("loss")), same("t"), same("c")
    )


def test_centre_and_band_are_mean_and_t_interval_over_seeds(view: View) -> None:
    values = [1.0, 2.0, 4.0, 3.5]
    mark = summarize(view, Evidence(tuple(of(values)))).marks[0]
    low, high = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert (mark.centre, mark.low, mark.high) == pytest.approx((sum(values) / 4, low, high))
    assert mark.seeds == tuple(values)


def test_on_a_log_axis_the_interval_is_that_of_the_logarithms(view: View) -> None:
    values = [0.01, 0.1, 1.0]
    mark = summarize(replace(view, y=Axis("value", same("loss"), log=True)), Evidence(tuple(of(values)))).marks[0]
    assert mark.centre == pytest.approx(0.1)
    assert mark.low is not None and mark.high is not None and mark.low > 0
    assert mark.low * mark.high == pytest.approx(0.01)


def test_spread_is_median_and_quantiles(view: View) -> None:
    mark = summarize(replace(view, band="spread"), Evidence(tuple(of([float(i) for i in range(11)])))).marks[0]
    assert (mark.low, mark.centre, mark.high) == pytest.approx((1.0, 5.0, 9.0))


def test_numbers_without_a_place_on_a_log_axis_are_counted(view: View) -> None:
    rows = tuple(of([0.0, -1.0, 2.0]) + of([3.0], dose=0))
    summary = summarize(
        replace(view, x=Axis("d_k", same("d_k"), log=True), y=Axis("value", same("loss"), log=True)), Evidence(rows)
    )
    assert summary.dropped == 3
    assert [mark.seeds for mark in summary.marks] == [(2.0,)]
    assert summary.marks[0].low is None


def test_differences_are_paired_by_seed_and_leave_the_baseline_out(view: View) -> None:
    rows = tuple(of([1.0, 2.0, 3.0], "base") + of([1.5, 2.5], "other"))
    summary = summarize(replace(view, baseline="base"), Evidence(rows))
    assert summary.series == ("other",)
    assert summary.marks[0].seeds == (0.5, 0.5)


def test_an_axis_within_a_cell_is_averaged_within_a_seed_first(view: View) -> None:
    rows = [Row("e", "a", {"d_k": 4}, 0, "loss", value, ("block", i)) for i, value in enumerate([1.0, 3.0])]
    rows += [Row("e", "a", {"d_k": 4}, 1, "loss", 10.0, ("block", 0))]
    assert summarize(view, Evidence(tuple(rows))).marks[0].seeds == (2.0, 10.0)


def test_arms_come_in_the_order_of_the_view_and_doses_by_size(view: View) -> None:
    rows = tuple(of([1.0], "b", 32) + of([1.0], "a", 4) + of([1.0], "c", 256))
    summary = summarize(replace(view, arms=("c", "b")), Evidence(rows))
    assert summary.series == ("c", "b")
    assert summary.places == (32, 256)


def test_long_curves_are_thinned_and_keep_their_ends(view: View) -> None:
    rows = tuple(Row("e", "a", {}, 0, "loss", float(i), ("step", i)) for i in range(1000))
    summary = summarize(replace(view, x=Axis("step", same("step"))), Evidence(rows))
    assert summary.thinned and len(summary.places) <= MOST_PLACES
    assert (summary.places[0], summary.places[-1]) == (0, 999)


def test_numbers_that_are_not_finite_are_not_drawn(view: View) -> None:
    assert summarize(view, Evidence(tuple(of([math.nan, math.inf])))).marks == ()
