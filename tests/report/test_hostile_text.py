"""No text of a user, a corpus or a checkpoint becomes markup: not in a page, a figure, a notebook, a terminal."""

from __future__ import annotations

import copy
import gzip
import io
import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from clearhead.bilingual import same
from clearhead.experiments.evidence import Evidence, Row
from clearhead.experiments.question import Question, Source
from clearhead.experiments.views import Axis, View
from clearhead.report.answer_page import answer_page
from clearhead.report.claim_chart import claims_svg
from clearhead.report.comparison_page import comparison_page
from clearhead.report.figures import figure, svg
from clearhead.report.terminal import console_on, show_answer, show_comparison

NAUGHTY = Path(__file__).parents[2].parent / "shared/data/naughty-strings/blns.json.gz"
VECTORS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    "` onmouseover=`alert(1)",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "</svg><script>alert(1)</script>",
    "</text><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<!--<script>alert(1)</script>-->",
    "--><script>alert(1)</script>",
    "<!--<script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "]]><script>alert(1)</script>",
    "<iframe src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<math><mtext><script>alert(1)</script></mtext></math>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<link rel=stylesheet href=//evil>",
    "<meta http-equiv=refresh content=0;url=//evil>",
    "<base href=//evil>",
    "<form action=//evil><button>x",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\u2028</script>\u2029<script>alert(1)</script>",
    "{{constructor.constructor('alert(1)')()}}",
    '\\u003c/script\\u003e\\"><script>alert(1)</script>',
)
BENIGN = "harmless"
TEXT_TAGS = {"p", "code"}  # a text may hold paragraphs and words in backticks


class Skeleton(HTMLParser):
    """Counts elements and attributes; keeps the contents of JSON blocks."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.blocks: list[str] = []
        self.in_block = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TEXT_TAGS:
            self.found[tag] += 1
            self.found.update(f"{tag} {name}" for name, _ in attrs)
        self.in_block = ("type", "application/json") in attrs

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self.in_block:
            self.blocks.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.in_block = False

    def handle_comment(self, data: str) -> None:
        self.found["comment"] += 1

    def handle_decl(self, decl: str) -> None:
        self.found["declaration"] += 1

    def unknown_decl(self, data: str) -> None:
        self.found["declaration"] += 1

    def handle_pi(self, data: str) -> None:
        self.found["instruction"] += 1


def naughty_strings() -> list[str]:
    if not NAUGHTY.exists():
        pytest.skip(f"the big list of naughty strings is not there ({NAUGHTY})")
    return [text for text in json.loads(gzip.decompress(NAUGHTY.read_bytes())) if text.strip()]


def hostile_record(record: dict[str, Any], text: str) -> dict[str, Any]:
    """The text in every place where a foreign word can stand."""
    hostile = copy.deepcopy(record)
    # A second letter keeps the two languages apart, so that both are written.
    hostile["title"] = hostile["answer"] = {"en": text, "zh": text + "中"}
    hostile["corpus"].update(name=text, sha256=text)
    for claim in hostile["claims"]:
        claim.update(statement={"en": text, "zh": text + "中"}, unit=text, measure=text)
        claim.update({name: text for name in ("reason", "reason_zh") if claim[name]})
    hostile["facts"].update(versions={text: text}, command=text, budget=text)
    hostile["facts"]["tuned"] = [{"experiment": text, "arm": text, "learning_rate": text, "at_edge": True}]
    return hostile


def hostile_question(question: Question, text: str) -> Question:
    words = replace(question.title, en=text, zh=text + "中")
    return replace(
        question, formula=text, mechanism=words, held_equal=words, sources=[Source(text, 2017, text, text)], figures=[]
    )


def hostile_page(record: dict[str, Any], question: Question, text: str) -> str:
    rows = tuple(Row(text, text, {text: text}, 0, text, 1.0) for _ in range(2))
    return answer_page(hostile_record(record, text), Evidence(rows), hostile_question(question, text))


def expect_same_skeletons(texts: list[str], record: dict[str, Any], question: Question) -> None:
    expected = Skeleton(hostile_page(record, question, BENIGN)).found
    for text in texts:
        assert Skeleton(hostile_page(record, question, text)).found == expected, text


def test_no_vector_becomes_markup_in_a_page(record: dict[str, Any], question: Question) -> None:
    expect_same_skeletons(list(VECTORS), record, question)


def test_no_naughty_string_becomes_markup_in_a_page(record: dict[str, Any], question: Question) -> None:
    expect_same_skeletons(naughty_strings(), record, question)


@pytest.mark.parametrize("text", VECTORS)
def test_no_vector_becomes_markup_in_a_comparison(text: str, comparison: dict[str, Any]) -> None:
    def skeleton(words: str) -> Counter[str]:
        hostile = copy.deepcopy(comparison)
        hostile.update(recipe=words, metric=words, budget=words, facts={"command": words, words: words})
        for arm in hostile["arms"]:
            arm["name"] = words
        return Skeleton(comparison_page(hostile, Evidence(()))).found

    assert skeleton(text) == skeleton(BENIGN)


@pytest.mark.parametrize("text", VECTORS)
def test_source_code_stays_text(text: str, record: dict[str, Any]) -> None:
    page = answer_page(record, Evidence(()), source=f"x = {text!r}  # {text}\n")
    found = Skeleton(page).found
    assert found["script"] == 0 and found["img"] == 0 and found["comment"] == 0
    assert not [name for name in found if " on" in name or name.endswith((" href", " src"))]


def hostile_views(view: View, texts: list[str]) -> tuple[View, Evidence]:
    """The texts as arms, as labels, as titles, as a rule's name and as a dose."""
    rows = [
        Row("e", text, {"place": other}, seed, "loss", float(i + seed))
        for i, text in enumerate(texts)
        for other in texts[:2]
        for seed in (0, 1)
    ]
    first = same(texts[0])
    changed = replace(
        view,
        kind="bars",
        experiment="e",
        x=Axis("arm", first),
        y=Axis("value", first),
        title=first,
        caption=first,
        labels={texts[0]: same(texts[-1] + "!")},
        rules={1.0: first},
        facet="place",
    )
    return changed, Evidence(tuple(rows))


def groups(texts: list[str], size: int = 20) -> list[list[str]]:
    once = list(dict.fromkeys(texts))
    return [once[i : i + size] for i in range(0, len(once), size)]


def expect_harmless_figures(texts: list[str], view: View) -> None:
    for group in groups(texts):
        changed, evidence = hostile_views(view, group)
        drawn = ElementTree.fromstring(svg(figure(changed, evidence, "en"), standalone=False))
        for element in drawn.iter():
            name = element.tag.rpartition("}")[2]
            assert name in {"svg", "g", "path", "text", "line", "rect", "tspan", "defs", "clipPath"}, name
            assert not [key for key in element.attrib if key.startswith("on") or key.endswith("href")]


def test_no_vector_becomes_markup_in_a_figure(dose_view: View) -> None:
    expect_harmless_figures(list(VECTORS), dose_view)


def test_naughty_strings_draw_as_well_formed_xml(dose_view: View) -> None:
    expect_harmless_figures(naughty_strings()[::3], dose_view)


def test_json_blocks_cannot_be_closed_by_what_they_hold(
    record: dict[str, Any], question: Question, dose_view: View
) -> None:
    changed, evidence = hostile_views(dose_view, list(VECTORS[:12]))
    page = answer_page(record, evidence, replace(question, figures=[changed]))
    skeleton = Skeleton(page)
    assert skeleton.found["script"] == 3
    assert len(skeleton.blocks) == 2
    series = {value["series"] for block in skeleton.blocks for value in json.loads(block)["data"]["values"]}
    assert VECTORS[2] in series
    assert not [name for name in skeleton.found if " on" in name or name.endswith((" href", " src"))]


@pytest.mark.parametrize("text", VECTORS)
def test_the_claim_chart_stays_well_formed(text: str, record: dict[str, Any]) -> None:
    drawn = ElementTree.fromstring(claims_svg(hostile_record(record, text)["claims"], "en"))
    assert not [element for element in drawn.iter() if element.tag.endswith(("script", "img"))]


def test_no_control_character_reaches_a_terminal(record: dict[str, Any], comparison: dict[str, Any]) -> None:
    for text in [*naughty_strings(), "\x1b]0;owned\x07", "\x9b31m", *VECTORS]:
        stream = io.StringIO()
        console = console_on(stream, width=80)
        show_answer(hostile_record(record, text), console)
        arms = [{**arm, "name": text} for arm in comparison["arms"]]
        show_comparison({**comparison, "recipe": text, "metric": text, "arms": arms}, console)
        shown = stream.getvalue()
        assert not [c for c in shown if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160], text
