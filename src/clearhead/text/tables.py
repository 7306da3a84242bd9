"""TAB separated columns, an example a line -> `LabelledText`s or `TextPair`s, as a stream.

A quote is a character like any other and nothing is escaped. No line is taken for a header in silence: a first line
that looks like one is refused until it is said whether it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from clearhead.errors import InputError
from clearhead.text.examples import LabelledText, TextPair
from clearhead.text.lines import numbered_lines

_HEADINGS = {
    *("label", "labels", "class", "category", "gold_label", "sentiment", "intent", "text", "sentence", "sentence1"),
    *("sentence2", "premise", "hypothesis", "question", "text_a", "text_b", "source", "target", "src", "tgt"),
    *("english", "chinese", "en", "zh"),
}


def read_labelled(
    path: Path,
    *,
    encoding: str = "utf-8",
    label_column: int = 0,
    text_column: int = 1,
    second_column: int | None = None,
    header: bool | None = None,
) -> Iterator[LabelledText]:
    """Label and text of every line, and the second text where a column is named for it. `header`: is line 1 one?

    Lines without a printing character are passed over. Raises `InputError` with file and line for a missing column, an
    empty cell, another number of columns than line 1 has, and (`header` None) a first line that looks like a header.
    """
    named = [("label", label_column), ("text", text_column)]
    if second_column is not None:
        named.append(("second text", second_column))
    for number, cells in _cells(path, encoding, named, header):
        yield LabelledText(cells[0].strip(), cells[1], cells[2] if len(cells) > 2 else None, number)


def read_pairs(
    path: Path,
    *,
    encoding: str = "utf-8",
    source_column: int = 0,
    target_column: int = 1,
    header: bool | None = None,
) -> Iterator[TextPair]:
    """Source and target of every line; other columns (an attribution) are not read. Raises as `read_labelled` does."""
    named = [("source", source_column), ("target", target_column)]
    for number, (source, target) in _cells(path, encoding, named, header):
        yield TextPair(source, target, number)


def width(path: Path, encoding: str = "utf-8") -> int:
    """How many columns the first line that says anything has; 0 where there is none."""
    return next((line.count("\t") + 1 for _, line in numbered_lines(path, encoding) if line.strip()), 0)


def _cells(
    path: Path, encoding: str, named: Sequence[tuple[str, int]], header: bool | None
) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and the cells of the named columns, in the order of their names."""
    columns = 0
    for number, line in numbered_lines(path, encoding):
        if not line.strip():
            continue
        cells = line.split("\t")
        if not columns:
            columns = _checked(path, number, cells, named)
            if header:
                continue
            if header is None and {cell.strip().lower() for cell in cells} & _HEADINGS == {
                cell.strip().lower() for cell in cells
            }:
                raise InputError(
                    f"{path}: line {number} looks like a header ({', '.join(cells)}); say header=true to pass it over "
                    "or header=false to read it"
                )
        if len(cells) != columns:
            raise InputError(
                f"{path}: line {number}: {len(cells)} columns between TABs, where the lines before have {columns}"
            )
        read = [cells[column] for _, column in named]
        for (name, _), cell in zip(named, read, strict=True):
            if not cell.strip():
                raise InputError(f"{path}: line {number}: the {name} is empty; write one or remove the line")
        yield number, read


def _checked(path: Path, number: int, cells: list[str], named: Sequence[tuple[str, int]]) -> int:
    for name, column in named:
        if not -len(cells) <= column < len(cells):
            count = "one column" if len(cells) == 1 else f"{len(cells)} columns"
            raise InputError(
                f"{path}: line {number}: no column {column} for the {name}; the line has {count} between TABs"
            )
    return len(cells)
