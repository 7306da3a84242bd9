"""Columns as they are found in the wild: every separator, comment and end of line, and faults by their line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text.conll import labelled_by, read_conll
from clearhead.text.examples import TaggedSentence

Write = Callable[..., Path]
TWO = [(("a", "b"), ("O", "B-x")), (("c",), ("O",))]


def pairs(path: Path, **options: object) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(one.words, one.tags) for one in read_conll(path, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("blank", ["", " ", "\t", " \t ", "\n\n", "\u00a0", "-DOCSTART-\tO", "\n-DOCSTART- -X- O O\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("between", ["\t", " ", "   ", " \t"])
def test_whatever_parts_sentences_and_columns(write: Write, blank: str, end: str, between: str) -> None:
    lines = [f"a{between}O", f"b{between}B-x", blank, f"c{between}O"]
    text = "\n".join(lines).replace("\n", end)
    if between == " \t":  # the TAB parts columns, so the blank belongs to the token
        assert pairs(write("f.conll", text)) == [(("a ", "b "), ("O", "B-x")), (("c ",), ("O",))]
        return
    for whole in (text, text + end, text + end + end, end + text):
        assert pairs(write("f.conll", whole)) == TWO


def test_columns_are_counted_from_either_side(write: Write) -> None:
    path = write("f.conll", "U.N. NNP I-NP I-ORG\nofficial NN I-NP O\n")
    assert pairs(path) == [(("U.N.", "official"), ("I-ORG", "O"))]
    assert pairs(path, token_column=1, tag_column=2) == [(("NNP", "NN"), ("I-NP", "I-NP"))]
    with pytest.raises(InputError, match=r"f\.conll: line 1: tag_column 4 is not there; there are 4 columns"):
        pairs(path, tag_column=4)


def test_metadata_stand_before_a_sentence_and_a_hash_may_be_a_token(write: Write) -> None:
    path = write("f.conll", "# intent = Play Music\n# empty = \n#\tO\n# x = y\tO\n\n#\tB-x\n")
    first, second = read_conll(path)
    assert first == TaggedSentence(("#", "# x = y"), ("O", "O"), 3, {"intent": "Play Music", "empty": ""})
    assert second == TaggedSentence(("#",), ("B-x",), 6, {})


def test_labels_from_metadata(write: Write) -> None:
    path = write("f.conll", "# intent = A\nplay\tO\nit\tO\n\n# slot = B\nstop\tO\n")
    texts = labelled_by(read_conll(path), "intent")
    first = next(texts)
    assert (first.label, first.text, first.line) == ("A", "play it", 2)
    with pytest.raises(InputError, match=r"line 6: the sentence has no line '# intent = ...'; it has slot"):
        next(texts)


def test_tokens_of_white_space(write: Write) -> None:
    path = write("f.conll", "New York\tB-loc\n \tO\n\u3000\tO\n\u2028\tO\n\x85x\x0b\tO\n")
    assert pairs(path) == [(("New York", " ", "\u3000", "\u2028", "\x85x\x0b"), ("B-loc", "O", "O", "O", "O"))]


def test_the_first_code_point_is_the_character(write: Write) -> None:
    assert pairs(write("f.conll", "我0\tB-PER\n𠀀12\tO\n"), characters=True) == [(("我", "𠀀"), ("B-PER", "O"))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\tO\nb\n", r"line 2: 1 columns between TABs, where the lines before have 2"),
        ("a\tO\n\n\nb\tO\tO\n", r"line 4: 3 columns between TABs"),
        ("a O\nNew York O\n", r"line 2: 3 columns between blanks.*put TABs between columns"),
        ("word\n", r"line 1: one column, where a token and a tag are expected"),
        ("\n\tO\n", r"line 2: the token is empty"),
        ("a\tO\nb\t\n", r"line 2: the tag is empty"),
        ("a\t \n", r"line 1: the tag is empty"),
        ("a\tO\n# x = y\n", r"line 2: 1 columns"),
    ],
)
def test_faults_are_named_by_line(write: Write, text: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"f\.conll: {said}"):
        pairs(write("f.conll", text))


def test_sentences_come_as_a_stream(write: Write) -> None:
    path = write("f.conll", "a\tO\n\nb\n")
    stream = read_conll(path)
    assert next(stream).words == ("a",)
    with pytest.raises(InputError):
        next(stream)


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\t\n\r\0\ufeff"), min_size=1, max_size=5)
tags = st.sampled_from(["O", "B-x", "I-x"])


@given(st.lists(st.lists(st.tuples(cells, tags), min_size=1, max_size=5), min_size=1, max_size=5))
def test_any_tokens_come_back(tmp_path_factory: pytest.TempPathFactory, made: list[list[tuple[str, str]]]) -> None:
    path = tmp_path_factory.mktemp("f") / "f.conll"
    body = "\n\n".join("\n".join("\t".join(row) for row in sentence) for sentence in made)
    path.write_bytes(body.encode())
    starts_a_document = any(token.startswith("-DOCSTART-") for sentence in made for token, _ in sentence)
    if not starts_a_document:
        assert pairs(path) == [tuple(zip(*sentence, strict=True)) for sentence in made]
