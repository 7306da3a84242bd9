"""Span scores by hand: the scheme is named, counts are kept, and nothing is divided by nothing."""

from __future__ import annotations

import pytest

from clearhead.errors import InputError
from clearhead.evaluation.counts import Counts
from clearhead.evaluation.spans import span_scores

GOLD = [["B-per", "I-per", "O", "B-loc"], ["O", "B-org"]]


def test_by_hand() -> None:
    said = [["B-per", "I-per", "B-org", "B-loc"], ["B-per", "I-per"]]
    scores = span_scores(GOLD, said, "bio")
    assert scores.rule == "strict bio"
    assert scores.micro == Counts(2, 4, 3)
    assert scores.types == {"loc": Counts(1, 1, 1), "org": Counts(0, 1, 1), "per": Counts(1, 2, 1)}
    assert (scores.micro.precision, scores.micro.recall) == (0.5, 2 / 3)
    assert scores.micro.f1 == pytest.approx(4 / 7, abs=1e-15)
    assert scores.accuracy == 0.5
    assert scores.faults == 0


def test_the_field_case_of_a_span_that_begins_inside() -> None:
    gold, said = [["B-X", "I-X"]], [["I-X", "I-X"]]
    strict, lenient = span_scores(gold, said, "bio"), span_scores(gold, said, "bio", lenient=True)
    assert (strict.rule, strict.micro.f1, strict.faults) == ("strict bio", 0.0, 1)
    assert (lenient.rule, lenient.micro.f1) == ("conlleval (lenient) bio", 1.0)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("tags", [[], [[]], [["O", "O"]]])
def test_where_there_are_no_spans_scores_are_nought(tags: list[list[str]], lenient: bool) -> None:
    scores = span_scores(tags, tags, "bio", lenient=lenient)
    assert scores.micro == Counts(0, 0, 0)
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1, scores.types) == (0.0, 0.0, 0.0, {})
    assert scores.accuracy == (1.0 if tags and tags[0] else 0.0)


def test_gold_types_that_were_never_said_count_as_missed() -> None:
    scores = span_scores(GOLD, [["O"] * 4, ["O"] * 2], "bio")
    assert scores.micro == Counts(0, 0, 3)
    assert scores.types["org"] == Counts(0, 0, 1)


def test_unlike_lengths_and_tags_of_no_scheme_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        span_scores(GOLD, GOLD[:1], "bio")
    with pytest.raises(ValueError, match="zip"):
        span_scores([["O"]], [["O", "O"]], "bio")
    with pytest.raises(InputError, match="the tag 'S-x' is not of the scheme bio"):
        span_scores([["O"]], [["S-x"]], "bio")
