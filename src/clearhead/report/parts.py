"""The parts of which answer and comparison pages are made: meta lines, figures, experiments, facts, code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

from clearhead.bilingual import LANGUAGES, Bilingual, same
from clearhead.experiments.evidence import Evidence
from clearhead.experiments.views import View
from clearhead.report.claim_chart import badge
from clearhead.report.elements import EMPTY, Html, both, data_block, in_language, join, table, tag, text
from clearhead.report.figures import figure, svg
from clearhead.report.labels import series_names
from clearhead.report.notes import notes, reading
from clearhead.report.numbers import duration, plain, whole
from clearhead.report.summaries import summarize
from clearhead.report.words import WORDS, budget_words, outcome_counts, printable, read

SHOWN_ELSEWHERE = {"tuned", "looks", "looks_taken", "budget", "command"}
MOST_MEASURES = 6


def meta(pairs: Iterable[tuple[str, Bilingual]]) -> Html:
    """A line of named values under the answer."""
    return tag(
        "p",
        *(tag("span", both(WORDS[name]), Html(" "), tag("b", both(value))) for name, value in pairs),
        class_="meta",
    )


def counts(outcomes: Sequence[str]) -> Html:
    """How many claims came out how, as badges."""
    chips = [tag("span", badge(name), text(f" {number}"), class_=name) for _, name, number in outcome_counts(outcomes)]
    return tag("p", *chips, class_="counts")


def common_meta(record: Mapping[str, Any]) -> list[tuple[str, Bilingual]]:
    """Text, budget, seeds and time, as far as a record tells them."""
    pairs: list[tuple[str, Bilingual]] = []
    corpus, facts = record.get("corpus"), record.get("facts", {})
    if corpus:
        tokens = whole(corpus["tokens"])
        name = printable(corpus["name"])
        pairs.append(("corpus", Bilingual(f"{name}, {tokens} tokens", f"{name}，{tokens} 词元")))
    budget = record.get("budget", facts.get("budget"))
    if budget:
        pairs.append(("budget", budget_words(budget)))
    if facts.get("looks"):
        looks = max(facts["looks"].values(), key=len)
        shown = ", ".join(map(str, looks))
        pairs.append(("seeds", Bilingual(f"in looks of {shown}", f"分批 {shown}")))
    elif record.get("seeds"):
        pairs.append(("seeds", same(plain(record["seeds"]))))
    if record.get("seconds"):
        pairs.append(("seconds", same(duration(record["seconds"]))))
    return pairs


def figures(views: Sequence[View], evidence: Evidence) -> Html:
    """All figures whose rows are there: title, drawing in each language, what it says, how it was made."""
    return join(_figure(view, evidence, f"figure-{i}") for i, view in enumerate(views, 1))


def _figure(view: View, evidence: Evidence, name: str) -> Html:
    summary = summarize(view, evidence)
    if not summary.marks:
        return EMPTY
    drawings, captions = [], []
    for language in LANGUAGES:
        spec = figure(view, evidence, language, titled=False)
        said = reading(view, summary, series_names(view, summary, language), language)
        label = " ".join(filter(None, (read(view.title, language), said)))
        drawings.append(in_language(language, _drawing(spec, f"{name}-{language}", label), class_="language"))
        lines = [tag("p", text(said))] if said else []
        lines.append(tag("p", text(read(view.caption, language))))
        lines.append(tag("p", text(" ".join(notes(view, summary, language))), class_="notes"))
        captions.append(in_language(language, join(lines)))
    return tag("figure", tag("h3", both(view.title)), *drawings, tag("figcaption", *captions), id=name)


def _drawing(spec: dict[str, Any], name: str, label: str) -> Html:
    """A still picture that Vega replaces when it has drawn the same specification."""
    still = re.sub(
        r"(<svg\b[^>]*)>",
        lambda root: f'{root[1]} role="img" aria-label="{text(label)}">',
        svg(spec, standalone=False),
        count=1,
    )
    return tag(
        "div",
        tag("div", Html(still), class_="still"),
        tag("div", class_="live", role="img", aria_label=label),
        data_block(name, spec),
        class_="drawing",
        data_spec=name,
    )


def experiments(evidence: Evidence) -> Html:
    """What was run: a row an experiment, counted from the evidence itself."""
    rows = []
    for name in dict.fromkeys(row.experiment for row in evidence.rows):
        found = [row for row in evidence.rows if row.experiment == name]
        doses = {dose: evidence.levels(name, dose) for row in found[:1] for dose in row.dose}
        levels = "; ".join(f"{dose} {' · '.join(map(_level, values))}" for dose, values in doses.items())
        measures = list(dict.fromkeys(row.measure for row in found))
        more = ", …" if len(measures) > MOST_MEASURES else ""
        runs = len({(row.arm, tuple(sorted(row.dose.items())), row.seed) for row in found})
        cells = (
            name,
            " · ".join(dict.fromkeys(row.arm for row in found)),
            levels or "–",
            plain(len({row.seed for row in found})),
            plain(runs),
            ", ".join(measures[:MOST_MEASURES]) + more,
        )
        rows.append([text(cell) for cell in cells])
    names = ("experiment", "arms", "dose", "seeds", "runs", "measures")
    return table([both(WORDS[name]) for name in names], rows, class_="loose") if rows else EMPTY


def _level(level: object) -> str:
    """A level without a comma between thousands, since levels stand in lists."""
    return f"{level:g}" if isinstance(level, int | float) else str(level)


def tuned(facts: Mapping[str, Any]) -> Html:
    """What the equal sweeps chose for each arm; a value at the edge of its sweep says so."""
    rows = []
    for found in facts.get("tuned", []):
        rest = {key: value for key, value in found.items() if key not in ("experiment", "arm", "at_edge")}
        chosen = "; ".join(f"{key} {_level(value)}" for key, value in rest.items())
        edge = both(Bilingual("at the edge of the sweep", "在搜索范围的边缘")) if found.get("at_edge") else EMPTY
        rows.append([text(found.get("experiment", "")), text(found.get("arm", "")), text(chosen), edge])
    heads = [both(WORDS["experiment"]), both(WORDS["arm"]), both(Bilingual("chosen", "选中")), EMPTY]
    return join([tag("h3", both(WORDS["learning_rates"])), table(heads, rows, class_="narrow")]) if rows else EMPTY


def facts_list(record: Mapping[str, Any]) -> Html:
    """Versions, threads and digests as a list of names and values."""
    facts = {k: v for k, v in record.get("facts", {}).items() if k not in SHOWN_ELSEWHERE and v not in ({}, [], "")}
    corpus = record.get("corpus", {})
    if corpus.get("sha256"):
        facts["text sha256"] = corpus["sha256"]
    parts = [
        part for k, v in facts.items() for part in (tag("dt", text(k.replace("_", " "))), tag("dd", text(_fact(v))))
    ]
    return tag("dl", *parts) if parts else EMPTY


def _fact(value: object) -> str:
    if isinstance(value, Mapping) and all(not isinstance(inner, Mapping | list) for inner in value.values()):
        return " · ".join(f"{key} {_fact(inner)}" for key, inner in value.items())
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return plain(value, 3) if isinstance(value, float) else str(value)


def command(words: str) -> Html:
    """The command that repeats it."""
    if not words:
        return EMPTY
    return join([tag("h3", both(WORDS["reproduce"])), tag("pre", text(words), class_="command")])


def code(source: str) -> Html:
    """Python source, highlighted by classes."""
    if not source:
        return EMPTY
    coloured: str = highlight(printable(source), PythonLexer(), HtmlFormatter(nowrap=True))
    return tag("pre", Html(coloured), class_="source", tabindex="0")
