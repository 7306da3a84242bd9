"""The claim chart: a row a claim, on a scale of its own, so that every verdict can be seen and not only believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearhead.bilingual import LANGUAGES, Bilingual, Language
from clearhead.report.elements import EMPTY, Html, both, in_language, join, tag, text
from clearhead.report.numbers import plain, with_interval
from clearhead.report.palette import FONT, INK, MUTED, colour_rules
from clearhead.report.strips import HEIGHT, Strip, colour_of, draw, picture
from clearhead.report.words import (
    OUTCOMES,
    WORDS,
    effect_words,
    read,
    region_words,
    replicates,
    statement_words,
    transfer_words,
)
from clearhead.report.wrapping import wrap

ClaimDict = Mapping[str, Any]

STATEMENT_CELLS, EFFECT_CELLS, LINE = 44, 32, 17
COLUMNS = {"verdict": 0, "statement": 112, "strip": 440, "effect": 724}
FULL_WIDTH = 940


def strip_of(claim: ClaimDict) -> Strip | None:
    """What can be drawn of a claim; None for one that was not measured."""
    if claim["effect"] is None:
        return None
    region = (claim["region"][0], claim["region"][1])
    exact = claim["kind"] == "exact"
    return Strip(claim["effect"], claim["low"], claim["high"], region, claim["outcome"], exact)


def claim_table(claims: Sequence[ClaimDict]) -> Html:
    """The chart as a table: verdict, statement, strip, numbers. It folds into blocks on a phone."""
    heads = (
        WORDS["verdict"],
        WORDS["claim"],
        Bilingual("effect and wanted region", "效应与要求的范围"),
        WORDS["effect"],
    )
    head = tag("thead", tag("tr", *(tag("th", both(words), scope="col") for words in heads)))
    return tag("table", head, tag("tbody", *map(_row, claims)), class_="claims")


def _row(claim: ClaimDict) -> Html:
    drawn = join(in_language(code, picture(strip_of(claim), _said(claim, code))) for code in LANGUAGES)
    return tag(
        "tr",
        tag("td", badge(claim["outcome"]), class_="verdict"),
        tag("th", both(statement_words(claim)), _reason(claim), _elsewhere(claim), scope="row"),
        tag("td", drawn if claim["effect"] is not None else EMPTY, class_="drawn-claim"),
        tag("td", _numbers(claim), class_="numbers"),
        class_=claim["outcome"],
    )


def badge(outcome: str) -> Html:
    """Mark and word of an outcome, in its colour."""
    words = OUTCOMES[outcome]
    mark = tag("span", text(words.mark), class_="mark", aria_hidden="true")
    return tag("span", mark, both(words.word), class_=f"badge {outcome}")


def _reason(claim: ClaimDict) -> Html:
    if not claim["reason"]:
        return EMPTY
    return both({"en": claim["reason"], "zh": claim["reason_zh"] or claim["reason"]}, "span", class_="reason")


def _elsewhere(claim: ClaimDict) -> Html:
    return both(transfer_words(claim), "span", class_="reason") if claim.get("transfer") else EMPTY


def _numbers(claim: ClaimDict) -> Html:
    wanted, region = WORDS["wanted"], region_words(claim["region"])
    lines = [both({code: f"{wanted[code]} {region[code]}" for code in LANGUAGES}, "span", class_="small")]
    if claim["effect"] is None:
        return join([both(WORDS["not_measured"], "span", class_="effect"), *lines])
    effect, bounds = with_interval(claim["effect"], claim["low"], claim["high"])
    shown = tag("span", tag("b", text(effect)), text(f" {claim['unit']}"), class_="effect")
    return join([shown, both(_basis(claim, bounds), "span", class_="small"), *lines])


def _basis(claim: ClaimDict, bounds: str) -> Bilingual:
    """The interval, its level and how many numbers the verdict stands on."""
    many = replicates(claim)
    if claim["kind"] == "exact":
        return Bilingual(f"{bounds}, all of {many.en}", f"{bounds}，{many.zh}的全部范围")
    level = plain(100 * claim["level"], 3)
    return Bilingual(f"{bounds} at {level} %, {many.en}", f"{bounds}（{level}%），{many.zh}")


def _said(claim: ClaimDict, language: Language) -> str:
    """The strip in words, for those who cannot see it."""
    outcome = OUTCOMES[claim["outcome"]].word[language]
    parts = (effect_words(claim)[language], f"{WORDS['wanted'][language]} {region_words(claim['region'])[language]}")
    return f"{outcome}: {'; '.join(parts)}"


def claims_svg(claims: Sequence[ClaimDict], language: Language, *, standalone: bool = True) -> str:
    """The chart as one SVG; `standalone` adds the rules that make it dark on dark grounds."""
    rows, top = [], 6.0
    for claim in claims:
        height, shapes = _svg_row(claim, language)
        rows.append(tag("g", shapes, transform=f"translate(0 {top:g})"))
        top += height
    style = tag("style", Html(f":root {{ color-scheme: light dark }}\n{colour_rules()}")) if standalone else EMPTY
    return tag(
        "svg",
        style,
        *rows,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {FULL_WIDTH} {top:g}",
        width=FULL_WIDTH,
        height=top,
        font_family=FONT,
        font_size=13,
    )


def _svg_row(claim: ClaimDict, language: Language) -> tuple[float, Html]:
    """Height and shapes of one row."""
    words, colour = OUTCOMES[claim["outcome"]], colour_of(claim["outcome"])
    statement = wrap(read(statement_words(claim), language), STATEMENT_CELLS)
    effect = wrap(effect_words(claim)[language], EFFECT_CELLS)
    wanted = f"{WORDS['wanted'][language]} {region_words(claim['region'])[language]}"
    verdict = _lines([f"{words.mark} {words.word[language]}"], COLUMNS["verdict"], colour, "600")
    shapes = [verdict, _lines(statement, COLUMNS["statement"], INK), _lines(effect, COLUMNS["effect"], INK)]
    shapes.append(_lines([wanted], COLUMNS["effect"], MUTED, first=len(effect)))
    strip = strip_of(claim)
    if strip is not None:
        shapes.append(tag("g", draw(strip), transform=f"translate({COLUMNS['strip']} 0)"))
    return max(HEIGHT, LINE * max(len(statement), len(effect) + 1)) + 14, join(shapes)


def _lines(words: Sequence[str], x: float, fill: str, weight: str = "400", first: int = 0) -> Html:
    return join(
        tag("text", text(line), x=x, y=19 + LINE * (first + i), fill=fill, font_weight=weight)
        for i, line in enumerate(words)
    )
