"""Span scores against seqeval, class scores against scikit-learn, translation scores against sacrebleu's own calls."""

from __future__ import annotations

import warnings

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_counts
from seqeval.scheme import IOB1, IOB2, IOBES
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.metrics import f1_score as sklearn_f1
from sklearn.metrics import precision_recall_fscore_support as sklearn_scores

from clearhead.evaluation.classification import class_scores
from clearhead.evaluation.spans import SpanScores, span_scores
from clearhead.evaluation.translation import translation_scores
from clearhead.text.examples import Scheme
from clearhead.text.tag_schemes import faults

SCHEMES: dict[Scheme, tuple[type, str]] = {"bio": (IOB2, "BI"), "iob1": (IOB1, "BI"), "bioes": (IOBES, "BIES")}
Tags = list[list[str]]
unhurried = settings(deadline=None, max_examples=60)


@st.composite
def gold_and_said(draw: st.DrawFn, letters: str) -> tuple[Tags, Tags]:
    tag = st.sampled_from(["O", "O", *(f"{letter}-{kind}" for letter in letters for kind in ("x", "y"))])
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    sides = [[draw(st.lists(tag, min_size=n, max_size=n)) for n in lengths] for _ in range(2)]
    return sides[0], sides[1]


def mended(tags: list[str]) -> list[str]:
    """The tags with I- for every B- that IOB1 would not write."""
    wrong = faults(tags, "iob1")
    return [f"I{tag[1:]}" if place in wrong else tag for place, tag in enumerate(tags)]


def agree(ours: SpanScores, theirs: tuple[float, float, float]) -> None:
    assert (ours.micro.precision, ours.micro.recall, ours.micro.f1) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("scheme", ["bio", "bioes", "iob1"])
@unhurried
@given(data=st.data())
def test_strict_spans_are_seqevals(scheme: Scheme, data: st.DataObject) -> None:
    theirs, letters = SCHEMES[scheme]
    gold, said = data.draw(gold_and_said(letters))
    if scheme == "iob1":  # behind a B- that IOB1 would not write seqeval begins a span; here it marks none
        gold, said = ([mended(tags) for tags in side] for side in (gold, said))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"mode": "strict", "scheme": theirs, "zero_division": 0}
        found = tuple(score(gold, said, **options) for score in (precision_score, recall_score, f1_score))
        ours = span_scores(gold, said, scheme)
        agree(ours, found)
        if ours.types:
            each = strict_counts(gold, said, scheme=theirs, average=None, zero_division=0)
            for (kind, counts), *numbers in zip(ours.types.items(), *each, strict=True):
                assert [counts.precision, counts.recall, counts.f1, counts.gold] == pytest.approx(numbers), kind


@pytest.mark.parametrize("scheme", ["bio", "bioes", "iob1"])
@unhurried
@given(data=st.data())
def test_lenient_spans_are_those_of_seqevals_default(scheme: Scheme, data: st.DataObject) -> None:
    gold, said = data.draw(gold_and_said(SCHEMES[scheme][1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = tuple(score(gold, said, zero_division=0) for score in (precision_score, recall_score, f1_score))
    agree(span_scores(gold, said, scheme, lenient=True), found)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abce")), min_size=1, max_size=30))
def test_classes_are_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    gold, said = [one for one, _ in pairs], [other for _, other in pairs]
    ours = class_scores(gold, said)
    names = list(ours.classes)
    assert ours.accuracy == pytest.approx(accuracy_score(gold, said), abs=1e-12)
    assert ours.macro_f1 == pytest.approx(sklearn_f1(gold, said, average="macro", zero_division=0), abs=1e-12)
    each = sklearn_scores(gold, said, labels=names, zero_division=0)
    for counts, *numbers in zip(ours.classes.values(), *each, strict=True):
        assert [counts.precision, counts.recall, counts.f1, counts.gold] == pytest.approx(numbers, abs=1e-12)
    if len(names) == 1:
        return  # a matrix of one class is another shape there
    theirs = confusion_matrix(gold, said, labels=names)
    assert [[ours.confusions.get((one, other), 0) for other in names] for one in names] == theirs.tolist()


@pytest.mark.parametrize("tokenize", ["13a", "zh", "char", "none"])
def test_translations_are_sacrebleus(tokenize: str) -> None:
    said = ["他让我去北京。", "the cat sat on a mat , it seems", "七百零四"]
    references = ["他叫我去北京。", "the cat sat on the mat, it seemed", "七百零四"]
    ours = translation_scores(said, references, tokenize=tokenize)  # type: ignore[arg-type]
    bleu = sacrebleu.corpus_bleu(said, [references], tokenize=tokenize, force=True)
    assert ours.bleu == bleu.score
    assert ours.chrf == sacrebleu.corpus_chrf(said, [references]).score
    assert f"tok:{tokenize}" in ours.bleu_signature
