"""What a file is read as is recognised, said, and never guessed against what the user says."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from clearhead.errors import InputError
from clearhead.text.formats import open_labelled, open_pairs, open_tagged, recognise_format

Write = Callable[..., Path]
CONLLU = "# text = a\n1\ta\t_\tX\tY\t_\t0\troot\t_\t_\n\n"
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "conll": ("a\tO\n", open_tagged),
    "conllu": (CONLLU.rstrip("\n") + "\n", open_tagged),
    "tsv": ("a\tb\n", open_labelled),
    "pairs.tsv": ("a\tb\n", open_pairs),
}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.conllu", "a\tO\n", "conllu"),
        ("a.conll", "a\tO\n", "conll"),
        ("a.CONLL.GZ", "a\tO\n", "conll"),
        ("a.iob", "a O\n", "conll"),
        ("a.tsv", "a\tO\n", "tsv"),
        ("a.conll", CONLLU, "conllu"),
        ("a.txt", CONLLU, "conllu"),
        ("a.txt", "a O\nb O\n\nc O\n", "conll"),
        ("a", "label\ttext\n", "tsv"),
    ],
)
def test_by_name_and_first_lines(write: Write, name: str, text: str, expected: str) -> None:
    data = gzip.compress(text.encode()) if name.lower().endswith(".gz") else text
    assert recognise_format(write(name, data)) == expected


@pytest.mark.parametrize("text", ["", "one line of prose\n", "a\n\nb\n"])
def test_what_shows_no_format_is_refused(write: Write, text: str) -> None:
    with pytest.raises(InputError, match=r"a\.txt: neither its name nor its first lines show a format; name one of"):
        recognise_format(write("a.txt", text))


def test_a_format_that_is_said_overrules(write: Write) -> None:
    path = write("a.conllu", "a\tB-x\nb\tI-x\n")
    reading = open_tagged(path, format="conll", scheme="bio")
    assert (reading.format, reading.scheme, reading.notices) == ("conll", "bio", ())
    with pytest.raises(InputError, match="CoNLL-U has ten"):
        open_tagged(path)


def test_what_was_recognised_is_said(write: Write) -> None:
    reading = open_tagged(write("a.conll", "a\tI-x\nb\tI-x\nc\tB-x\n"))
    assert (reading.format, reading.scheme) == ("conll", "iob1")
    assert [notice.split(": ", 1)[1] for notice in reading.notices] == ["read as conll", "tags read as iob1"]
    plain = open_tagged(write("b.conll", "a\tNN\n"))
    assert plain.scheme is None and plain.notices[-1].endswith("tags that mark no spans")
    assert open_tagged(write("c.conll", "a\tB-x\n"), scheme="none").scheme is None


def test_tags_that_break_the_scheme_are_counted(write: Write) -> None:
    path = write("a.conll", "a\tO\nb\tI-x\n\nc\tI-y\n")
    assert (
        open_tagged(path, scheme="bio")
        .notices[-1]
        .endswith("2 tags break bio, the first of them 'I-x' at about line 2")
    )
    with pytest.raises(InputError, match=r"a\.conll: the sentence on line 1: the tag 'NN' is not of the scheme bio"):
        open_tagged(write("a.conll", "a\tO\nb\tNN\n"), scheme="bio")


def test_three_columns_are_a_pair_and_said_to_be(write: Write) -> None:
    path = write("a.tsv", "yes\tone\ttwo\n")
    reading = open_labelled(path)
    assert (reading.examples[0].text, reading.examples[0].second) == ("one", "two")
    assert "three columns, read as label, text, second text" in reading.notices[-1]
    assert open_labelled(path, second_column=1, text_column=2).examples[0].second == "one"
    assert open_pairs(path).notices[-1].endswith("columns 0 and 1 read, 1 not")
    assert (
        open_labelled(write("b.tsv", "label\ttext\nyes\tone\n"), header=True)
        .notices[-1]
        .endswith("line 1 passed over as a header")
    )


def test_labels_in_metadata_belong_to_conll(write: Write) -> None:
    path = write("a.conll", "# intent = Go\ngo\tO\n")
    assert open_labelled(path, metadata="intent").examples[0].label == "Go"
    with pytest.raises(InputError, match="labels stand in a column of TSV, or in the metadata of CoNLL"):
        open_labelled(path, format="tsv", metadata="intent")


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_shapes_of_a_good_file(write: Write, kind: str, end: str) -> None:
    """One example; its last line without an end; blank lines before, behind, doubled; a byte order mark."""
    text, read = READERS[kind]
    for shape in (text, text.rstrip("\n"), "\n" + text, text + "\n\n", "\ufeff" + text, " \n" + text):
        reading = read(write(f"a.{kind}", shape.replace("\n", end)))
        assert len(reading.examples) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("content", ["", "\n", "\ufeff", " \n\t\n", b"\0", b"a\tb\0\n", b"\xff\xfe\xff", b"a\t\xe9\n"])
def test_shapes_of_a_bad_file_are_named(write: Write, kind: str, content: str | bytes) -> None:
    _, read = READERS[kind]
    path = write(f"a.{kind}", content)
    with pytest.raises(InputError, match=rf"^{path}"):
        read(path)


@pytest.mark.parametrize("kind", READERS)
def test_a_missing_file_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        READERS[kind][1](tmp_path / f"no.{kind}")
