from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import altair
import pytest

from clearhead.bilingual import LANGUAGES, Bilingual, Language, same
from clearhead.experiments.evidence import Evidence, Row
from clearhead.experiments.views import Axis, View
from clearhead.report.figures import figure, svg
from clearhead.report.labels import spread_heights, ticks
from clearhead.report.notes import notes, reading
from clearhead.report.summaries import summarize

CURVE = Axis("step", Bilingual("step", "步数"))
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "lines": {},
    "log": {"y": Axis("value", same("loss"), log=True)},
    "spread": {"band": "spread"},
    "no band": {"band": "none"},
    "bars": {"kind": "bars"},
    "bars over arms": {"kind": "bars", "x": Axis("arm", same("arm"))},
    "bars on a log axis": {"kind": "bars", "y": Axis("value", same("loss"), log=True)},
    "one level": {"where": {"d_k": 256}},
    "facets": {"facet": "d_k", "x": Axis("arm", same("arm")), "kind": "bars"},
    "facets of lines": {"facet": "arm", "colour": "measure"},
    "rules": {"rules": {0.5: Bilingual("optimum", "最优")}},
    "baseline": {"baseline": "scaled"},
    "curve": {"experiment": "train", "x": CURVE},
    "colour by dose": {"x": Axis("arm", same("arm")), "kind": "bars", "colour": "d_k"},
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_view_is_valid_vega_lite_and_draws(
    name: str, language: Language, dose_view: View, evidence: Evidence
) -> None:
    spec = figure(replace(dose_view, **VARIANTS[name]), evidence, language)
    altair.Chart.from_dict(spec)
    drawn = ElementTree.fromstring(svg(spec))
    assert drawn.tag.endswith("svg")
    words = "".join(drawn.itertext())
    assert ("Wide heads suffer" if language == "en" else "宽头受损") in words


def test_names_stand_at_the_ends_of_lines_and_apart(dose_view: View, evidence: Evidence) -> None:
    spec = figure(dose_view, evidence, "zh")
    names = next(layer for layer in spec["layer"] if layer.get("name") == "names")
    shown = {value["name"]: value["at"] for value in names["data"]["values"]}
    assert set(shown) == {"缩放", "不缩放"}
    assert shown["不缩放"] < shown["缩放"] - 14


def test_many_series_get_a_legend(dose_view: View, evidence: Evidence) -> None:
    spec = figure(replace(dose_view, experiment="recall", facet="d_k", kind="lines"), evidence, "en")
    assert not any(layer.get("name") == "names" for layer in spec["spec"]["layer"])
    assert any(layer["encoding"].get("color", {}).get("legend") for layer in spec["spec"]["layer"])


def test_log_axes_say_so(dose_view: View, evidence: Evidence) -> None:
    assert "d_k (log)" in json.dumps(figure(dose_view, evidence, "en"))
    assert "d_k（对数）" in json.dumps(figure(dose_view, evidence, "zh"), ensure_ascii=False)


def test_a_specification_stays_small_and_holds_no_seed_of_a_curve(dose_view: View, evidence: Evidence) -> None:
    spec = figure(replace(dose_view, experiment="train", x=CURVE), evidence, "en")
    assert len(json.dumps(spec)) < 60_000
    assert len(spec["data"]["values"]) <= 240


def test_an_svg_alone_has_colours_for_both_grounds_and_one_in_a_page_has_no_style(
    dose_view: View, evidence: Evidence
) -> None:
    spec = figure(dose_view, evidence, "en")
    assert "light-dark(" in svg(spec)
    assert "<style" not in svg(spec, standalone=False)
    assert " style=" not in svg(spec, standalone=False)


def test_the_layer_for_the_pointer_is_not_in_the_still_picture(dose_view: View, evidence: Evidence) -> None:
    spec = figure(replace(dose_view, experiment="train", x=CURVE), evidence, "en")
    assert any(layer.get("name") == "hover" for layer in spec["layer"])
    assert svg(spec).count("<path") < 60
    assert any(layer.get("name") == "hover" for layer in spec["layer"])


def test_what_is_said_beside_a_figure_comes_from_its_numbers(dose_view: View, evidence: Evidence) -> None:
    summary = summarize(dose_view, evidence)
    assert notes(dose_view, summary, "en") == ["Mean of 4 seeds; band: 95 % interval (Student's t)."]
    assert notes(replace(dose_view, baseline="scaled"), summary, "zh")[1] == "与“缩放”之差，按种子配对。"
    said = reading(dose_view, summary, {"scaled": "scaled", "unscaled": "unscaled"}, "en")
    assert said == "At d_k 256, scaled: 0.160 [0.078, 0.242]; unscaled: 5.705 [5.623, 5.787]."


def test_heights_are_moved_apart_only_where_needed() -> None:
    assert spread_heights([10, 200], 0, 300) == [10, 200]
    placed = spread_heights([100, 102, 104], 0, 300)
    assert placed is not None
    assert all(b - a >= 14.9 for a, b in itertools.pairwise(placed))
    assert spread_heights([1.0] * 40, 0, 300) is None


def test_ticks_of_a_log_axis_are_powers_of_ten() -> None:
    tiny = ticks([1e-6, 1.0], True)
    assert tiny["values"] == pytest.approx([10.0**n for n in range(-6, 1)])
    assert "10⁻⁶" in tiny["labelExpr"]
    assert ticks([4, 1024], True, (4, 64, 1024))["values"] == [4, 64, 1024]


def test_long_names_are_cut_between_characters_and_stay_apart(dose_view: View) -> None:
    rows = [Row("recall", "\U0001d57f" * 60 + end, {"d_k": 4}, 0, "loss", 1.0) for end in "ab"]
    names = figure(replace(dose_view, kind="bars"), Evidence(tuple(rows)), "en")["data"]["values"]
    assert [name["series"][-6:] for name in names] == ["\U0001d57f… (1)", "\U0001d57f… (2)"]
    assert svg(figure(replace(dose_view, kind="bars"), Evidence(tuple(rows)), "en"))
