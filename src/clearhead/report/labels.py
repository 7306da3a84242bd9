"""The names in a figure: of series, places and facets, the ticks of log axes, and names that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from clearhead.bilingual import Language
from clearhead.experiments.evidence import Scalar
from clearhead.experiments.views import Axis, View
from clearhead.report.numbers import plain
from clearhead.report.summaries import Summary
from clearhead.report.words import printable, read
from clearhead.report.wrapping import shortened

MOST_TICKS = 9
LINE = 15.0
WIDEST = 40
_EXPONENTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def series_names(view: View, summary: Summary, language: Language) -> dict[Scalar, str]:
    """A name for each series that no other has."""
    return _distinct({level: level_name(view, view.colour, level, language) for level in summary.series})


def place_names(view: View, summary: Summary, language: Language) -> dict[Scalar, str]:
    """A name for each place of a nominal axis."""
    return _distinct({level: level_name(view, "", level, language) for level in summary.places})


def facet_names(view: View, summary: Summary, language: Language) -> dict[Scalar, str]:
    """A name for each facet."""
    return _distinct({level: level_name(view, view.facet, level, language) for level in summary.facets})


def level_name(view: View, field: str, level: Scalar, language: Language) -> str:
    """The view's label for a level, else `d_k = 4` for a number, else the level itself."""
    label = view.labels.get(str(level))
    if label is not None:
        return read(label, language)
    if isinstance(level, str):
        return printable(level)
    return f"{printable(field)} = {plain(level)}" if field else plain(level)


def _distinct(names: Mapping[Scalar, str]) -> dict[Scalar, str]:
    """Short names, numbered where two would be the same."""
    # Vega cuts by code units, which can halve a character; so nothing is left for it to cut.
    short = {level: shortened(name, WIDEST) for level, name in names.items()}
    taken = list(short.values())
    return {
        level: name if taken.count(name) == 1 else f"{name} ({i})" for i, (level, name) in enumerate(short.items(), 1)
    }


def axis_title(axis: Axis, language: Language) -> str:
    """The title of an axis; a log axis says so."""
    title = read(axis.title, language)
    if not axis.log:
        return title
    return f"{title}（对数）" if language == "zh" else f"{title} (log)"


def ticks(domain: Sequence[float], log: bool, places: Sequence[Scalar] = ()) -> dict[str, Any]:
    """The ticks of a numeric axis: the places themselves where they are few, powers of ten on a log axis."""
    numbers = [float(place) for place in places if not isinstance(place, str)]
    if 0 < len(numbers) <= MOST_TICKS and (log or len(numbers) < MOST_TICKS):
        return {"values": numbers, "format": "~g", "labelOverlap": "greedy"}
    if not log:
        return {"tickCount": 6}
    low, high = (math.log10(end) for end in domain)
    exponents = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
    if len(exponents) < 2:
        return {"tickCount": 5, "format": "~g"}
    step = math.ceil(len(exponents) / 7)
    kept = exponents[::step]
    if kept[0] >= -3 and kept[-1] <= 4:
        return {"values": [10.0**n for n in kept], "format": "~g"}
    # A format writes 1e-5; people read 10⁻⁵.
    words = {n: "10" + str(n).translate(_EXPONENTS) for n in kept}
    choice = "".join(f"e == {n} ? '{word}' : " for n, word in words.items()).replace(
        "e ==", "round(log(datum.value)/LN10) =="
    )
    return {"values": [10.0**n for n in kept], "labelExpr": f"{choice}datum.label"}


def spread_heights(heights: Sequence[float], lowest: float, highest: float) -> list[float] | None:
    """Pixel heights moved apart until no two names overlap, as little as possible; None where there is no room."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    if len(heights) * LINE > highest - lowest + LINE:
        return None
    placed = [min(max(heights[i], lowest), highest) for i in order]
    for _ in range(200):
        moved = False
        for k in range(len(placed) - 1):
            lack = LINE - (placed[k + 1] - placed[k])
            if lack > 0.01:
                placed[k], placed[k + 1] = placed[k] - lack / 2, placed[k + 1] + lack / 2
                moved = True
        placed = [min(max(height, lowest), highest) for height in placed]
        if not moved:
            break
    result = [0.0] * len(placed)
    for i, height in zip(order, placed, strict=True):
        result[i] = height
    return result
