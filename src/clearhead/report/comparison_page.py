"""A comparison of arms as a page of the same parts: the table first, then differences, curves, how it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearhead.bilingual import LANGUAGES, Bilingual, Language, same
from clearhead.experiments.evidence import Evidence
from clearhead.experiments.views import View
from clearhead.report import parts
from clearhead.report.claim_chart import badge
from clearhead.report.elements import EMPTY, Html, both, in_language, join, table, tag, text
from clearhead.report.numbers import duration, plain, probability, whole
from clearhead.report.page import Section, page
from clearhead.report.strips import Strip, picture, scale_of
from clearhead.report.words import OUTCOMES, WORDS, difference_words, printable, value_words

ArmDict = Mapping[str, Any]


def comparison_page(
    record: Mapping[str, Any], evidence: Evidence, views: Sequence[View] = (), *, language: Language = "en"
) -> str:
    """The HTML file of a comparison. `views` are its figures: the learning curves, say."""
    arms = record["arms"]
    first = printable(arms[0]["name"])
    recipe, number = printable(record["recipe"]), len(arms)
    title = Bilingual(f"{recipe}: {number} arms compared", f"{recipe}：{number} 组比较")
    lead = join(
        [
            both(_short_answer(record), "p", class_="answer"),
            parts.counts([arm["outcome"] for arm in arms[1:]]),
            parts.meta([*parts.common_meta(record), *_least(record)]),
        ]
    )
    against = Bilingual(f"Differences to {first}", f"与“{first}”之差")
    sections = [
        Section("arms", WORDS["compared"], _arms(arms, printable(record["metric"]))),
        Section("differences", against, _differences(record)),
        Section("figures", WORDS["figures"], parts.figures(views, evidence)),
        Section(
            "measured", WORDS["measured"], join([parts.experiments(evidence), parts.tuned(record.get("facts", {}))])
        ),
        Section("versions", WORDS["versions"], _versions(record)),
    ]
    return page(title, Bilingual("clearhead · comparison", "clearhead · 比较"), lead, sections, language=language)


def _short_answer(record: Mapping[str, Any]) -> Bilingual:
    """A sentence for each outcome, chosen by the verdicts."""
    first = printable(record["arms"][0]["name"])
    groups: dict[str, list[str]] = {}
    for arm in record["arms"][1:]:
        groups.setdefault(arm["outcome"], []).append(f"{printable(arm['name'])} ({difference_words(arm)})")
    english = {
        "better": "Better than {0}: {1}.",
        "worse": "Worse than {0}: {1}.",
        "equivalent": "Equivalent to {0} within the margin: {1}.",
        "undecided": "Not told apart from {0} by these seeds: {1}.",
    }
    chinese = {
        "better": "优于 {0}：{1}。",
        "worse": "劣于 {0}：{1}。",
        "equivalent": "与 {0} 相当（在界限内）：{1}。",
        "undecided": "这些种子分不清与 {0} 的差别：{1}。",
    }
    present = [(outcome, groups[outcome]) for outcome in english if outcome in groups]
    return Bilingual(
        " ".join(english[outcome].format(first, ", ".join(names)) for outcome, names in present),
        "".join(chinese[outcome].format(first, "、".join(names)) for outcome, names in present),
    )


def _least(record: Mapping[str, Any]) -> list[tuple[str, Bilingual]]:
    pairs = []
    if record.get("margin") is not None:
        pairs.append(("margin", same(f"± {plain(record['margin'])}")))
    if record.get("smallest_detectable") is not None:
        pairs.append(("detectable", same(plain(record["smallest_detectable"], 2))))
    if record.get("tuning_seconds"):
        pairs.append(("tuning", same(duration(record["tuning_seconds"]))))
    return pairs


def _arms(arms: Sequence[ArmDict], metric: str) -> Html:
    rows = [
        [
            text(arm["name"]),
            text(value_words(arm)),
            text(difference_words(arm) or "–"),
            text("–" if arm["outcome"] == "baseline" else probability(arm["p_holm"])),
            badge(arm["outcome"]),
            text(whole(arm["parameters"])),
            text(whole(arm["tokens"])),
            text(plain(arm["learning_rate"])),
            text(duration(arm["seconds"])),
        ]
        for arm in arms
    ]
    named = ("difference", "holm", "verdict", "parameters", "tokens", "learning_rate", "seconds")
    return table([both(WORDS["arm"]), text(metric), *(both(WORDS[name]) for name in named)], rows)


def _differences(record: Mapping[str, Any]) -> Html:
    """A strip for each arm on one common scale, the margin of equivalence shaded."""
    margin = record.get("margin")
    region = (None, None) if margin is None else (-margin, margin)
    strips = {i: _strip(arm, region) for i, arm in enumerate(record["arms"]) if arm["difference"] is not None}
    if not strips:
        return EMPTY
    scale = scale_of([*strips.values(), Strip(0.0, 0.0, 0.0, region, "baseline")])
    rows = []
    for i, strip in strips.items():
        arm = record["arms"][i]
        drawn = join(
            in_language(code, picture(strip, f"{OUTCOMES[arm['outcome']].word[code]}: {difference_words(arm)}", scale))
            for code in LANGUAGES
        )
        rows.append(_row(arm, drawn))
    heads = ("verdict", "arm", "difference", "difference")
    head = tag("thead", tag("tr", *(tag("th", both(WORDS[name]), scope="col") for name in heads)))
    return tag("table", head, tag("tbody", *rows), class_="claims")


def _strip(arm: ArmDict, region: tuple[float | None, float | None]) -> Strip:
    return Strip(arm["difference"], arm["difference_low"], arm["difference_high"], region, arm["outcome"])


def _row(arm: ArmDict, drawn: Html) -> Html:
    return tag(
        "tr",
        tag("td", badge(arm["outcome"]), class_="verdict"),
        tag("th", text(arm["name"]), scope="row"),
        tag("td", drawn, class_="drawn-claim"),
        tag("td", text(difference_words(arm)), class_="numbers"),
    )


def _versions(record: Mapping[str, Any]) -> Html:
    return join([parts.facts_list(record), parts.command(record.get("facts", {}).get("command", ""))])
