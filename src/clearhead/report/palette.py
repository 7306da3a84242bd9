"""The colours of all figures and pages, each with its twin for dark grounds, and the Vega-Lite theme.

Series follow Okabe and Ito (2008), which colour-blind readers tell apart; shapes and dashes say the same once more.
"""

from __future__ import annotations

from typing import Any

INK, MUTED, GRID, RULE = "#22272c", "#5b646d", "#e0e4e8", "#7d868f"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")
SERIES_TEXT = ("#00659e", "#b34f00", "#007a59", "#a0487c", "#8a5f00", "#1b75a8", "#666666")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
DASHES = ([1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [5, 5], [12, 4], [1, 3])

DARK = {
    INK: "#e8eaed",
    MUTED: "#a5aeb7",
    GRID: "#343a41",
    RULE: "#8d96a0",
    **dict(zip(SERIES, ("#4ba3dc", "#f0803c", "#2fc196", "#e39cc4", "#f0b73f", "#7cc8f2", "#a8a8a8"), strict=True)),
    **dict(
        zip(SERIES_TEXT, ("#6cb7e8", "#f5985e", "#4fd0a9", "#ebb1d1", "#f2c35c", "#94d3f6", "#bdbdbd"), strict=True)
    ),
}
OUTCOME_COLOURS = {"good": SERIES_TEXT[2], "bad": SERIES_TEXT[1], "open": SERIES_TEXT[4], "none": MUTED}

FONT = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', "
    "'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', 'Source Han Sans SC', sans-serif"
)


def colour_rules(prefix: str = "") -> str:
    """CSS that gives every palette colour in an SVG below `prefix` its dark twin, by `light-dark()`."""
    return "\n".join(
        f'{prefix} [{name}="{light}"] {{ {name}: light-dark({light}, {dark}) }}'.strip()
        for light, dark in DARK.items()
        for name in ("fill", "stroke")
    )


_TEXT = {"labelColor": MUTED, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12.5, "labelLimit": 0}
_AXIS = {
    **_TEXT,
    "titleFontWeight": 400,
    "titlePadding": 9,
    "labelPadding": 5,
    "gridColor": GRID,
    "domainColor": RULE,
    "tickColor": RULE,
    "tickSize": 4,
}
_LEGEND = {
    **_TEXT,
    "titleFontWeight": 400,
    "orient": "top",
    "direction": "horizontal",
    "symbolSize": 90,
    "symbolOpacity": 1,
    "symbolStrokeWidth": 2,
    "columnPadding": 18,
}
_TITLE = {
    "color": INK,
    "subtitleColor": MUTED,
    "fontSize": 15,
    "subtitleFontSize": 12,
    "fontWeight": 600,
    "anchor": "start",
    "frame": "group",
    "offset": 14,
    "subtitlePadding": 5,
}


def config() -> dict[str, Any]:
    """The Vega-Lite theme: transparent ground, quiet axes, sizes that stay readable when scaled down."""
    return {
        "background": "transparent",
        "font": FONT,
        "aria": False,
        "view": {"stroke": None},
        "axis": _AXIS,
        "legend": _LEGEND,
        "header": {**_TEXT, "labelFontWeight": 600, "labelColor": INK},
        "title": _TITLE,
    }
