"""The two sides of a supervised data set: the examples that train, and those that are held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from clearhead.jobs.data import DataSpec
from clearhead.text.examples import E, Reading, Scheme
from clearhead.text.supervised import hold_out, in_both

Encoded = TypeVar("Encoded")


@dataclass(frozen=True)
class Scored(Generic[E, Encoded]):
    """Examples with what is right, and the items that they became."""

    examples: tuple[E, ...]
    encoded: Encoded


@dataclass(frozen=True)
class Sides(Generic[E]):
    """Examples that train and that are held out, where they are from, and what was found, in sentences."""

    train: tuple[E, ...]
    held: tuple[E, ...]
    source: str
    scheme: Scheme | None
    notes: tuple[str, ...]


def two_sides(data: DataSpec, opened: Callable[[str | None, Scheme | None], Reading[E]], fraction: float) -> Sides[E]:
    """`data.train`, with `fraction` of it held out unless `data.dev` names a file. Raises `InputError`.

    `opened` reads a path (None: what is embedded); the second file is read by the tag scheme of the first.
    """
    reading: Reading[E] = opened(data.train, None)
    notes: tuple[str, ...]
    if data.dev is None:
        train, held = hold_out(reading.examples, fraction)
        notes = reading.notices
    else:
        other: Reading[E] = opened(data.dev, reading.scheme)
        train, held = reading.examples, other.examples
        notes = (*reading.notices, *other.notices)
    if doubles := in_both(train, held):
        notes = (*notes, f"{doubles} of the held-out examples stand in train too")
    return Sides(train, held, reading.source, reading.scheme, notes)


def unseen_words(what: str, counts: Mapping[str, int]) -> list[str]:
    """A sentence about labels that training has not seen; none where there are none."""
    if not counts:
        return []
    times = sum(counts.values())
    return [f"{what} that training has not seen, {times} times: {', '.join(counts)}; they count as wrong"]
