"""Spans of tags: what a scheme writes is read back, what it would not write is a fault and no span."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text.examples import Scheme
from clearhead.text.tag_schemes import Recognised, Span, faults, recognised, scheme_named, spans, tags_of

SCHEMES = get_args(Scheme)
LETTERS = {"bio": "BI", "iob1": "BI", "bioes": "BIES", "bmes": "BMES"}


@st.composite
def marked(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Spans that do not overlap, of two types or none, and the length of their sentence."""
    found, at = [], draw(st.integers(0, 2))
    for _ in range(draw(st.integers(0, 4))):
        end = at + draw(st.integers(1, 3))
        found.append(Span(at, end, draw(st.sampled_from(["x", "y-z", ""]))))
        at = end + draw(st.integers(0, 2))
    return found, at + draw(st.integers(0, 2))


def any_tags(scheme: Scheme) -> st.SearchStrategy[list[str]]:
    tags = ["O", *(f"{letter}-{kind}" for letter in LETTERS[scheme] for kind in ("x", "y"))]
    return st.lists(st.sampled_from(tags), max_size=8)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(made=marked())
def test_what_a_scheme_writes_is_read_back(scheme: Scheme, made: tuple[list[Span], int]) -> None:
    found, length = made
    tags = tags_of(found, length, scheme)
    assert len(tags) == length
    assert spans(tags, scheme) == spans(tags, scheme, lenient=True) == found
    assert faults(tags, scheme) == []


@pytest.mark.parametrize("scheme", SCHEMES)
@given(data=st.data())
def test_strict_spans_are_lenient_ones_and_all_of_them_where_nothing_is_broken(
    scheme: Scheme, data: st.DataObject
) -> None:
    tags = data.draw(any_tags(scheme))
    strict, lenient = spans(tags, scheme), spans(tags, scheme, lenient=True)
    assert set(strict) <= set(lenient)
    covered = {place for span in lenient for place in range(span.start, span.end)}
    assert covered == {place for place, tag in enumerate(tags) if tag != "O"}
    written_again = tags_of(strict, len(tags), scheme)
    assert (list(written_again) == tags) == (faults(tags, scheme) == [])


@pytest.mark.parametrize(
    ("scheme", "tags", "expected"),
    [
        ("bio", ["I-x", "I-x"], [0]),
        ("bio", ["B-x", "I-y", "I-y"], [1]),
        ("iob1", ["B-x", "I-x", "B-x"], [0]),
        ("iob1", ["I-x", "B-y"], [1]),
        ("bioes", ["B-x", "O", "E-x"], [1, 2]),
        ("bioes", ["S-x", "B-x"], [1]),
        ("bmes", ["M", "E"], [0]),
        ("bmes", ["B", "M", "E", "S"], []),
    ],
)
def test_faults_stand_where_the_scheme_is_broken(scheme: Scheme, tags: list[str], expected: list[int]) -> None:
    assert faults(tags, scheme) == expected


def test_the_field_case_of_a_span_that_begins_inside() -> None:
    assert spans(["I-X", "I-X"], "bio") == []
    assert spans(["I-X", "I-X"], "bio", lenient=True) == [Span(0, 2, "X")]
    assert spans(["I-X", "I-X"], "iob1") == [Span(0, 2, "X")]


def test_types_may_hold_hyphens_and_points_or_be_left_away() -> None:
    assert spans(["B-PER.NAM", "I-PER.NAM", "B-a-b", "O", "B"], "bio") == [
        Span(0, 2, "PER.NAM"),
        Span(2, 3, "a-b"),
        Span(4, 5, ""),
    ]


@pytest.mark.parametrize("tag", ["", "NN", "X-per", "B-", "Bper", "o", "S-x"])
def test_a_tag_of_no_scheme_is_refused(tag: str) -> None:
    with pytest.raises(InputError, match=r"is not of the scheme bio: it begins with B-, I- or is O"):
        spans(["O", tag], "bio")


def test_spans_that_overlap_are_refused() -> None:
    for wrong in ([Span(0, 2, "x"), Span(1, 3, "x")], [Span(2, 4, "x")], [Span(1, 1, "x")]):
        with pytest.raises(ValueError, match="overlaps another or lies outside"):
            tags_of(wrong, 3, "bio")


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        ([["B-x", "I-x"], ["O"]], Recognised("bio", 0)),
        ([["I-x", "I-x"], ["I-x", "B-x"]], Recognised("iob1", 0)),
        ([["B-x", "E-x"], ["S-y"]], Recognised("bioes", 0)),
        ([["B", "M", "E"], ["S"]], Recognised("bmes", 0)),
        ([["B-x", "I-x"], ["O", "I-y"], ["B-x"]], Recognised("bio", 1)),
        ([["NN", "O"]], Recognised(None, 0)),
        ([["O", "O"]], Recognised(None, 0)),
        ([], Recognised(None, 0)),
    ],
)
def test_the_scheme_that_is_broken_least(sentences: list[list[str]], expected: Recognised) -> None:
    assert recognised(sentences) == expected


def test_names_of_schemes() -> None:
    assert [scheme_named(name) for name in ("BIO", "iob2", "IOB1", "IOBES", "bmes")] == [
        "bio",
        "bio",
        "iob1",
        "bioes",
        "bmes",
    ]
    with pytest.raises(InputError, match=r"'BIOSE' is not one of .*; did you mean 'bioes'"):
        scheme_named("BIOSE")
