"""All answers as one page: an index first, then every question with its answer, its claims and a link to its report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearhead.bilingual import LANGUAGES, Bilingual, Language
from clearhead.report import parts
from clearhead.report.claim_chart import claim_table
from clearhead.report.elements import EMPTY, Html, both, in_language, join, prose, table, tag, text
from clearhead.report.numbers import duration
from clearhead.report.page import Section, page
from clearhead.report.words import WORDS, printable

TITLE = Bilingual("The questions, answered on one text", "一段文本上的全部问答")
FULL = Bilingual("the whole report: figures, mechanism, how it was measured", "完整报告：图、机理、测量方法")
FAILED = Bilingual("Not answered", "未能回答")


def index_page(record: Mapping[str, Any], links: Mapping[int, str], *, language: Language = "en") -> str:
    """The HTML file over all answers. `links` gives each question's report, relative to where this page lies."""
    answers = record["answers"]
    outcomes = [claim["outcome"] for one in answers for claim in one["claims"]]
    lead = join([parts.counts(outcomes), parts.meta(_meta(record)), _index(answers)])
    sections = [_question(one, links[one["question"]]) for one in answers]
    sections.append(Section("failed", FAILED, _failures(record)))
    sections.append(Section("repeat", WORDS["reproduce"], tag("pre", text(record["command"]), class_="command")))
    kicker = Bilingual(f"clearhead · {len(answers)} questions", f"clearhead · {len(answers)} 问")
    return page(TITLE, kicker, lead, sections, language=language)


def _meta(record: Mapping[str, Any]) -> list[tuple[str, Bilingual]]:
    seconds = Bilingual(duration(record["seconds"]), duration(record["seconds"]))
    first = record["answers"][:1]
    return [pair for one in first for pair in parts.common_meta(one) if pair[0] in ("corpus", "budget")] + [
        ("seconds", seconds)
    ]


def _index(answers: list[Mapping[str, Any]]) -> Html:
    rows = []
    for one in answers:
        link = tag("a", both(one["title"]), href=f"#question-{one['question']}")
        counts = parts.counts([claim["outcome"] for claim in one["claims"]])
        said = tag("span", both(one["headline"]), class_="reason")
        rows.append([text(str(one["question"])), join([link, said, counts])])
    heads = [EMPTY, both(WORDS["question"])]
    return table(heads, rows, class_="loose index")


def _question(one: Mapping[str, Any], link: str) -> Section:
    number = one["question"]
    heading = Bilingual(*(f"{number} · {printable(one['title'][code])}" for code in LANGUAGES))
    full = tag("p", tag("a", both(FULL), href=link))
    body = join([tag("div", prose(one["answer"]), class_="answer"), claim_table(one["claims"]), _figure(one), full])
    return Section(f"question-{number}", heading, body)


def _figure(one: Mapping[str, Any]) -> Html:
    """The first figure as a still picture in each language."""
    drawn = []
    for code in LANGUAGES:
        files = [Path(figure) for figure in one["figures"] if figure.endswith(f".{code}.svg")]
        if files and files[0].exists():
            still = re.sub(r"<style>.*?</style>", "", files[0].read_text(encoding="utf-8"), count=1, flags=re.DOTALL)
            drawn.append(in_language(code, tag("div", Html(still), class_="still"), class_="language"))
    return tag("figure", *drawn) if drawn else EMPTY


def _failures(record: Mapping[str, Any]) -> Html:
    items = [tag("li", text(f"{one['question']}: {one['error']}")) for one in record["failures"]]
    return tag("ul", *items) if items else EMPTY
