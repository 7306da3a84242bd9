"""`Claim`: a sentence that could fail, written before the run as a contrast of the evidence and a region for it.

A contrast turns the table into one number a seed (or an item); a region is where that number must lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clearhead.bilingual import Bilingual
from clearhead.evaluation.statistics import Sample
from clearhead.experiments.evidence import Evidence, Scalar

Said = Literal["textbook", "folk", "paper", "ours"]


@dataclass(frozen=True)
class Region:
    """The closed interval in which a number must lie; None is no bound on that side."""

    low: float | None
    high: float | None

    def holds(self, low: float, high: float) -> bool:
        """Whether all of [low, high] lies inside."""
        return (self.low is None or low >= self.low) and (self.high is None or high <= self.high)

    def misses(self, low: float, high: float) -> bool:
        """Whether all of [low, high] lies outside, on one side."""
        return (self.low is not None and high < self.low) or (self.high is not None and low > self.high)

    @property
    def bounds(self) -> list[float]:
        return [bound for bound in (self.low, self.high) if bound is not None]


def above(bound: float) -> Region:
    return Region(bound, None)


def below(bound: float) -> Region:
    return Region(None, bound)


def near(centre: float, margin: float) -> Region:
    return Region(centre - margin, centre + margin)


def exactly(value: float, tolerance: float = 1e-12) -> Region:
    """A number known in closed form, up to the rounding of float64."""
    return near(value, tolerance)


@dataclass(frozen=True)
class Contrast:
    """One number a seed, by `read(evidence)`; `experiment` says whose seeds it needs, `measure` what it reads."""

    experiment: str
    measure: str
    read: Callable[[Evidence], Sample]


@dataclass(frozen=True)
class Claim:
    """A contrast, the region written for it before the run, and the sentence that they stand for.

    `supported` and `refuted` are its sentence in the short answer, chosen by the verdict; none by default. They are
    templates that read any verdict by its claim's id: `{variance.effect:.2f}`, `.low`, `.high`, `.seeds`, and `.times`,
    which is 10 to the size of the effect, for effects in powers of ten.
    `exact` claims follow from algebra: they are judged by the range over all draws, not by a statistic.
    `by` says whose sentence the statement is, shown beside it: a textbook's answer that is refuted is said first.
    """

    id: str
    contrast: Contrast
    region: Region
    unit: str
    statement: Bilingual
    supported: Bilingual | None = None
    refuted: Bilingual | None = None
    kind: Literal["exact", "measured"] = "measured"
    by: Said = "ours"


def value(experiment: str, measure: str, arm: str, *, items: bool = False, **dose: Scalar) -> Contrast:
    """The measure itself, a number a seed (an item of its axis with `items`)."""
    return Contrast(experiment, measure, lambda e: _sample(_read(e, experiment, measure, arm, items, dose), items))


def difference(
    experiment: str, measure: str, arm: str, baseline: str, *, items: bool = False, **dose: Scalar
) -> Contrast:
    """arm - baseline, paired by seed (by item with `items`)."""

    def read(evidence: Evidence) -> Sample:
        ours = _read(evidence, experiment, measure, arm, items, dose)
        theirs = _read(evidence, experiment, measure, baseline, items, dose)
        return _sample({key: ours[key] - theirs[key] for key in ours if key in theirs}, items)

    return Contrast(experiment, measure, read)


def log_ratio(experiment: str, measure: str, arm: str, baseline: str, **dose: Scalar) -> Contrast:
    """log10(arm / baseline), paired by seed: orders of magnitude between two positive measures."""

    def read(evidence: Evidence) -> Sample:
        ours = evidence.by_seed(experiment, measure, arm, **dose)
        theirs = evidence.by_seed(experiment, measure, baseline, **dose)
        return _sample({key: _log10(ours[key]) - _log10(theirs[key]) for key in ours if key in theirs}, False)

    return Contrast(experiment, measure, read)


def change(experiment: str, measure: str, arm: str, *, over: str, high: Scalar, low: Scalar) -> Contrast:
    """The measure of one arm at dose `high` minus that at dose `low`, paired by seed."""

    def read(evidence: Evidence) -> Sample:
        a, b = (evidence.by_seed(experiment, measure, arm, **{over: level}) for level in (high, low))
        return _sample({seed: a[seed] - b[seed] for seed in a if seed in b}, False)

    return Contrast(experiment, measure, read)


def slope(experiment: str, measure: str, arm: str, *, over: str) -> Contrast:
    """The log-log slope of a positive measure over a positive dose, a least-squares line a seed."""

    def read(evidence: Evidence) -> Sample:
        curves: dict[int, list[tuple[float, float]]] = {}
        for level in evidence.levels(experiment, over):
            for seed, number in evidence.by_seed(experiment, measure, arm, **{over: level}).items():
                curves.setdefault(seed, []).append((_log10(float(level)), _log10(number)))
        complete = max((len(curve) for curve in curves.values()), default=0)
        return _sample({s: _line(curve) for s, curve in curves.items() if len(curve) == complete >= 2}, False)

    return Contrast(experiment, measure, read)


def interaction(
    experiment: str, measure: str, arm: str, baseline: str, *, over: str, high: Scalar, low: Scalar
) -> Contrast:
    """(arm - baseline) at dose `high` minus the same at dose `low`, paired by seed: how far the effect moves."""

    def read(evidence: Evidence) -> Sample:
        a, b, c, d = (
            evidence.by_seed(experiment, measure, name, **{over: level})
            for level in (high, low)
            for name in (arm, baseline)
        )
        seeds = sorted(a.keys() & b.keys() & c.keys() & d.keys())
        return _sample({seed: (a[seed] - b[seed]) - (c[seed] - d[seed]) for seed in seeds}, False)

    return Contrast(experiment, measure, read)


def both_ways(
    experiment: str, measure: str, first: tuple[str, str], second: tuple[str, str], **dose: Scalar
) -> Contrast:
    """(a - b) of the `first` two arms minus (a - b) of the `second`, paired by seed: two switches, two by two."""

    def read(evidence: Evidence) -> Sample:
        a, b, c, d = (evidence.by_seed(experiment, measure, arm, **dose) for arm in (*first, *second))
        seeds = sorted(a.keys() & b.keys() & c.keys() & d.keys())
        return _sample({seed: (a[seed] - b[seed]) - (c[seed] - d[seed]) for seed in seeds}, False)

    return Contrast(experiment, measure, read)


def every(experiment: str, measure: str, *arms: str, **dose: Scalar) -> Contrast:
    """Every single observation of a measure under these arms: what an exact claim is judged by."""

    def read(evidence: Evidence) -> Sample:
        found = [row.value for arm in arms for row in evidence.where(experiment, measure, arm, **dose)]
        return Sample(tuple(found))

    return Contrast(experiment, measure, read)


def _read(
    evidence: Evidence, experiment: str, measure: str, arm: str, items: bool, dose: dict[str, Scalar]
) -> dict[Scalar, float]:
    if items:
        return evidence.by_item(experiment, measure, arm, **dose)
    found: dict[Scalar, float] = {}
    found.update(evidence.by_seed(experiment, measure, arm, **dose).items())
    return found


def _sample(found: dict[Scalar, float] | dict[int, float], items: bool) -> Sample:
    return Sample(tuple(found.values()), items)


def _log10(number: float) -> float:
    return math.log10(number) if number > 0 else math.nan


def _line(curve: list[tuple[float, float]]) -> float:
    x, y = zip(*curve, strict=True)
    return float(np.polyfit(x, y, 1)[0])
