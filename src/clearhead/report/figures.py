"""View + evidence + language -> a Vega-Lite specification that holds its own, already averaged numbers; and its SVG."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import vl_convert

from clearhead.bilingual import Language
from clearhead.experiments.evidence import Evidence, Scalar
from clearhead.experiments.views import View
from clearhead.report import bars, lines, tiles
from clearhead.report.labels import facet_names, place_names, series_names
from clearhead.report.notes import notes
from clearhead.report.numbers import with_interval
from clearhead.report.palette import DASHES, colour_rules, config
from clearhead.report.summaries import Mark, Summary, summarize
from clearhead.report.words import read
from clearhead.report.wrapping import wrap

Spec = dict[str, Any]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
VERSION = "6.4"
WIDTH = 680
DIGITS = 5


def figure(view: View, evidence: Evidence, language: Language, *, titled: bool = True) -> Spec:
    """The specification of one figure in one language. `titled=False` leaves title and notes to the page around it.

    Layers named `hover` only catch the pointer; layers named `names` write a series' name at the end of its line.
    """
    summary = summarize(view, evidence)
    names = series_names(view, summary, language)
    as_bars = view.kind == "bars" or (view.kind == "lines" and len(summary.places) < 2)
    draw = bars.panel if as_bars else tiles.panel if view.kind == "tiles" else lines.panel
    spec: Spec = {
        "$schema": SCHEMA,
        "config": config(),
        "data": {"values": _values(view, summary, names, language, as_bars)},
        **_framed(summary, draw(view, summary, names, language)),
    }
    if titled:
        said = [line for note in notes(view, summary, language) for line in wrap(note, 105)]
        spec["title"] = {"text": wrap(read(view.title, language), 84), "subtitle": said}
    return spec


def _values(
    view: View, summary: Summary, names: Mapping[Scalar, str], language: Language, as_bars: bool
) -> list[dict[str, Any]]:
    """One datum a mark, under our own field names: what a user named becomes no key and enters no expression."""
    dashes = {level: DASHES[i % len(DASHES)] for i, level in enumerate(names)}
    facets, places = facet_names(view, summary, language), place_names(view, summary, language)

    def datum(mark: Mark) -> dict[str, Any]:
        numeric = view.kind == "lines" and not as_bars and not isinstance(mark.x, str)
        return {
            "x": mark.x if numeric else places[mark.x],
            "y": _short(mark.centre),
            "low": None if mark.low is None else _short(mark.low),
            "high": None if mark.high is None else _short(mark.high),
            "series": names[mark.series],
            "facet": facets[mark.facet],
            "panel": summary.facets.index(mark.facet),
            "shown": " ".join(filter(None, with_interval(mark.centre, mark.low, mark.high))),
            "n": len(mark.seeds),
            **({"seeds": [_short(seed) for seed in mark.seeds]} if as_bars else {"dash": dashes[mark.series]}),
        }

    return [datum(mark) for mark in summary.marks]


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _framed(summary: Summary, panel: Spec) -> Spec:
    """One panel as wide as the page, or a panel for each facet."""
    if len(summary.facets) < 2:
        return {"width": WIDTH, "autosize": {"type": "fit-x", "contains": "padding"}, **panel}
    columns = min(3, len(summary.facets))
    outer = {name: panel.pop(name) for name in ("padding",) if name in panel}
    width = WIDTH // columns - 74
    return {
        "facet": {"field": "facet", "type": "nominal", "title": None, "sort": {"field": "panel", "op": "min"}},
        "columns": columns,
        "spec": {"width": width, **panel},
        **outer,
    }


def svg(spec: Spec, *, standalone: bool = True) -> str:
    """The SVG of a specification; Chinese stays text. `standalone` adds the rules that make it dark on dark grounds."""
    drawn = copy.deepcopy(spec)
    inner = drawn.get("spec", drawn)
    inner["layer"] = [layer for layer in inner["layer"] if layer.get("name") != "hover"]
    text: str = vl_convert.vegalite_to_svg(drawn, vl_version=VERSION)
    if not standalone:
        return text
    style = f"<style>:root {{ color-scheme: light dark }}\n{colour_rules()}</style>"
    return re.sub(r"(<svg\b[^>]*>)", lambda root: root[1] + style, text, count=1)
