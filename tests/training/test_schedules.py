"""The learning rate's shape over a run."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from clearhead.errors import InputError
from clearhead.spec import validate
from clearhead.training.schedules import SCHEDULES, ScheduleSpec, learning_rate_share

SHAPES = [ScheduleSpec(name=name) for name in SCHEDULES]  # type: ignore[arg-type]
EVERY = pytest.mark.parametrize("shape", SHAPES, ids=list(SCHEDULES))


@EVERY
def test_warmup_is_a_straight_line_to_the_peak(shape: ScheduleSpec) -> None:
    assert learning_rate_share(shape, 0.2, 0.05) == pytest.approx(0.25)
    assert learning_rate_share(shape, 0.2, 0.2) == pytest.approx(1.0)


@EVERY
def test_after_the_warmup_it_never_rises(shape: ScheduleSpec) -> None:
    shares = [learning_rate_share(shape, 0.1, place / 100) for place in range(10, 101)]
    assert all(0 <= later <= earlier <= 1 for earlier, later in pairwise(shares))


@pytest.mark.parametrize(
    ("shape", "middle", "end"),
    [
        (ScheduleSpec(name="constant"), 1, 1),
        (ScheduleSpec(name="linear"), 0.5, 0),
        (ScheduleSpec(name="cosine"), 0.5, 0),
        (ScheduleSpec(name="polynomial", power=3), 0.125, 0),
        (ScheduleSpec(name="exponential", factor=0.01), 0.1, 0.01),
        (ScheduleSpec(name="step", factor=0.5, drops=4), 0.25, 0.0625),
    ],
)
def test_the_rest_follows_the_schedule(shape: ScheduleSpec, middle: float, end: float) -> None:
    assert learning_rate_share(shape, 0.2, 0.6) == pytest.approx(middle)
    assert learning_rate_share(shape, 0.2, 1.0) == pytest.approx(end, abs=1e-15)


def test_cosine_is_the_papers() -> None:
    shape = ScheduleSpec(name="cosine")
    assert learning_rate_share(shape, 0.0, 0.25) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


@pytest.mark.parametrize("step", [1, 250, 1000, 1001, 4000, 10_000])
def test_inverse_sqrt_is_the_papers(step: int) -> None:
    """min(step^-0.5, step warmup^-1.5), as a share of its peak at the end of 1000 of 10 000 steps."""
    papers = min(step**-0.5, step * 1000**-1.5) / 1000**-0.5
    assert learning_rate_share(ScheduleSpec(name="inverse_sqrt"), 0.1, step / 10_000) == pytest.approx(papers)


def test_half_a_warmup_and_a_line_down_is_one_triangle() -> None:
    rise, fall = (learning_rate_share(ScheduleSpec(), 0.5, place) for place in (0.3, 0.7))
    assert rise == pytest.approx(fall) == pytest.approx(0.6)


@EVERY
def test_progress_beyond_the_budget_is_its_end(shape: ScheduleSpec) -> None:
    assert learning_rate_share(shape, 0.1, 1.2) == learning_rate_share(shape, 0.1, 1.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"power": 3}, "power belongs to polynomial, not to linear"),
        ({"name": "cosine", "factor": 0.5}, "factor belongs to exponential, step, not to cosine"),
        ({"name": "exponential", "drops": 3}, "drops belongs to step, not to exponential"),
        ({"name": "step", "factor": 1.0}, "schedule.factor"),
        ({"name": "inverse"}, "did you mean 'inverse_sqrt'?"),
    ],
)
def test_a_contradiction_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        validate(ScheduleSpec, data, "schedule")
    assert message in str(refusal.value)
