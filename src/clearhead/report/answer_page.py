"""An answer as a page: the answer first, then how sure, then how it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clearhead.bilingual import Bilingual, Language
from clearhead.experiments.evidence import Evidence
from clearhead.experiments.question import Question
from clearhead.report import parts
from clearhead.report.claim_chart import claim_table
from clearhead.report.elements import EMPTY, Html, both, join, prose, table, tag, text
from clearhead.report.numbers import plain
from clearhead.report.page import Section, page
from clearhead.report.words import WORDS, replicates


def answer_page(
    record: Mapping[str, Any],
    evidence: Evidence,
    question: Question | None = None,
    *,
    source: str = "",
    language: Language = "en",
) -> str:
    """The HTML file of an answer. `record` is its JSON contract, `source` the text of the question's own file.

    `facts` may hold `command` and `budget`; `tuned` and `looks` are shown as tables, all else as it is.
    """
    title = Bilingual(record["title"]["en"], record["title"]["zh"])
    number = record["question"]
    lead = join(
        [
            tag("div", prose(record["answer"]), class_="answer"),
            parts.counts([claim["outcome"] for claim in record["claims"]]),
            parts.meta(parts.common_meta(record)),
        ]
    )
    sections = [
        Section("claims", WORDS["claims"], claim_table(record["claims"])),
        Section("figures", WORDS["figures"], parts.figures(question.figures, evidence) if question else EMPTY),
        Section("mechanism", WORDS["mechanism"], _mechanism(question)),
        Section("measured", WORDS["measured"], _measured(record, evidence, question)),
        Section("sources", WORDS["sources"], _sources(question)),
        Section("code", WORDS["code"], parts.code(source)),
        Section("versions", WORDS["versions"], _versions(record)),
    ]
    kicker = Bilingual(f"clearhead · question {number}", f"clearhead · 第 {number} 问")
    return page(title, kicker, lead, sections, language=language)


def _mechanism(question: Question | None) -> Html:
    if question is None:
        return EMPTY
    formula = tag("div", text(question.formula), class_="formula") if question.formula else EMPTY
    return join([formula, prose(question.mechanism)])


def _measured(record: Mapping[str, Any], evidence: Evidence, question: Question | None) -> Html:
    held = prose(question.held_equal) if question else EMPTY
    return join(
        [
            join([tag("h3", both(WORDS["held_equal"])), held]) if held else EMPTY,
            tag("h3", both(WORDS["experiments"])),
            parts.experiments(evidence),
            parts.tuned(record["facts"]),
            _power(record),
        ]
    )


def _power(record: Mapping[str, Any]) -> Html:
    """The smallest effect that each claim's seeds could have shown, and what would decide the open ones."""
    rows = [
        [
            both(claim["statement"]),
            both(replicates(claim)),
            text(" ".join(filter(None, (plain(claim["smallest_detectable"], 2), claim["unit"])))),
        ]
        for claim in record["claims"]
        if claim["smallest_detectable"] is not None
    ]
    heads = [both(WORDS["claim"]), both(WORDS["seeds"]), both(WORDS["detectable"])]
    note = Bilingual(
        "How far beyond the border of the wanted region the truth must lie to be seen in four of five repetitions.",
        "真值须超出要求范围的界线多远，才能在五次重复中有四次被看出。",
    )
    if not rows:
        return EMPTY
    return join(
        [tag("h3", both(WORDS["would_change"])), both(note, "p", class_="notes"), table(heads, rows, class_="loose")]
    )


def _sources(question: Question | None) -> Html:
    if question is None or not question.sources:
        return EMPTY
    items = [
        tag(
            "li",
            text(f"{s.authors} ({s.year}). "),
            tag("cite", text(s.title)),
            text(f". {s.where}" if s.where else "."),
        )
        for s in question.sources
    ]
    return tag("ul", *items, class_="sources")


def _versions(record: Mapping[str, Any]) -> Html:
    return join([parts.facts_list(record), parts.command(record["facts"].get("command", ""))])
