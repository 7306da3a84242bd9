"""CoNLL-U loses nothing: what is read and written has the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clearhead.errors import InputError
from clearhead.text.conllu import read_conllu, read_tagged_conllu, write_conllu
from clearhead.text.examples import TaggedSentence

Write = Callable[..., Path]


def row(id_: str, form: str, upos: str = "X", xpos: str = "Y") -> str:
    return "\t".join([id_, form, "_", upos, xpos, "_", "0", "root", "_", "_"])


SAMPLE = "\n".join(
    [
        "# newdoc",
        "# text = I don't _",
        row("1", "I", "PRON"),
        row("2-3", "don't", "_", "_"),
        row("2", "do", "AUX"),
        row("3", "n't", "PART"),
        row("3.1", "see", "VERB"),
        row("4", "_", "SYM"),
        "",
        row("1", "New York", "PROPN"),
        "",
        "",
    ]
)


def test_words_are_whole_ids_and_an_underscore_is_a_word(write: Write) -> None:
    first, second = read_conllu(write("a.conllu", SAMPLE))
    assert first.tagged() == TaggedSentence(
        ("I", "do", "n't", "_"), ("PRON", "AUX", "PART", "SYM"), 1, {"text": "I don't _"}
    )
    assert first.tagged("xpos").tags == ("Y",) * 4
    assert [one[0] for one in first.rows] == ["1", "2-3", "2", "3", "3.1", "4"]
    assert (second.line, second.tagged().words) == (10, ("New York",))


def test_written_again_it_has_the_same_bytes(write: Write, tmp_path: Path) -> None:
    path = write("a.conllu", SAMPLE)
    assert write_conllu(tmp_path / "b.conllu", read_conllu(path)).read_bytes() == path.read_bytes()


def test_ends_of_lines_and_of_the_file_do_not_matter(write: Write) -> None:
    expected = list(read_conllu(write("a.conllu", SAMPLE)))
    for text in (SAMPLE.replace("\n", "\r\n"), SAMPLE.replace("\n", "\r"), SAMPLE.rstrip("\n"), SAMPLE + "\n \n"):
        assert list(read_conllu(write("b.conllu", text))) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (row("1", "a") + "\tx", r"line 1: 11 columns, where CoNLL-U has ten"),
        (row("1", "a").replace("\t", " "), r"line 1: 1 columns"),
        (row("1", ""), r"line 1: the column form is empty; write _"),
        (row("one", "a"), r"line 1: 'one' is no ID"),
        (row("1", "a") + "\n" + row("3", "b"), r"line 2: word 3 follows word 1"),
        (row("2", "a"), r"line 1: word 2 follows word 0"),
        ("# lonely\n\n", r"line 2: comments without a sentence"),
        (row("1", "a") + "\n# late", r"line 2: .*comments stand before the words"),
    ],
)
def test_faults_are_named_by_line(write: Write, text: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"a\.conllu: {said}"):
        list(read_conllu(write("a.conllu", text)))


def test_an_empty_column_and_an_unknown_field_are_refused(write: Write) -> None:
    path = write("a.conllu", row("1", "a", "NOUN", "_"))
    assert [one.tags for one in read_tagged_conllu(path)] == [("NOUN",)]
    with pytest.raises(InputError, match="the column xpos is empty"):
        list(read_tagged_conllu(path, field="xpos"))
    with pytest.raises(InputError, match="'head' is not one of"):
        list(read_tagged_conllu(path, field="head"))  # type: ignore[arg-type]
