"""`Split`: the sentences that train and those that validate, parted by whole stretches of text, without leakage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from clearhead.errors import TooLittleError
from clearhead.text.corpora import FILE_BLOCK, Corpus, blocks, documents

Unit = Literal["sentence", "line", "document"]

LEAST_CHARACTERS = 200
LEAST_SENTENCES = 8

_STRETCHES = 20  # no stretch that goes to one side is more than this part of the text
_WRAPPED_WIDTHS = range(50, 101)
_ENDS = re.compile(r"[.!?।؟]+[\"'”’»)\]]*\s+|[。！？．｡]+[”’」』）】\"']*\s*")
_ABBREVIATION = re.compile(
    r"\b(?:(?i:mr|mrs|ms|dr|prof|rev|hon|st|jr|sr|vs|cf|figs?|eq|vol|gen|col|capt|lieut|messrs|mme|e\.g|i\.e)|[A-HJ-Z])\.$"
)
_LONGEST_ABBREVIATION = 8


@dataclass(frozen=True)
class Split:
    """Sentences, lines or documents that train and that validate, each in the order of the text."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


def split_corpus(
    corpus: Corpus,
    *,
    validation_fraction: float = 0.1,
    max_characters: int = 2_000_000,
    unit: Unit = "sentence",
) -> Split:
    """The same split of a corpus every time: about `validation_fraction` of its characters validate.

    A document goes to one side whole, or in stretches of a twentieth of the text where it is longer than that. What
    stands in train (but for case and white space) is dropped from validation. A corpus of more than `max_characters`
    is excerpted at evenly spaced places. Raises `TooLittleError` where there is too little to train on.
    """
    texts = _excerpt(corpus, max_characters) if corpus.characters > max_characters else documents(corpus)
    longest = min(corpus.characters, max_characters) // _STRETCHES
    stretches = [stretch for text in texts for stretch in _stretches(_parts(text, unit, longest), longest)]
    _check_enough(corpus, list(chain(*stretches)))
    if unit == "document":
        stretches = [["\n".join(stretch)] for stretch in stretches]
    train, validation = _parted(stretches, validation_fraction)
    known = set(map(_key, train))
    fresh = [part for part in validation if _key(part) not in known]
    if not fresh or _size(fresh) < _size(validation) / 2:
        train, fresh = _parted_by_text(list(chain(*stretches)), validation_fraction)
    if not train:
        raise TooLittleError(
            f"{corpus.source}: one {unit} over and over, so nothing is left to validate on; give more text"
        )
    return Split(tuple(train), tuple(fresh))


def units_of(corpus: Corpus, unit: Unit) -> list[str]:
    """All sentences, lines or documents of a corpus, in order."""
    if unit == "document":
        return [text for text in documents(corpus) if text.strip()]
    return [part for text in documents(corpus) for part in _parts(text, unit, len(text))]


def sentences(text: str) -> list[str]:
    """The sentences of a text, white space collapsed: they end at English and Chinese sentence ends and at line breaks.

    A break within a paragraph that is wrapped to a fixed width ends no sentence.
    """
    return [sentence for line in _unwrapped(text.splitlines()) for sentence in _sentences_in(line)]


def _sentences_in(line: str) -> Iterator[str]:
    start = 0
    for end in _ENDS.finditer(line):
        stop, after = end.end(), line[end.end() : end.end() + 1]
        word = line[max(start, end.start() - _LONGEST_ABBREVIATION) : stop].rstrip()
        if end[0][0] in ".!?" and (after.islower() or _ABBREVIATION.search(word)):
            continue
        yield " ".join(line[start:stop].split())
        start = stop
    if line[start:].strip():
        yield " ".join(line[start:].split())


def _unwrapped(lines: list[str]) -> Iterator[str]:
    """Lines, joined where the first word of the next one would not have fitted into the width of the text."""
    width = max((len(line.rstrip()) for line in lines), default=0)
    joined = ""
    for line, following in zip(lines, [*lines, ""][1:], strict=True):
        joined += line.rstrip()
        first_word = following.split(maxsplit=1)[0] if following[:1].strip() else ""
        if first_word and width in _WRAPPED_WIDTHS and len(line.rstrip()) + 1 + len(first_word) > width:
            joined += " "
        else:
            yield joined
            joined = ""


def _parts(text: str, unit: Unit, longest: int) -> list[str]:
    """The sentences or lines of a text; of a document, its lines, and the sentences of those that are too long."""
    if unit == "sentence":
        return sentences(text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if unit == "line":
        return lines
    return [part for line in lines for part in ([line] if len(line) <= longest else _sentences_in(line))]


def _stretches(parts: Iterable[str], longest: int) -> Iterator[list[str]]:
    stretch: list[str] = []
    size = 0
    for part in parts:
        if stretch and size + len(part) > longest:
            yield stretch
            stretch, size = [], 0
        stretch.append(part)
        size += len(part)
    if stretch:
        yield stretch


def _excerpt(corpus: Corpus, max_characters: int) -> Iterator[str]:
    """Blocks at evenly spaced places, `max_characters` together at most."""
    share = max_characters / corpus.characters
    read = taken = 0
    for block in blocks(documents(corpus), min(FILE_BLOCK, max(1, max_characters // _STRETCHES))):
        read += len(block)
        if taken + len(block) <= read * share:
            taken += len(block)
            yield block


def _check_enough(corpus: Corpus, parts: list[str]) -> None:
    distinct, characters = len(set(map(_key, parts))), _size(parts)
    if characters < LEAST_CHARACTERS or distinct < LEAST_SENTENCES:
        raise TooLittleError(
            f"{corpus.source}: too little to train on: {characters} characters in {distinct} different sentences or "
            f"lines, where {LEAST_CHARACTERS} in {LEAST_SENTENCES} are the least; give a longer text"
        )


def _parted(stretches: list[list[str]], fraction: float) -> tuple[list[str], list[str]]:
    """Stretches dealt out in order: one validates whenever validation lags behind its share of what was dealt."""
    train: list[str] = []
    validation: list[str] = []
    dealt = validating = 0
    for stretch in stretches:
        size = _size(stretch)
        dealt += size
        if validating + size / 2 <= fraction * dealt:
            validating += size
            validation += stretch
        else:
            train += stretch
    return train, validation


def _parted_by_text(parts: list[str], fraction: float) -> tuple[list[str], list[str]]:
    """For a text that repeats itself: evenly spaced ones of its different parts validate, wherever they stand."""
    different = list(dict.fromkeys(map(_key, parts)))
    chosen = set(_parted([[key] for key in different], fraction)[1]) or {different[len(different) // 2]}
    return [part for part in parts if _key(part) not in chosen], [part for part in parts if _key(part) in chosen]


def _key(part: str) -> str:
    return " ".join(part.split()).casefold()


def _size(parts: Iterable[str]) -> int:
    return sum(map(len, parts))
