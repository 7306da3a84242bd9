"""CoNLL-U, ten columns a word (https://universaldependencies.org/format.html) -> sentences that lose nothing.

A sentence keeps its comments and all of its lines, multi-word ranges (`3-4`) and empty nodes (`8.1`) too, so that what
is read and written again has the same bytes. The words are the lines whose ID is a whole number; `_` is a word like
any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from clearhead.errors import InputError
from clearhead.files import write_whole
from clearhead.text.examples import TaggedSentence
from clearhead.text.lines import numbered_lines

Field = Literal["lemma", "upos", "xpos", "feats", "deprel"]
COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")

_ID = re.compile(r"\d+(?:-\d+|\.\d+)?")


@dataclass(frozen=True)
class ConlluSentence:
    """The `comments` of a sentence and its `rows` of ten cells, as they stand in the file from `line` on."""

    comments: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    line: int = 0

    @property
    def words(self) -> tuple[tuple[str, ...], ...]:
        """The rows that are words of the syntax: no ranges, no empty nodes."""
        return tuple(row for row in self.rows if row[0].isdecimal())

    def tagged(self, field: Field = "upos") -> TaggedSentence:
        """Its words, tagged by one column; comments of the form `# key = value` are the metadata."""
        column = COLUMNS.index(field)
        pairs = [comment[1:].partition("=") for comment in self.comments]
        metadata = {name.strip(): value.strip() for name, equals, value in pairs if equals}
        return TaggedSentence(
            tuple(row[1] for row in self.words), tuple(row[column] for row in self.words), self.line, metadata
        )


def read_conllu(path: Path, *, encoding: str = "utf-8") -> Iterator[ConlluSentence]:
    """The sentences of a CoNLL-U file, in order. Raises `InputError` with file and line for what breaks the format."""
    comments: list[str] = []
    rows: list[tuple[str, ...]] = []
    start = words = 0
    for number, line in numbered_lines(path, encoding):
        if not line.strip():
            if rows:
                yield ConlluSentence(tuple(comments), tuple(rows), start)
            elif comments:
                raise InputError(f"{path}: line {number}: comments without a sentence; put its words below them")
            comments, rows, words = [], [], 0
            continue
        start = start if rows or comments else number
        if line.startswith("#") and not rows:
            comments.append(line)
            continue
        row = _row(path, number, line, words)
        words += row[0].isdecimal()
        rows.append(row)
    if rows:
        yield ConlluSentence(tuple(comments), tuple(rows), start)


def write_conllu(path: Path, sentences: Iterable[ConlluSentence]) -> Path:
    """Writes the sentences as CoNLL-U: UTF-8, LF, an empty line after each."""
    return write_whole(path, "".join(_written(sentence) for sentence in sentences))


def read_tagged_conllu(path: Path, *, encoding: str = "utf-8", field: Field = "upos") -> Iterator[TaggedSentence]:
    """The words of every sentence, tagged by one column. Raises `InputError` where the whole column is empty (`_`)."""
    if field not in get_args(Field):
        raise InputError(f"tag field {field!r} is not one of {', '.join(get_args(Field))}")
    said, empty = False, True
    for sentence in read_conllu(path, encoding=encoding):
        tagged = sentence.tagged(field)
        said, empty = True, empty and all(tag == "_" for tag in tagged.tags)
        yield tagged
    if said and empty:
        raise InputError(f"{path}: the column {field} is empty (_) throughout; name another field")


def _row(path: Path, number: int, line: str, words: int) -> tuple[str, ...]:
    row = tuple(line.split("\t"))
    if len(row) != len(COLUMNS):
        raise InputError(
            f"{path}: line {number}: {len(row)} columns, where CoNLL-U has ten with TABs between them"
            + ("; comments stand before the words" if line.startswith("#") else "")
        )
    if not all(row):
        raise InputError(f"{path}: line {number}: the column {COLUMNS[row.index('')]} is empty; write _ for nothing")
    if not _ID.fullmatch(row[0]):
        raise InputError(f"{path}: line {number}: {row[0]!r} is no ID; it is 3, 3-4 or 8.1")
    if row[0].isdecimal() and int(row[0]) != words + 1:
        raise InputError(f"{path}: line {number}: word {row[0]} follows word {words}; number the words from 1 on")
    return row


def _written(sentence: ConlluSentence) -> str:
    return "".join(f"{line}\n" for line in (*sentence.comments, *("\t".join(row) for row in sentence.rows), ""))
