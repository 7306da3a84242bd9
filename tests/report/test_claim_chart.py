from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from clearhead.bilingual import LANGUAGES, Language
from clearhead.report.claim_chart import claim_table, claims_svg, strip_of
from clearhead.report.strips import WIDTH, Strip, draw, scale_of


def shapes(strip: Strip) -> ElementTree.Element:
    return ElementTree.fromstring(f"<g>{draw(strip)}</g>")


def test_the_wanted_region_the_whisker_and_the_dot_stand_where_they_should() -> None:
    drawn = shapes(Strip(1.14, 0.69, 1.59, (0.1, None), "supported"))
    region, dot = drawn.find("rect"), drawn.find("circle")
    assert region is not None and dot is not None
    start, width = float(region.attrib["x"]), float(region.attrib["width"])
    assert start + width == WIDTH
    assert start < float(dot.attrib["cx"]) < WIDTH


def test_a_refuted_claim_lies_outside_its_region() -> None:
    drawn = shapes(Strip(15.4, 8.5, 22.3, (0.5, 1.5), "refuted"))
    region, dot = drawn.find("rect"), drawn.find("circle")
    assert region is not None and dot is not None
    assert float(dot.attrib["cx"]) > float(region.attrib["x"]) + float(region.attrib["width"])


def test_an_open_end_is_an_arrow_at_the_edge() -> None:
    drawn = shapes(Strip(1.0, None, 2.0, (0.0, None), "undecided"))
    (arrow,) = drawn.findall("polygon")
    assert arrow.attrib["points"].startswith("2.0,")


def test_exact_claims_are_diamonds_and_name_their_value_once() -> None:
    drawn = shapes(Strip(0.0, 0.0, 0.0, (-1e-12, 1e-12), "supported", exact=True))
    assert drawn.find("circle") is None
    assert [text.text for text in drawn.findall("text")] == ["0"]


@pytest.mark.parametrize("effect", [0.0, 1e-300, 1e300, -5.0])
def test_a_scale_has_a_width_whatever_it_shows(effect: float) -> None:
    low, high = scale_of([Strip(effect, effect, effect, (None, None), "supported")])
    assert low < effect < high


def test_the_table_shows_every_claim_with_mark_word_and_heads(record: dict[str, Any]) -> None:
    table = claim_table(record["claims"])
    assert table.count('scope="row"') == len(record["claims"])
    assert table.count('scope="col"') == 4
    for said in ("✔", "supported", "成立", "1 ± 0.02", "about 30 seeds would decide", "not measured", "未测量"):
        assert said in table


def test_what_was_not_measured_is_not_drawn(record: dict[str, Any]) -> None:
    assert strip_of(record["claims"][-1]) is None
    assert claim_table(record["claims"][-1:]).count("<svg") == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_chart_as_a_file_of_its_own(language: Language, record: dict[str, Any]) -> None:
    drawn = ElementTree.fromstring(claims_svg(record["claims"], language))
    words = "".join(drawn.itertext())
    assert ("supported" if language == "en" else "成立") in words
    assert "light-dark(" in words
    assert "<style" not in claims_svg(record["claims"], language, standalone=False)
