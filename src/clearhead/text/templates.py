"""Templates of features: sentences of words -> the ids of what is said of every token (its word, shape, affixes, those
of its neighbours), as feature-based taggers read them (Ratnaparkhi 1996; Lafferty, McCallum & Pereira 2001, section 5).

A template is text: `word[-1]` is the word before, `word[-1] shape[0]` both together. A feature is a template with what
it saw: `word[-1]=the`. What stands outside the sentence is `<s>` or `</s>`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from clearhead.errors import InputError, did_you_mean
from clearhead.spec import SpecModel

Words = Sequence[str]
Seen = tuple[list[str], NDArray[np.int64]]  # features as text, and which of them each token has (N,), -1 for none
BEGIN, END = "<s>", "</s>"
ABSENT = -1
JOIN = "\t"  # stands in no word, so that two parts of a feature cannot be read as one
_PART = re.compile(r"(\w+)\[([+-]?\d+)\]")


def shape(word: str) -> str:
    """`Xx-d` of "Boeing-747": capital, small, digit, another letter (c), or the sign itself, runs taken together."""
    return re.sub(r"(.)\1+", r"\1", "".join(map(_kind, word)))


def _kind(character: str) -> str:
    if character.isdigit():
        return "d"
    if character.isalpha():
        return "X" if character.isupper() else "x" if character.islower() else "c"
    return character


def _prefix(length: int) -> Callable[[str], str | None]:
    return lambda word: word[:length] if len(word) >= length else None


def _suffix(length: int) -> Callable[[str], str | None]:
    return lambda word: word[-length:] if len(word) >= length else None


def _flag(test: Callable[[str], bool]) -> Callable[[str], str | None]:
    return lambda word: "yes" if test(word) else None


LONGEST_AFFIX = 6
VIEWS: Mapping[str, Callable[[str], str | None]] = {
    "bias": lambda word: "yes",
    "word": lambda word: word,
    "lower": str.lower,
    "shape": shape,
    "digit": _flag(str.isdigit),
    "title": _flag(str.istitle),
    "upper": _flag(str.isupper),
    **{f"prefix{length}": _prefix(length) for length in range(1, LONGEST_AFFIX + 1)},
    **{f"suffix{length}": _suffix(length) for length in range(1, LONGEST_AFFIX + 1)},
}


class TemplateSpec(SpecModel):
    """Which templates. `word`: the token's word, lower case, shape, flags and affixes up to `affixes` characters; words
    up to `window` away; `bigrams` of neighbours. `character` (for Chinese, a token a character): characters up to
    `window` away and, as `bigrams`, their pairs and the pair around the token (Ng & Low 2004, 2.1).

    A feature that training shows fewer than `min_frequency` times is left out.
    """

    kind: Literal["word", "character"] = "word"
    window: int = Field(default=2, ge=0, le=8)
    affixes: int = Field(default=4, ge=0, le=LONGEST_AFFIX)
    bigrams: bool = True
    min_frequency: int = Field(default=1, ge=1)


def templates(spec: TemplateSpec) -> tuple[str, ...]:
    """The templates that a spec names, each once."""
    places = range(-spec.window, spec.window + 1)
    around = [f"word[{place}]" for place in places]
    pairs = [f"word[{place}] word[{place + 1}]" for place in places[:-1]]
    if spec.kind == "character":
        across = ["word[-1] word[1]"] if spec.window else []
        return ("bias[0]", *around, "shape[0]", *(pairs + across if spec.bigrams else []))
    own = ["lower[0]", "shape[0]", "digit[0]", "title[0]", "upper[0]"]
    affixes = [f"{side}{length}[0]" for side in ("prefix", "suffix") for length in range(1, spec.affixes + 1)]
    near = [pair for pair in pairs if "word[0]" in pair]
    return ("bias[0]", *around, *own, *affixes, *(near if spec.bigrams else []))


@dataclass(frozen=True)
class FeatureIndex:
    """The features that training showed, by id, the most frequent first: `len` is the F of a matrix of weights (F, K).

    `ids` maps `word[-1]=the` to its number.
    """

    templates: tuple[str, ...]
    ids: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self, sentences: Sequence[Words]) -> list[NDArray[np.int32]]:
        """The ids of each sentence's features (n, M), a column a template; -1 where a token has none, or a new one."""
        columns = [
            np.append(_int32([self.ids.get(name, ABSENT) for name in names]), np.int32(ABSENT))[seen]
            for names, seen in _columns(sentences, self.templates)
        ]
        stream = np.stack(columns, axis=1) if columns else np.empty((sum(map(len, sentences)), 0), np.int32)
        return np.split(stream, np.cumsum([len(words) for words in sentences])[:-1]) if len(sentences) else []

    def to_json(self) -> str:
        """Templates and features as text that `feature_index_from_json` reads."""
        return json.dumps({"templates": self.templates, "features": list(self.ids)})


def feature_index_from_json(text: str) -> FeatureIndex:
    """The index that `to_json` wrote. Raises `InputError`."""
    try:
        data = json.loads(text)
        features = [str(name) for name in data["features"]]
        index = FeatureIndex(tuple(data["templates"]), {name: number for number, name in enumerate(features)})
    except (ValueError, KeyError, TypeError) as fault:
        raise InputError(f"this is no index of features that was saved here ({fault})") from fault
    if len(index) != len(features):
        raise InputError(f"the index of features holds {len(features) - len(index)} of them twice; save it again")
    for template in index.templates:
        _parse(template)
    return index


def index_features(sentences: Sequence[Words], spec: TemplateSpec) -> FeatureIndex:
    """The features that `sentences` show under a spec. Raises `InputError` where they show none."""
    chosen = templates(spec)
    counts: dict[str, int] = {}
    for names, seen in _columns(sentences, chosen):
        times = np.bincount(seen + 1, minlength=len(names) + 1)[1:]  # absent ones first
        counts.update(
            (name, count) for name, count in zip(names, times.tolist(), strict=True) if count >= spec.min_frequency
        )
    if not counts:
        raise InputError(
            f"{len(sentences)} sentences show no feature {spec.min_frequency} times; give more text or a lower "
            "templates.min_frequency"
        )
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    return FeatureIndex(chosen, {name: number for number, name in enumerate(ordered)})


def feature_names(words: Words, chosen: Sequence[str]) -> list[list[str]]:
    """The features of each token of one sentence as text: ["word[0]=cat", "word[-1]=the", ...]."""
    found: list[list[str]] = [[] for _ in words]
    for names, seen in _columns([words], chosen):
        for token, feature in zip(found, seen.tolist(), strict=True):
            if feature != ABSENT:
                token.append(names[feature])
    return found


def _columns(sentences: Sequence[Words], chosen: Sequence[str]) -> Iterator[Seen]:
    """What each template sees in a stream of N tokens.

    Every distinct word is looked at once, and every distinct pair; the rest is arrays.
    """
    parsed = [_parse(template) for template in chosen]
    reach = max((abs(offset) for parts in parsed for _, offset in parts), default=0)
    kinds = {BEGIN: 0, END: 1}  # the words of a text that look so mean the same
    before, after = [0] * reach, [1] * reach
    padded = [before + [kinds.setdefault(word, len(kinds)) for word in words] + after for words in sentences]
    stream = np.fromiter((kind for words in padded for kind in words), np.int64)
    lengths = np.array([len(words) for words in sentences], np.int64)
    places = np.arange(lengths.sum()) + np.repeat(reach * (2 * np.arange(len(lengths)) + 1), lengths)  # (N,)
    seen_by = {view: _valued(view, list(kinds)) for view in {view for parts in parsed for view, _ in parts}}
    for template, parts in zip(chosen, parsed, strict=True):
        looks = [(seen_by[view][0], seen_by[view][1][stream[places + offset]]) for view, offset in parts]
        names, codes = functools.reduce(_joined, looks)
        yield [f"{template}={name}" for name in names], codes


def _valued(view: str, kinds: Sequence[str]) -> Seen:
    """What a view sees in words, rather than tokens."""
    look = VIEWS[view]
    values: dict[str, int] = {}
    numbers = []
    for kind in kinds:
        value = kind if kind in (BEGIN, END) else look(kind)
        numbers.append(ABSENT if value is None else values.setdefault(value, len(values)))
    return list(values), np.array(numbers, np.int64)


def _joined(left: Seen, right: Seen) -> Seen:
    """Pairs of what two parts of a template see: those that occur, and which of them each token has."""
    (names, codes), (values, seen) = left, right
    absent = (codes == ABSENT) | (seen == ABSENT)
    pairs, which = np.unique(np.where(absent, ABSENT, codes * len(values) + seen), return_inverse=True)
    lacking = int(len(pairs) > 0 and pairs[0] == ABSENT)  # they sort first
    firsts, seconds = np.divmod(pairs[lacking:], len(values))
    text = [names[one] + JOIN + values[two] for one, two in zip(firsts.tolist(), seconds.tolist(), strict=True)]
    return text, which.astype(np.int64) - lacking


def _parse(template: str) -> list[tuple[str, int]]:
    """The views and places of a template. Raises `InputError`."""
    parts = []
    for part in template.split():
        found = _PART.fullmatch(part)
        if found is None or found[1] not in VIEWS:
            name = part.partition("[")[0]
            raise InputError(
                f"template {template!r}: {part!r} is not of the form word[-1], with one of {', '.join(VIEWS)}"
                f"{did_you_mean(name, VIEWS)}"
            )
        parts.append((found[1], int(found[2])))
    if not parts:
        raise InputError("an empty template says nothing of a token; write one such as word[0]")
    return parts


def _int32(numbers: Sequence[int]) -> NDArray[np.int32]:
    return np.array(numbers, dtype=np.int32)
