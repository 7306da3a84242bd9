"""Bars over named places with whiskers and a dot for every seed; upright for short names, lying for long ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.cells import cell_len

from clearhead.bilingual import Language
from clearhead.experiments.evidence import Scalar
from clearhead.experiments.views import View
from clearhead.report.labels import axis_title, place_names, ticks
from clearhead.report.marks import colour, legend, pointer, rules, shape, value_domain
from clearhead.report.palette import INK, RULE
from clearhead.report.summaries import Summary

HEIGHT, BAR = 260, 26
UPRIGHT_CELLS = 7


def panel(view: View, summary: Summary, names: Mapping[Scalar, str], language: Language) -> dict[str, Any]:
    """The layers of one panel, from the back: bars (a log axis has no zero and gets none), seeds, whiskers, centres.

    At a single place the series stand side by side under their own names.
    """
    places = list(place_names(view, summary, language).values())
    alone = len(places) < 2 and len(names) > 1
    shelves = list(names.values()) if alone else places
    upright = all(cell_len(shelf) <= UPRIGHT_CELLS for shelf in shelves) and len(shelves) <= 8
    position, value = ("x", "y") if upright else ("y", "x")
    grouped = len(names) > 1 and view.colour != view.x.field and not alone
    axes = {
        position: _shelves(
            "series" if alone else "x", shelves, _shelf_title(view, places, language) if upright else None
        ),
        value: _values(
            view, summary, language, None if upright or len(places) > 1 else _shelf_title(view, places, language)
        ),
    }
    if grouped:
        axes[f"{position}Offset"] = {"field": "series", "type": "nominal", "scale": {"domain": list(names.values())}}
    shown = legend(names) if grouped else None
    said = pointer(view, language, axis_title(view.x, language) or " ")
    layers: list[dict[str, Any]] = [] if view.y.log else [_bars(axes, names, shown, said), _zero(value)]
    layers += rules(view, language, value)
    if any(len(mark.seeds) > 1 for mark in summary.marks):
        layers.append(_seeds(axes, names, shown, value))
    layers += [_whiskers(axes, names, shown, value), _centres(axes, names, shown, said)]
    bars = len(shelves) * (len(names) if grouped else 1)
    height = HEIGHT if upright else max(90, bars * BAR + len(shelves) * 10)
    # A reader's font may be wider than the one that the room was measured with.
    spare = 0.0 if upright else 1.6 * max(map(cell_len, shelves), default=0)
    return {"height": height, "layer": layers, "padding": {"left": 5 + spare, "top": 5, "right": 5, "bottom": 5}}


def _shelf_title(view: View, places: list[str], language: Language) -> str | None:
    """The title of the named axis with its only place; none where the names say all."""
    if view.x.field in ("arm", "measure"):
        return None
    title = axis_title(replace(view.x, log=False), language)
    return f"{title} {places[0]}" if len(places) == 1 else title


def _shelves(field: str, names: list[str], title: str | None) -> dict[str, Any]:
    return {
        "field": field,
        "type": "nominal",
        "sort": None,
        "scale": {"domain": names, "paddingInner": 0.3, "paddingOuter": 0.2},
        "axis": {"title": title, "labelAngle": 0, "domain": False, "ticks": False, "grid": False, "labelColor": INK},
    }


def _values(view: View, summary: Summary, language: Language, place: str | None) -> dict[str, Any]:
    title = axis_title(view.y, language)
    domain = value_domain(view, summary, with_zero=not view.y.log)
    return {
        "field": "y",
        "type": "quantitative",
        "scale": {"type": "log" if view.y.log else "linear", "domain": domain, "nice": False},
        "axis": {
            "title": f"{title} ({place})" if place else title,
            "domain": False,
            "ticks": False,
            **ticks(domain, view.y.log),
        },
    }


def _bars(
    axes: dict[str, Any], names: Mapping[Scalar, str], shown: dict[str, Any] | None, said: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "mark": {"type": "bar", "opacity": 0.26},
        "encoding": {**axes, "color": colour(names, shown), "tooltip": said},
    }


def _zero(value: str) -> dict[str, Any]:
    return {"mark": {"type": "rule", "color": RULE}, "data": {"values": [{}]}, "encoding": {value: {"datum": 0}}}


def _seeds(
    axes: dict[str, Any], names: Mapping[Scalar, str], shown: dict[str, Any] | None, value: str
) -> dict[str, Any]:
    return {
        "transform": [{"flatten": ["seeds"], "as": ["seed"]}],
        "mark": {"type": "circle", "size": 20, "opacity": 0.5},
        "encoding": {**axes, value: {**axes[value], "field": "seed"}, "color": colour(names, shown)},
    }


def _whiskers(
    axes: dict[str, Any], names: Mapping[Scalar, str], shown: dict[str, Any] | None, value: str
) -> dict[str, Any]:
    return {
        "transform": [{"filter": "isValid(datum.low) && isValid(datum.high)"}],
        "mark": {"type": "rule", "strokeWidth": 2},
        "encoding": {
            **axes,
            value: {**axes[value], "field": "low"},
            f"{value}2": {"field": "high"},
            "color": colour(names, shown),
        },
    }


def _centres(
    axes: dict[str, Any], names: Mapping[Scalar, str], shown: dict[str, Any] | None, said: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
        "encoding": {**axes, "color": colour(names, shown), "shape": shape(names, shown), "tooltip": said},
    }
