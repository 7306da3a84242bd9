"""Lines over a numeric axis with their bands, and names at their ends where there is room."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len

from clearhead.bilingual import Language
from clearhead.experiments.evidence import Scalar
from clearhead.experiments.views import View
from clearhead.report.labels import axis_title, spread_heights, ticks
from clearhead.report.marks import colour, dash, legend, pointer, rules, shape, value_domain
from clearhead.report.palette import RULE, SERIES_TEXT
from clearhead.report.summaries import Mark, Summary

HEIGHT, PANEL_HEIGHT = 300, 190
MOST_POINTS = 12
NAME_CELLS = 26


def panel(view: View, summary: Summary, names: Mapping[Scalar, str], language: Language) -> dict[str, Any]:
    """The layers of one panel, from the back: rules, bands, lines, points, names."""
    height = HEIGHT if len(summary.facets) < 2 else PANEL_HEIGHT
    domain = value_domain(view, summary, with_zero=False)
    ends = _names_at_ends(view, summary, names, domain, height)
    axes = _axes(view, summary, domain, language)
    few = len(summary.places) <= MOST_POINTS
    shown = None if ends else legend(names) if few else legend(names, symbolType="stroke")
    layers = [*_zero(view, domain), *rules(view, language, "y")]
    if any(mark.low is not None for mark in summary.marks):
        layers.append(_band(axes, names, shown, domain))
    layers.append(_line(axes, names, shown, few))
    said = pointer(view, language, axis_title(view.x, language))
    layers.append(_points(axes, names, shown, said) if few else _hover(axes, names, shown, said))
    if ends:
        layers.append(_names(ends))
    frame: dict[str, Any] = {"height": height, "layer": layers}
    if ends:
        # The names count as part of the drawing; a reader's wider font gets some spare room.
        widest = max(cell_len(end["name"]) for end in ends)
        frame["padding"] = {"left": 5, "top": 5, "bottom": 5, "right": 5 + widest}
    return frame


def _axes(view: View, summary: Summary, domain: list[float], language: Language) -> dict[str, Any]:
    numeric = not any(isinstance(place, str) for place in summary.places)
    title = axis_title(view.x, language)
    if not numeric:
        x: dict[str, Any] = {"field": "x", "type": "ordinal", "sort": None, "axis": {"title": title, "labelAngle": 0}}
        return {"x": x, "y": _y(view, domain, language)}
    places = [float(place) for place in summary.places]
    ends = [min(places), max(places)]
    x = {
        "field": "x",
        "type": "quantitative",
        "scale": {"type": "log" if view.x.log else "linear", "domain": ends, "nice": False, "padding": 8},
        "axis": {"title": title, "grid": False, **ticks(ends, view.x.log, summary.places)},
    }
    return {"x": x, "y": _y(view, domain, language)}


def _y(view: View, domain: list[float], language: Language) -> dict[str, Any]:
    return {
        "field": "y",
        "type": "quantitative",
        "scale": {"type": "log" if view.y.log else "linear", "domain": domain, "nice": False},
        "axis": {"title": axis_title(view.y, language), "domain": False, "ticks": False, **ticks(domain, view.y.log)},
    }


def _zero(view: View, domain: list[float]) -> list[dict[str, Any]]:
    """A line at zero where the axis passes through it."""
    if view.y.log or not domain[0] < 0 < domain[1] or 0 in view.rules:
        return []
    return [{"mark": {"type": "rule", "color": RULE}, "data": {"values": [{}]}, "encoding": {"y": {"datum": 0}}}]


def _band(
    axes: dict[str, Any], names: Mapping[Scalar, str], shown: dict[str, Any] | None, domain: list[float]
) -> dict[str, Any]:
    # Nothing is clipped, so a band that leaves the domain is cut here.
    bounded = [
        {"calculate": f"max(datum.low, {domain[0]})", "as": "bottom"},
        {"calculate": f"min(datum.high, {domain[1]})", "as": "top"},
    ]
    return {
        "transform": [{"filter": "isValid(datum.low) && isValid(datum.high)"}, *bounded],
        "mark": {"type": "area", "opacity": 0.16, "interpolate": "linear"},
        "encoding": {
            "x": axes["x"],
            "y": {**axes["y"], "field": "bottom"},
            "y2": {"field": "top"},
            "color": colour(names, shown),
        },
    }


def _line(axes: dict[str, Any], names: Mapping[Scalar, str], shown: dict[str, Any] | None, few: bool) -> dict[str, Any]:
    # Beside points the legend shows shapes, and dashes are read from the data so that they do not enter it.
    dashes = {"field": "dash", "type": "nominal", "scale": None} if few else dash(names, shown)
    return {
        "mark": {"type": "line", "strokeWidth": 2.2, "strokeJoin": "round"},
        "encoding": {**axes, "color": colour(names, shown), "strokeDash": dashes},
    }


def _points(
    axes: dict[str, Any], names: Mapping[Scalar, str], shown: dict[str, Any] | None, said: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "mark": {"type": "point", "filled": True, "size": 62, "opacity": 1},
        "encoding": {**axes, "color": colour(names, shown), "shape": shape(names, shown), "tooltip": said},
    }


def _hover(
    axes: dict[str, Any], names: Mapping[Scalar, str], shown: dict[str, Any] | None, said: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": "hover",
        "mark": {"type": "circle", "size": 90, "opacity": 0},
        "encoding": {**axes, "color": colour(names, shown), "tooltip": said},
    }


def _names_at_ends(
    view: View, summary: Summary, names: Mapping[Scalar, str], domain: list[float], height: int
) -> list[dict[str, Any]]:
    """Where each line's name stands, moved apart where they would overlap; empty where a legend does better."""
    last: dict[Scalar, Mark] = {}
    for mark in summary.marks:
        if not isinstance(mark.x, str) and (mark.series not in last or mark.x > last[mark.series].x):  # type: ignore[operator]
            last[mark.series] = mark
    same_end = len({mark.x for mark in last.values()}) == 1
    short = all(cell_len(names[level]) <= NAME_CELLS for level in last)
    if len(names) < 2 or len(summary.facets) > 1 or not same_end or not short:
        return []
    marks = [last[level] for level in summary.series]
    placed = spread_heights([_height(mark.centre, domain, height, view.y.log) for mark in marks], 0, height)
    if placed is None:
        return []
    return [
        {"at": at, "name": names[mark.series], "ink": SERIES_TEXT[i % len(SERIES_TEXT)]}
        for i, (at, mark) in enumerate(zip(placed, marks, strict=True))
    ]


def _height(value: float, domain: list[float], height: int, log: bool) -> float:
    """Pixels from the top."""
    low, high, here = (math.log10(n) if log else n for n in (*domain, value))
    return height * (high - here) / (high - low)


def _names(ends: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": "names",
        "data": {"values": ends},
        "mark": {"type": "text", "align": "left", "baseline": "middle", "fontSize": 12.5, "fontWeight": 500, "dx": 12},
        "encoding": {
            "x": {"value": "width"},
            "y": {"field": "at", "type": "quantitative", "scale": None},
            "text": {"field": "name", "type": "nominal"},
            "color": {"field": "ink", "type": "nominal", "scale": None},
        },
    }
