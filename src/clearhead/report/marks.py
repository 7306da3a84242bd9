"""The parts of a figure that lines and bars share: colours with shapes, named rules, pointer texts, domains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from clearhead.bilingual import Language
from clearhead.experiments.evidence import Scalar
from clearhead.experiments.views import View
from clearhead.report.labels import axis_title
from clearhead.report.palette import DASHES, MUTED, RULE, SERIES, SHAPES
from clearhead.report.summaries import Summary
from clearhead.report.words import WORDS, read

Encoding = dict[str, Any]


def colour(names: Mapping[Scalar, str], legend: Encoding | None) -> Encoding:
    """The colour of a series."""
    return _scaled(names, SERIES, legend)


def shape(names: Mapping[Scalar, str], legend: Encoding | None) -> Encoding:
    """The shape of a series, which says once more what its colour says."""
    return _scaled(names, SHAPES, legend)


def dash(names: Mapping[Scalar, str], legend: Encoding | None) -> Encoding:
    """The dash of a series, which says once more what its colour says."""
    return _scaled(names, DASHES, legend)


def _scaled(names: Mapping[Scalar, str], values: Sequence[Any], legend: Encoding | None) -> Encoding:
    domain = list(names.values())
    chosen = [values[i % len(values)] for i in range(len(domain))]
    return {"field": "series", "type": "nominal", "scale": {"domain": domain, "range": chosen}, "legend": legend}


def legend(names: Mapping[Scalar, str], **more: Any) -> Encoding | None:
    """The legend of the series; None for a single one, which the title names."""
    if len(names) < 2:
        return None
    widest = max(map(len, names.values()))
    return {"title": None, "columns": max(1, min(len(names), 90 // (widest + 6))), **more}


def value_domain(view: View, summary: Summary, *, with_zero: bool) -> list[float]:
    """The ends of the value axis: all centres, bands, rules, and zero where it is asked for or near."""
    ends = [end for m in summary.marks for end in (m.centre, m.low, m.high) if end is not None]
    if with_zero:
        ends += [seed for mark in summary.marks for seed in mark.seeds]
    ends += list(view.rules)
    if view.y.log:
        positive = [end for end in ends if end > 0] or [1.0]
        low, high = math.log10(min(positive)), math.log10(max(positive))
        room = max(0.04 * (high - low), 0.05)
        return [10 ** (low - room), 10 ** (high + room)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    if with_zero or view.baseline or 0 < low < 0.5 * (high - low):
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.05 * (high - low) or max(abs(high) * 0.1, 0.5)
    return [low - room if low < 0 or low > 0 else 0.0, high + room if high != 0 else 0.0]


def pointer(view: View, language: Language, first: str) -> list[Encoding]:
    """What is said where the pointer rests; `first` is the title of the place."""
    return [
        {"field": "series", "type": "nominal", "title": " "},
        {"field": "x", "title": first, "type": "nominal"},
        {"field": "shown", "type": "nominal", "title": axis_title(view.y, language)},
        {"field": "n", "type": "nominal", "title": read(WORDS["seeds"], language)},
    ]


def rules(view: View, language: Language, value: str) -> list[Encoding]:
    """A thin dashed line with its name for each rule of the view, across `value` ("y" or "x")."""
    if not view.rules:
        return []
    data = {"values": [{"at": at, "name": read(name, language)} for at, name in view.rules.items()]}
    at = {value: {"field": "at", "type": "quantitative"}}
    across = value == "y"
    text = {
        "type": "text",
        "align": "left",
        "color": MUTED,
        "fontSize": 11.5,
        "baseline": "bottom" if across else "top",
    }
    place: Encoding = {"x": {"value": 4}} if across else {"y": {"value": -13}}
    return [
        {"data": data, "mark": {"type": "rule", "color": RULE, "strokeDash": [4, 3]}, "encoding": at},
        {
            "data": data,
            "mark": {**text, "dy": -3} if across else {**text, "dx": 3},
            "encoding": {**at, **place, "text": {"field": "name", "type": "nominal"}},
        },
    ]
