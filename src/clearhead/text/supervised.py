"""What must be known of examples before they are encoded: their labels, a part to hold out, doubles across parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from clearhead.errors import InputError
from clearhead.text.examples import E, LabelledText, TaggedSentence, key


def tags_in(sentences: Iterable[TaggedSentence]) -> tuple[str, ...]:
    """The tags that occur, O first where it does, then in the order of their code points."""
    found = {tag for sentence in sentences for tag in sentence.tags}
    return tuple(sorted(found, key=lambda tag: (tag != "O", tag)))


def classes_in(texts: Iterable[LabelledText]) -> tuple[str, ...]:
    """The labels that occur, in the order of their code points."""
    return tuple(sorted({text.label for text in texts if text.label}))


def hold_out(
    examples: Sequence[E], fraction: float, *, group: Callable[[E], str] = key
) -> tuple[tuple[E, ...], tuple[E, ...]]:
    """Examples to train on and about `fraction` of them held out, each in their order, the same every time.

    Examples of one `group` (the same text; of pairs, the same first side) go to one part: those groups are held out
    whose SHA-256 is lowest. Raises `InputError` where there are not two groups.
    """
    groups = [group(example) for example in examples]
    order = sorted(set(groups), key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())
    if len(order) < 2:
        raise InputError("too few different examples to hold any out; give more, or a second file to score on")
    chosen = set(order[: min(len(order) - 1, max(1, round(fraction * len(order))))])
    train = tuple(example for example, name in zip(examples, groups, strict=True) if name not in chosen)
    return train, tuple(example for example, name in zip(examples, groups, strict=True) if name in chosen)


def in_both(train: Iterable[E], held_out: Iterable[E], *, group: Callable[[E], str] = key) -> int:
    """How many of the held-out examples have a text that train has too, white space and case apart."""
    known = {group(example) for example in train}
    return sum(group(example) in known for example in held_out)


def unseen(labels: Sequence[str], found: Iterable[str]) -> dict[str, int]:
    """The labels among those `found` that are not among `labels`, and how often each occurs."""
    known, counts = set(labels), dict[str, int]()
    for label in found:
        if label not in known:
            counts[label] = counts.get(label, 0) + 1
    return counts
