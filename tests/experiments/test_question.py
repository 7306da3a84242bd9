"""The short answer: sentences chosen by verdicts, refuted textbooks first, numbers as people write them."""

from __future__ import annotations

import pytest

from clearhead.bilingual import Bilingual, same
from clearhead.experiments.claims import Claim, above, value
from clearhead.experiments.question import Question, joined
from clearhead.experiments.verdict import Outcome, Verdict


def claim(id: str, by: str = "ours") -> Claim:
    said = {outcome: same(f"{id} {outcome}: {{{id}.effect:+.2f}}.") for outcome in ("supported", "refuted")}
    return Claim(id, value("e", "m", "a"), above(0), "", same(id), said["supported"], said["refuted"], by=by)  # type: ignore[arg-type]


def asked(*claims: Claim) -> Question:
    return Question(same("why?"), [], claims, [], same("because"), same("all else"))


def verdict(one: Claim, outcome: Outcome, effect: float | None = 1.0) -> Verdict:
    return Verdict(one, effect, effect, effect, 0.95, 5, outcome, Bilingual("", ""))


def english(question: Question, verdicts: dict[str, Verdict], shipped: dict[str, str] | None = None) -> str:
    return joined(question.sentences(verdicts, shipped or {})).en


def test_a_refuted_textbook_is_told_first() -> None:
    ours, book = claim("a"), claim("b", by="textbook")
    verdicts = {"a": verdict(ours, "supported"), "b": verdict(book, "refuted", -1.0)}
    assert english(asked(ours, book), verdicts) == "b refuted: -1.00. a supported: +1.00."
    verdicts["b"] = verdict(book, "supported")
    assert english(asked(ours, book), verdicts) == "a supported: +1.00. b supported: +1.00."


@pytest.mark.parametrize("effect", [-1e-4, 1e-4, -0.0])
def test_what_is_rounded_to_zero_has_no_sign(effect: float) -> None:
    one = claim("a")
    assert english(asked(one), {"a": verdict(one, "supported", effect)}) == "a supported: 0.00."


def test_what_is_open_says_so_and_says_nothing_else() -> None:
    one = claim("a")
    assert english(asked(one), {"a": verdict(one, "undecided", None)}) == "1 claim remains undecided at this budget."


def test_what_is_decided_the_other_way_round_than_shipped_is_told() -> None:
    one, other = claim("a"), claim("b")
    verdicts = {"a": verdict(one, "supported"), "b": verdict(other, "supported")}
    told = english(asked(one, other), verdicts, {"a": "refuted", "b": "undecided"})
    assert told.endswith("Decided the other way round than in the run that ships (Python's documentation): 'a'.")
