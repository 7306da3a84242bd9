"""TAB separated examples: a quote is a quote, a header is never eaten, a wrong width has a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text.examples import LabelledText, TextPair
from clearhead.text.tables import read_labelled, read_pairs, width

Write = Callable[..., Path]


def test_labels_and_texts(write: Write) -> None:
    path = write("a.tsv", 'pos\tgood "film\n\nneg \t bad\u2028film ')
    assert list(read_labelled(path)) == [
        LabelledText("pos", 'good "film', None, 1),
        LabelledText("neg", " bad\u2028film ", None, 3),
    ]
    assert width(path) == 2


def test_two_texts_and_any_columns(write: Write) -> None:
    path = write("a.tsv", "yes\ta\tb\n")
    assert list(read_labelled(path, second_column=2)) == [LabelledText("yes", "a", "b", 1)]
    assert list(read_labelled(path, label_column=-1, text_column=0)) == [LabelledText("b", "yes", None, 1)]
    assert list(read_pairs(path)) == [TextPair("yes", "a", 1)]
    assert list(read_pairs(path, source_column=2, target_column=1)) == [TextPair("b", "a", 1)]


def test_a_header_is_not_eaten_in_silence(write: Write) -> None:
    path = write("a.tsv", "Label\tText\npos\tgood\n")
    with pytest.raises(InputError, match=r"a\.tsv: line 1 looks like a header \(Label, Text\); say header=true"):
        list(read_labelled(path))
    assert [one.label for one in read_labelled(path, header=True)] == ["pos"]
    assert [one.label for one in read_labelled(path, header=False)] == ["Label", "pos"]
    assert [one.text for one in read_labelled(write("b.tsv", "text\tgood\n"))] == ["good"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pos\n", r"line 1: no column 1 for the text; the line has one column"),
        ("pos\ta\n\npos\ta\tb\n", r"line 3: 3 columns between TABs, where the lines before have 2"),
        ("pos\ta\npos a\n", r"line 2: 1 columns"),
        ("pos\t\n", r"line 1: the text is empty"),
        ("a\tb\n \tb\n", r"line 2: the label is empty"),
    ],
)
def test_faults_are_named_by_line(write: Write, text: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"a\.tsv: {said}"):
        list(read_labelled(write("a.tsv", text)))


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\t\n\r\0\ufeff"), max_size=9).filter(
    lambda cell: cell.strip() != ""
)


@given(st.lists(st.tuples(cells, cells), max_size=5))
def test_any_cells_come_back(tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("t") / "a.tsv"
    path.write_bytes("".join(f"{one}\t{two}\n" for one, two in made).encode())
    assert [(pair.source, pair.target) for pair in read_pairs(path, header=False)] == made
