"""A strip: wanted region shaded, interval as a whisker, effect as a dot, all on a scale of its own, as a small SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clearhead.report.elements import EMPTY, Html, join, tag, text
from clearhead.report.numbers import plain
from clearhead.report.palette import GRID, MUTED, OUTCOME_COLOURS, RULE, SERIES
from clearhead.report.words import ROUNDING

WIDTH, HEIGHT, MIDDLE = 260.0, 44.0, 15.0
EDGE = 6.0
_TONES = {"supported": "good", "better": "good", "refuted": "bad", "worse": "bad", "undecided": "open"}


@dataclass(frozen=True)
class Strip:
    """What a strip shows; None is an open end. `exact` draws a diamond and the range, not an interval."""

    effect: float
    low: float | None
    high: float | None
    region: tuple[float | None, float | None]
    outcome: str
    exact: bool = False


def colour_of(outcome: str) -> str:
    """The palette's colour of an outcome."""
    return OUTCOME_COLOURS[_TONES.get(outcome, "none")]


def scale_of(strips: Sequence[Strip]) -> tuple[float, float]:
    """The ends of a scale on which all of these can be seen."""
    ends = [end for s in strips for end in (s.effect, s.low, s.high, *s.region) if end is not None]
    finite = [end for end in ends if math.isfinite(end)] or [0.0]
    low, high = min(finite), max(finite)
    room = 0.16 * (high - low) or abs(low) * 0.2 or 1.0
    return low - room, high + room


def draw(strip: Strip, scale: tuple[float, float] | None = None) -> Html:
    """The shapes of a strip in a box of WIDTH x HEIGHT."""
    low, high = scale or scale_of([strip])

    def at(value: float) -> float:
        inner = (min(max(value, low), high) - low) / (high - low)
        return round(EDGE + inner * (WIDTH - 2 * EDGE), 1)

    axis = tag("line", x1=0, x2=WIDTH, y1=MIDDLE, y2=MIDDLE, stroke=GRID, stroke_width=1)
    left = None if strip.region[0] is None else at(strip.region[0])
    right = None if strip.region[1] is None else at(strip.region[1])
    begin, end = (None if value is None else at(value) for value in (strip.low, strip.high))
    return join(
        [
            _region(left, right),
            axis,
            _whisker(begin, end, strip),
            _dot(at(strip.effect), strip),
            _bounds(strip, at),
        ]
    )


def _region(left: float | None, right: float | None) -> Html:
    if left is None and right is None:
        return EMPTY
    start, stop = left or 0.0, WIDTH if right is None else right
    if left is not None and right is not None and stop - start < 3:
        start, stop = (start + stop) / 2 - 1.5, (start + stop) / 2 + 1.5
    shade = tag("rect", x=start, y=2, width=stop - start, height=26, fill=SERIES[2], fill_opacity=0.14)
    borders = [
        tag("line", x1=x, x2=x, y1=2, y2=28, stroke=SERIES[2], stroke_opacity=0.55, stroke_width=1)
        for x in (left, right)
        if x is not None
    ]
    return join([shade, *borders])


def _whisker(begin: float | None, end: float | None, strip: Strip) -> Html:
    colour = colour_of(strip.outcome)
    parts = [
        tag(
            "line",
            x1=2 if begin is None else begin,
            x2=WIDTH - 2 if end is None else end,
            y1=MIDDLE,
            y2=MIDDLE,
            stroke=colour,
            stroke_width=2.4,
        )
    ]
    for place, edge, inward in ((begin, 2.0, 6), (end, WIDTH - 2, -6)):
        if place is None:
            tip = f"{edge},{MIDDLE} {edge + inward},{MIDDLE - 4} {edge + inward},{MIDDLE + 4}"
            parts.append(tag("polygon", points=tip, fill=colour))
        else:
            parts.append(tag("line", x1=place, x2=place, y1=MIDDLE - 5, y2=MIDDLE + 5, stroke=colour, stroke_width=1.6))
    return join(parts)


def _dot(x: float, strip: Strip) -> Html:
    colour = colour_of(strip.outcome)
    if strip.exact:
        corners = f"{x},{MIDDLE - 6.5} {x + 6.5},{MIDDLE} {x},{MIDDLE + 6.5} {x - 6.5},{MIDDLE}"
        return tag("polygon", points=corners, fill=colour)
    return tag("circle", cx=x, cy=MIDDLE, r=5, fill=colour)


def _bounds(strip: Strip, at: Callable[[float], float]) -> Html:
    """The region's bounds in figures below the axis; one label where two would overlap."""
    low, high = strip.region
    if low is not None and high is not None:
        margin, centre = (high - low) / 2, (low + high) / 2
        if margin <= ROUNDING * max(1.0, abs(centre)):
            return _label(at(centre), plain(centre))
        if at(high) - at(low) < 44:
            return _label(at(centre), f"{plain(low, 3)} … {plain(high, 3)}")
    return join(_label(at(bound), plain(bound, 3)) for bound in (low, high) if bound is not None)


def _label(x: float, words: str) -> Html:
    half = 3.1 * len(words)
    inside = min(max(x, half), WIDTH - half)
    tick = tag("line", x1=x, x2=x, y1=28, y2=31, stroke=RULE)
    return join(
        [tick, tag("text", text(words), x=round(inside, 1), y=41, text_anchor="middle", font_size=10.5, fill=MUTED)]
    )


def picture(strip: Strip | None, label: str, scale: tuple[float, float] | None = None) -> Html:
    """A strip as an SVG image with its meaning in words; empty where nothing was measured."""
    if strip is None:
        return EMPTY
    box = f"0 0 {WIDTH:g} {HEIGHT:g}"
    return tag("svg", draw(strip, scale), viewBox=box, role="img", aria_label=label, class_="strip")
