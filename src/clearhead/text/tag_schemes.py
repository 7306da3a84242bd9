"""Tags that mark spans: BIO (IOB2), IOB1, BIOES, BMES -> spans, faults, and back to tags.

In all of them a tag is a prefix, and behind a hyphen the type: `B-person`; `O` is outside; types may be left away. BIO
begins every span with B-; IOB1 (Ramshaw and Marcus 1995) only one that follows another of its type; BIOES ends spans
with E- and writes S- for one token; BMES is BIOES with M for I, the custom of Chinese word segmentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clearhead.errors import InputError, did_you_mean
from clearhead.text.examples import Scheme

_LETTERS: dict[Scheme, str] = {"bio": "BI", "iob1": "IB", "bioes": "BIES", "bmes": "BMES"}
_ALIASES: dict[str, Scheme] = {"iob2": "bio", "iobes": "bioes"}


@dataclass(frozen=True, order=True)
class Span:
    """Tokens `start` ... `end - 1` of a sentence, and their type ("" where the tags have none)."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class Recognised:
    """The scheme whose rules the tags break least (None: they mark no spans), and how many tags break them."""

    scheme: Scheme | None
    faults: int


def scheme_named(name: str) -> Scheme:
    """The scheme of that name, iob2 and iobes among them. Raises `InputError` with the nearest name."""
    known: dict[str, Scheme] = {**{scheme: scheme for scheme in _LETTERS}, **_ALIASES}
    if name.lower() not in known:
        raise InputError(f"tag scheme {name!r} is not one of {', '.join(known)}{did_you_mean(name.lower(), known)}")
    return known[name.lower()]


def spans(tags: Sequence[str], scheme: Scheme, *, lenient: bool = False) -> list[Span]:
    """The spans that tags mark, in order.

    Strict: only those whose tags are, letter for letter, what the scheme writes for them where they stand. Lenient, as
    conlleval: what follows without a break and with one type is a span, however it begins or ends. Raises `InputError`
    for a tag that has no prefix of the scheme.
    """
    parts = [split_tag(tag, scheme) for tag in tags]
    found = _runs(parts)
    if lenient:
        return found
    return [span for span in found if _prefixes(span, parts, scheme) == [p for p, _ in parts[span.start : span.end]]]


def tags_of(marked: Iterable[Span], length: int, scheme: Scheme) -> tuple[str, ...]:
    """The tags that a scheme writes for the spans of `length` tokens. Raises `ValueError` where spans overlap."""
    parts = [("O", "")] * length
    for span in sorted(marked):
        if not 0 <= span.start < span.end <= length or any(part[0] != "O" for part in parts[span.start : span.end]):
            raise ValueError(f"{span} overlaps another or lies outside a sentence of {length} tokens")
        prefixes = _prefixes(span, parts, scheme)
        parts[span.start : span.end] = [(prefix, span.type) for prefix in prefixes]
    middle = "M" if scheme == "bmes" else "I"
    letters = [(middle if prefix == "I" else prefix, kind) for prefix, kind in parts]
    return tuple(f"{prefix}-{kind}" if kind else prefix for prefix, kind in letters)


def faults(tags: Sequence[str], scheme: Scheme) -> list[int]:
    """The places of tags that the scheme would not write behind the tag before them (or, last, at the end)."""
    places = []
    before = ("O", "")
    for place, tag in enumerate(tags):
        part = split_tag(tag, scheme)
        if not _follows(before, part, scheme):
            places.append(place)
        before = part
    if tags and scheme in ("bioes", "bmes") and before[0] in "BI" and len(tags) - 1 not in places:
        places.append(len(tags) - 1)
    return places


def recognised(sentences: Iterable[Sequence[str]]) -> Recognised:
    """The scheme that the tags of many sentences follow: of BIO, IOB1, BIOES, BMES the first with the fewest faults."""
    read = list(sentences)
    distinct = {tag for tags in read for tag in tags}
    fitting = [
        Recognised(scheme, sum(len(faults(tags, scheme)) for tags in read))
        for scheme in _LETTERS
        if distinct - {"O"} and all(_fits(tag, scheme) for tag in distinct)
    ]
    return min(fitting, key=lambda found: found.faults, default=Recognised(None, 0))


def split_tag(tag: str, scheme: Scheme) -> tuple[str, str]:
    """Prefix (I for the M of BMES) and type of a tag. Raises `InputError` where it has no prefix of the scheme."""
    if not _fits(tag, scheme):
        letters = ", ".join(f"{letter}-" for letter in _LETTERS[scheme])
        raise InputError(f"the tag {tag!r} is not of the scheme {scheme}: it begins with {letters} or is O")
    return ("I" if tag[0] == "M" else tag[0]), tag[2:]


def _fits(tag: str, scheme: Scheme) -> bool:
    typed = len(tag) == 1 or (tag[1:2] == "-" and len(tag) > 2)
    return tag == "O" or (tag != "" and tag[0] in _LETTERS[scheme] and typed)


def _runs(parts: Sequence[tuple[str, str]]) -> list[Span]:
    """Runs of tokens within one type that no B, S, or end before them divides: the chunks of conlleval."""
    found: list[Span] = []
    start: int | None = None
    before = ("O", "")
    for place, part in enumerate([*parts, ("O", "")]):
        divided = part[0] in "BSO" or before[0] in "ESO" or before[1] != part[1]
        if start is not None and divided:
            found.append(Span(start, place, before[1]))
            start = None
        if part[0] != "O" and divided:
            start = place
        before = part
    return found


def _prefixes(span: Span, parts: Sequence[tuple[str, str]], scheme: Scheme) -> list[str]:
    """What the scheme writes for a span, given the tags before it."""
    length = span.end - span.start
    if scheme == "bio":
        return ["B", *"I" * (length - 1)]
    if scheme == "iob1":
        before = parts[span.start - 1] if span.start else ("O", "")
        return ["B" if before[0] != "O" and before[1] == span.type else "I", *"I" * (length - 1)]
    return ["S"] if length == 1 else ["B", *"I" * (length - 2), "E"]


def _follows(before: tuple[str, str], part: tuple[str, str], scheme: Scheme) -> bool:
    if scheme == "bio":
        return part[0] != "I" or (before[0] in "BI" and before[1] == part[1])
    if scheme == "iob1":
        return part[0] != "B" or (before[0] in "BI" and before[1] == part[1])
    inside = before[0] in "BI"
    return inside == (part[0] in "IE") and (not inside or before[1] == part[1])
