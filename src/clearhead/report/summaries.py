"""Evidence -> the few numbers a figure shows: a centre, a band and the seeds for each series and place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clearhead.evaluation.statistics import Sample, interval
from clearhead.experiments.evidence import Evidence, Row, Scalar
from clearhead.experiments.views import View

ALPHA = 0.05
QUANTILES = (0.1, 0.5, 0.9)
MOST_PLACES = 120


@dataclass(frozen=True)
class Mark:
    """One place of one series: the centre over seeds, its band (None where there is none), and every seed's number."""

    facet: Scalar
    series: Scalar
    x: Scalar
    centre: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class Summary:
    """All marks of a figure and the orders of its levels; `dropped` numbers had no place on a log axis.

    `thinned` says that only evenly spaced places of a long curve were kept.
    """

    marks: tuple[Mark, ...]
    series: tuple[Scalar, ...]
    facets: tuple[Scalar, ...]
    places: tuple[Scalar, ...]
    dropped: int
    thinned: bool

    @property
    def seeds(self) -> tuple[int, int]:
        """The fewest and the most seeds of a mark."""
        counts = [len(mark.seeds) for mark in self.marks]
        return min(counts, default=0), max(counts, default=0)


@dataclass(frozen=True)
class _Key:
    arm: str
    measure: str
    facet: Scalar
    series: Scalar
    x: Scalar


def summarize(view: View, evidence: Evidence) -> Summary:
    """The marks of a view: seeds first (a measure with an axis of its own is averaged within a seed), then the band."""
    cells = _cells(view, evidence)
    if view.baseline:
        cells = _differences(view, cells)
    places = _order([key.x for key in cells])
    kept = set(_thin(places, view.x.log)) if view.kind == "lines" else set(places)
    marks, dropped = [], 0
    grouped: dict[tuple[Scalar, Scalar, Scalar], list[float]] = {}
    for key, seeds in cells.items():
        if key.x in kept:
            grouped.setdefault((key.facet, key.series, key.x), []).extend(seeds.values())
    for (facet, series, x), values in grouped.items():
        shown = [number for number in values if _has_place(view, x, number)]
        dropped += len(values) - len(shown)
        if shown:
            marks.append(Mark(facet, series, x, *_centre_and_band(view, shown), tuple(shown)))
    return Summary(
        tuple(marks),
        _arranged(view, view.colour, [mark.series for mark in marks]),
        _order([mark.facet for mark in marks]),
        _arranged(view, view.x.field, [mark.x for mark in marks]),
        dropped,
        len(kept) < len(places),
    )


def _cells(view: View, evidence: Evidence) -> dict[_Key, dict[int, float]]:
    """`{key: {seed: value}}` of the rows that the view is about."""
    arms = {*view.arms, view.baseline} - {""} if view.arms else None
    found: dict[_Key, dict[int, list[float]]] = {}
    for measure in view.measures:
        for row in evidence.where(view.experiment, measure, None, **view.where):
            x = _level(row, view.x.field)
            if (arms is not None and row.arm not in arms) or x is None or not math.isfinite(row.value):
                continue
            facet, series = _level(row, view.facet), _level(row, view.colour)
            key = _Key(row.arm, measure, "" if facet is None else facet, "" if series is None else series, x)
            found.setdefault(key, {}).setdefault(row.seed, []).append(row.value)
    return {key: {s: sum(v) / len(v) for s, v in seeds.items()} for key, seeds in found.items()}


def _level(row: Row, field: str) -> Scalar | None:
    if field == "arm":
        return row.arm
    if field == "measure":
        return row.measure
    if row.at is not None and row.at[0] == field:
        return row.at[1]
    return row.dose.get(field)


def _differences(view: View, cells: Mapping[_Key, Mapping[int, float]]) -> dict[_Key, dict[int, float]]:
    """Every arm minus the baseline arm at the same place, paired by seed; the baseline itself is left out."""

    def swapped(field: str, level: Scalar) -> Scalar:
        return view.baseline if field == "arm" else level

    differences = {}
    for key, seeds in cells.items():
        if key.arm == view.baseline:
            continue
        facet, series = swapped(view.facet, key.facet), swapped(view.colour, key.series)
        theirs = cells.get(_Key(view.baseline, key.measure, facet, series, swapped(view.x.field, key.x)), {})
        differences[key] = {seed: seeds[seed] - theirs[seed] for seed in seeds if seed in theirs}
    return differences


def _has_place(view: View, x: Scalar, value: float) -> bool:
    x_shown = not view.x.log or (not isinstance(x, str) and x > 0)
    return x_shown and (not view.y.log or value > 0)


def _centre_and_band(view: View, values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean and t interval, or median and quantiles. On a log axis the interval is that of the logarithms."""
    if view.band == "spread":
        low, centre, high = (float(q) for q in np.quantile(values, QUANTILES))
        return centre, low, high
    sample = Sample(tuple(map(math.log10, values)) if view.y.log else tuple(values))
    ends = interval(sample, ALPHA) if view.band == "interval" and sample.n > 1 else (None, None)
    back = (sample.mean, *ends)
    centre, low_end, high_end = (10**n if view.y.log and n is not None else n for n in back)
    return (sample.mean if centre is None else centre), low_end, high_end


def _thin(places: Sequence[Scalar], log: bool) -> list[Scalar]:
    """At most `MOST_PLACES` of many places, evenly spaced (in the logarithm on a log axis); the ends always stay."""
    if len(places) <= MOST_PLACES:
        return list(places)
    last = len(places) - 1
    steps = np.geomspace(1, last + 1, MOST_PLACES) - 1 if log else np.linspace(0, last, MOST_PLACES)
    return [places[i] for i in sorted({round(float(step)) for step in steps})]


def _arranged(view: View, field: str, levels: Sequence[Scalar]) -> tuple[Scalar, ...]:
    """Levels in the order that the view gives them (its arms, its measures), else as `_order`."""
    wished = view.arms if field == "arm" else view.measures if field == "measure" else ()
    seen = set(levels)
    first = [level for level in wished if level in seen]
    return (*first, *_order([level for level in levels if level not in first]))


def _order(levels: Sequence[Scalar]) -> tuple[Scalar, ...]:
    """Each level once: numbers by size, names as they came."""
    once = list(dict.fromkeys(levels))
    if all(not isinstance(level, str) for level in once):
        return tuple(sorted(once))
    return tuple(once)
