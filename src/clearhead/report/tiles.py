"""A heat map: a tile for each place of each series, its number written on it and its shade by the number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len

from clearhead.bilingual import Language
from clearhead.experiments.evidence import Scalar
from clearhead.experiments.views import View
from clearhead.report.labels import axis_title, place_names
from clearhead.report.marks import pointer
from clearhead.report.palette import INK, SERIES
from clearhead.report.summaries import Summary

ROW, MOST_NUMBERS, ROUNDING = 30, 12, 1e-12
FAINTEST, STRONGEST = 0.04, 0.62  # so that the numbers on the tiles can be read


def panel(view: View, summary: Summary, names: Mapping[Scalar, str], language: Language) -> dict[str, Any]:
    """The layers of one panel: tiles, then their numbers where there are few enough columns to read them."""
    places = list(place_names(view, summary, language).values())
    plain_axis = {"domain": False, "ticks": False, "grid": False, "labelColor": INK}
    axes = {
        "x": {
            **_nominal("x", places),
            "axis": {"title": axis_title(view.x, language) or None, "labelAngle": 0, **plain_axis},
        },
        "y": {**_nominal("series", list(names.values())), "axis": {"title": None, "labelLimit": 0, **plain_axis}},
    }
    tiles = {
        "mark": {"type": "rect", "color": SERIES[0], "stroke": None},
        "encoding": {**axes, "opacity": _shade(view, summary, language), "tooltip": pointer(view, language, " ")},
    }
    numbers = {
        "mark": {"type": "text", "color": INK, "fontSize": 11.5},
        "transform": [{"calculate": f"abs(datum.y) < {ROUNDING} ? 0 : datum.y", "as": "written"}],
        "encoding": {**axes, "text": {"field": "written", "type": "quantitative", "format": ".2~g"}},
    }
    layers = [tiles, numbers] if len(places) <= MOST_NUMBERS else [tiles]
    # A reader's font may be wider than the one that the room was measured with.
    spare = 1.6 * max(map(cell_len, names.values()), default=0)
    padding = {"left": 5 + spare, "top": 5, "right": 5, "bottom": 5}
    return {"height": max(90, ROW * len(names)), "layer": layers, "padding": padding}


def _nominal(field: str, names: list[str]) -> dict[str, Any]:
    scale = {"domain": names, "paddingInner": 0.06, "paddingOuter": 0}
    return {"field": field, "type": "nominal", "sort": None, "scale": scale}


def _shade(view: View, summary: Summary, language: Language) -> dict[str, Any]:
    """Opacity by the number; on a log scale by its order of magnitude."""
    centres = [mark.centre for mark in summary.marks]
    low, high = min(centres), max(centres)
    if not view.y.log:
        low = min(low, 0.0)
    ends = [low, high if high > low else low + 1.0]
    middle = math.sqrt(ends[0] * ends[1]) if view.y.log else sum(ends) / 2
    return {
        "field": "y",
        "type": "quantitative",
        "scale": {"type": "log" if view.y.log else "linear", "domain": ends, "range": [FAINTEST, STRONGEST]},
        "legend": {
            "title": axis_title(view.y, language),
            "values": [ends[0], middle, ends[1]],
            "format": ".2~g",
            "symbolType": "square",
            "symbolFillColor": SERIES[0],
            "symbolStrokeWidth": 0,
        },
    }
