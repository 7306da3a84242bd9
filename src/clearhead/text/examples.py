"""What a supervised data set holds: tagged sentences, labelled texts, pairs of texts; and what was read from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

Scheme = Literal["bio", "iob1", "bioes", "bmes"]


@dataclass(frozen=True)
class TaggedSentence:
    """Words and a tag for each; `tags` is empty where none are known. `line` is where the sentence begins in its file.

    `metadata` are the `# key = value` lines before it.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelledText:
    """A text, or a pair of texts, and its class; `label` is empty where it is not known."""

    label: str
    text: str
    second: str | None = None
    line: int = 0


@dataclass(frozen=True)
class TextPair:
    """A text and its translation."""

    source: str
    target: str
    line: int = 0


E = TypeVar("E", TaggedSentence, LabelledText, TextPair)


@dataclass(frozen=True)
class Reading(Generic[E]):
    """The examples of one source, in its order, and how they were read.

    `source` is a path or says what is embedded; `format` what it was read as. `scheme` is that of tags that mark
    spans, None where they mark none. `notices` are sentences for the user: what was recognised, skipped or is broken.
    """

    examples: tuple[E, ...]
    source: str
    format: str
    scheme: Scheme | None = None
    notices: tuple[str, ...] = ()


def key(example: TaggedSentence | LabelledText | TextPair) -> str:
    """The text by which an example is known, white space and case apart: of a pair, its first side."""
    if isinstance(example, TaggedSentence):
        text = " ".join(example.words)
    else:
        text = example.text if isinstance(example, LabelledText) else example.source
    return " ".join(text.split()).casefold()
