"""CoNLL columns, a token and its tags a line, a blank line between sentences: -> `TaggedSentence`s, as a stream.

Columns stand between TABs where the first line of tokens has one (then a token may be white space), else between runs
of blanks and TABs. Blank is every line without a printing character: empty, spaces, or the lone TAB of WNUT-17.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from clearhead.errors import InputError
from clearhead.text.examples import LabelledText, TaggedSentence
from clearhead.text.lines import numbered_lines

DOCUMENT_START = "-DOCSTART-"

_METADATA = re.compile(r"#\s*([^=\t]*[^=\t\s])\s+=\s*([^\t]*)")
_BLANKS = re.compile(r"[ \t]+")
_Separator = Literal["\t", " "]


def read_conll(
    path: Path,
    *,
    encoding: str = "utf-8",
    token_column: int = 0,
    tag_column: int = -1,
    characters: bool = False,
) -> Iterator[TaggedSentence]:
    """The sentences of a file of columns, in order. `characters` keeps the first code point of a token (Weibo NER).

    `# key = value` before a sentence is its metadata; -DOCSTART- lines end a sentence and are no tokens. The first
    line of tokens says how many columns there are. Raises `InputError` with file and line for another number, for a
    column that is not there, and for an empty token or tag.
    """
    rows: list[tuple[str, str]] = []
    metadata: dict[str, str] = {}
    start, columns = 0, 0
    separator: _Separator | None = None
    for number, line in numbered_lines(path, encoding):
        if not line.strip() or line.startswith(DOCUMENT_START):
            if rows:
                yield _sentence(rows, start, metadata)
                rows, metadata = [], {}
            continue
        found = None if rows else _METADATA.fullmatch(line)
        if found:
            metadata[found[1]] = found[2].rstrip()
            continue
        separator = separator or ("\t" if "\t" in line else " ")
        cells = line.split("\t") if separator == "\t" else _BLANKS.split(line.strip(" \t"))
        columns = columns or _counted(path, number, len(cells), token_column, tag_column)
        if len(cells) != columns:
            raise InputError(_wrong_width(path, number, len(cells), columns, separator))
        token, tag = cells[token_column], cells[tag_column].strip()
        if not token or not tag:
            raise InputError(f"{path}: line {number}: the {'tag' if token else 'token'} is empty; write one")
        start = start if rows else number
        rows.append((token[0] if characters else token, tag))
    if rows:
        yield _sentence(rows, start, metadata)


def labelled_by(sentences: Iterable[TaggedSentence], metadata: str) -> Iterator[LabelledText]:
    """Texts whose class is a line of metadata of their sentence (`# intent = NAME`).

    Raises `InputError` for a sentence without it.
    """
    for sentence in sentences:
        if metadata not in sentence.metadata:
            known = ", ".join(sentence.metadata) or "none"
            raise InputError(f"line {sentence.line}: the sentence has no line '# {metadata} = ...'; it has {known}")
        yield LabelledText(sentence.metadata[metadata], " ".join(sentence.words), None, sentence.line)


def _sentence(rows: list[tuple[str, str]], line: int, metadata: dict[str, str]) -> TaggedSentence:
    words, tags = zip(*rows, strict=True)
    return TaggedSentence(words, tags, line, metadata)


def _counted(path: Path, number: int, columns: int, token_column: int, tag_column: int) -> int:
    if columns == 1:
        raise InputError(
            f"{path}: line {number}: one column, where a token and a tag are expected with a TAB or blanks between them"
        )
    for name, column in (("token_column", token_column), ("tag_column", tag_column)):
        if not -columns <= column < columns:
            raise InputError(f"{path}: line {number}: {name} {column} is not there; there are {columns} columns")
    return columns


def _wrong_width(path: Path, number: int, got: int, columns: int, separator: _Separator) -> str:
    between = "TABs" if separator == "\t" else "blanks"
    mend = "a token may hold no TAB" if separator == "\t" else "put TABs between columns where tokens hold blanks"
    return f"{path}: line {number}: {got} columns between {between}, where the lines before have {columns}; {mend}"
