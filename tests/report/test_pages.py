from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from clearhead.experiments.evidence import Evidence
from clearhead.experiments.question import Question
from clearhead.experiments.views import View
from clearhead.report.answer_page import answer_page
from clearhead.report.comparison_page import comparison_page
from clearhead.report.notebook import answer_html

VOID = {"meta", "input", "br", "hr"}
MOST_BYTES = 2_000_000


class Outline(HTMLParser):
    """Checks that elements nest, and collects ids, headings, scripts and what they refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.referred: list[str] = []
        self.levels: list[int] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        for name, value in attrs:
            self.attributes.append((tag, name, value))
            if name == "id":
                self.ids.append(value or "")
            if name in {"for", "aria-labelledby", "data-spec"}:
                self.referred.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(record: dict[str, Any], evidence: Evidence, question: Question) -> str:
    return answer_page(record, evidence, question, source='def f():\n    """Says < and &."""\n    return 1\n')


def test_the_page_is_one_small_well_formed_file_that_loads_nothing(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert len(page.encode()) < MOST_BYTES
    assert not [a for a in outline.attributes if a[1] in {"src", "href", "style"} or a[1].startswith("on")]
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.referred) <= set(outline.ids)


def test_headings_are_in_order(page: str) -> None:
    levels = Outline(page).levels
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_the_policy_allows_only_the_script_and_the_style_that_are_there(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None and "unsafe" not in policy[1] and "default-src 'none'" in policy[1]
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    for content in (style, script):
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy[1]


def test_the_answer_comes_first_and_every_section_follows(page: str) -> None:
    places = [
        page.index(f'id="{name}"')
        for name in ("claims", "figures", "mechanism", "measured", "sources", "code", "versions")
    ]
    assert page.index("Because q·k varies as d_k.") < places[0]
    assert places == sorted(places)
    for said in (
        "2.13.0",
        "clearhead ask 5 --seed 0",
        "at the edge of the sweep",
        "0.4 nats",
        "3f2a9c",
        "<code>d_k</code>",
    ):
        assert said in page


def test_both_languages_are_there_and_either_can_be_first(
    record: dict[str, Any], evidence: Evidence, question: Question, page: str
) -> None:
    assert "因为 q·k 的方差是 d_k。" in page and "方差是" in page and "宽头受损" in page
    chinese = answer_page(record, evidence, question, language="zh")
    assert '<html lang="zh-Hans">' in chinese
    assert re.search(r'id="language-zh" checked', chinese)
    assert re.search(r'id="language-en" checked', page)


def test_every_figure_has_a_still_picture_and_its_specification_in_both_languages(page: str) -> None:
    blocks = re.findall(r'<script type="application/json" id="(figure-1-..)">(.*?)</script>', page, re.DOTALL)
    assert [name for name, _ in blocks] == ["figure-1-en", "figure-1-zh"]
    assert all(json.loads(block)["data"]["values"] for _, block in blocks)
    stills = re.findall(r'<div class="still"><svg[^>]* role="img" aria-label="([^"]+)"', page)
    assert len(stills) == 2 and stills[0].startswith("Wide heads suffer At d_k 256")


def test_a_page_without_figures_has_no_script(record: dict[str, Any], evidence: Evidence) -> None:
    bare = answer_page(record, evidence)
    assert "<script" not in bare
    assert "script-src 'none'" in bare


def test_a_comparison_shows_arms_differences_and_curves(
    comparison: dict[str, Any], evidence: Evidence, dose_view: View
) -> None:
    page = comparison_page(comparison, evidence, [dose_view])
    assert Outline(page).open == []
    assert len(page.encode()) < MOST_BYTES
    for said in (
        "Worse than norm=layer: norm=batch (+0.390 [0.340, 0.440]).",
        "1,204,224",
        "与“norm=layer”之差",
        "0.031",
    ):
        assert said in page
    assert page.count('class="strip"') == 4


def test_a_comparison_of_one_arm_and_without_a_margin_is_a_page(comparison: dict[str, Any], evidence: Evidence) -> None:
    alone = {**comparison, "arms": comparison["arms"][:1], "margin": None}
    assert Outline(comparison_page(alone, evidence)).open == []
    without = comparison_page({**comparison, "margin": None}, evidence)
    assert "<rect" not in without


def test_a_notebook_gets_a_card_without_scripts_or_leaking_styles(
    record: dict[str, Any], evidence: Evidence, question: Question
) -> None:
    shown = answer_html(record, evidence, question.figures, language="zh")
    assert Outline(shown).open == []
    assert "<script" not in shown and "<style" not in shown
    assert "因为 q·k 的方差是 d_k。" in shown and "宽头受损" in shown


def test_the_runtime_is_there_once_for_all_figures(
    record: dict[str, Any], evidence: Evidence, question: Question, dose_view: View
) -> None:
    page = answer_page(record, evidence, replace(question, figures=[dose_view, dose_view]))
    assert page.count("<script>") == 1
    assert page.count("application/json") == 4
