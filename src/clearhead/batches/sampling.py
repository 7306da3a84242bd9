"""Which sequences stand together in a batch: for training without end, for evaluation once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from clearhead.batches.batch import Batch, Item, TokenIds, collate
from clearhead.errors import InputError
from clearhead.spec import SpecModel

WINDOW = 1024  # sequences among which a bucketed epoch sorts by length


class ManySequences(Protocol):
    """Sequences by number: a list of arrays or items, or text on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> TokenIds | Item: ...


class BatchSpec(SpecModel):
    """A batch holds `sequences`, or at most `tokens`: real ones (packed), or places of the padded grid (dense).

    `bucketed` puts sequences of like length together, in training; evaluation always does.
    """

    layout: Literal["packed", "dense"] = "packed"
    sequences: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=2048, ge=1)
    bucketed: bool = False

    @model_validator(mode="before")
    @classmethod
    def _the_limit_given(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        read = {key: None if value in ("", "none", "null") else value for key, value in data.items()}
        return {"tokens": None, **read} if read.get("sequences") is not None else read

    @model_validator(mode="after")
    def _one_limit(self) -> BatchSpec:
        if (self.sequences is None) == (self.tokens is None):
            raise ValueError("the size of a batch is exactly one of sequences and tokens")
        return self


def training_batches(sequences: ManySequences, spec: BatchSpec, *, seed: int, pad: int) -> Iterator[Batch]:
    """Batches without end: every epoch holds every sequence once, in an order that (seed, epoch) alone decides.

    A sequence longer than the budget makes a batch by itself. Raises `InputError` where there are no sequences.
    """
    lengths = _lengths(sequences)
    for epoch in itertools.count():
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(len(lengths))
        for members in _bucketed(order, lengths, spec, rng) if spec.bucketed else _plan(order, lengths, spec):
            yield _collate(sequences, members, spec, pad)


def evaluation_batches(sequences: ManySequences, spec: BatchSpec, *, pad: int) -> Iterator[Batch]:
    """Every sequence once, the shortest first, so that a dense batch holds few pads. Raises `InputError` for none."""
    return (batch for _, batch in numbered_batches(sequences, spec, pad=pad))


def numbered_batches(sequences: ManySequences, spec: BatchSpec, *, pad: int) -> Iterator[tuple[list[int], Batch]]:
    """As `evaluation_batches`, with the numbers of the sequences in each batch, for who answers in their order."""
    lengths = _lengths(sequences)
    for members in _plan(np.argsort(lengths, kind="stable"), lengths, spec):
        yield members, _collate(sequences, members, spec, pad)


def _lengths(sequences: ManySequences) -> NDArray[np.int64]:
    lengths = np.array([len(sequences[number]) for number in range(len(sequences))], dtype=np.int64)
    if not len(lengths):
        raise InputError("there are no sequences to make batches of; the text is too short")
    return lengths


def _collate(sequences: ManySequences, members: Iterable[int], spec: BatchSpec, pad: int) -> Batch:
    return collate([sequences[number] for number in members], packed=spec.layout == "packed", pad=pad)


def _plan(order: NDArray[np.int64], lengths: NDArray[np.int64], spec: BatchSpec) -> Iterator[list[int]]:
    """`order` cut into batches, each as long as the limit allows."""
    members: list[int] = []
    longest = total = 0
    for number, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        longest, total = max(longest, length), total + length
        if spec.sequences is not None:
            full = len(members) == spec.sequences
        else:
            full = (total if spec.layout == "packed" else longest * (len(members) + 1)) > (spec.tokens or 0)
        if full and members:
            yield members
            members, longest, total = [], length, length
        members.append(number)
    if members:
        yield members


def _bucketed(
    order: NDArray[np.int64], lengths: NDArray[np.int64], spec: BatchSpec, rng: np.random.Generator
) -> Iterator[list[int]]:
    """As `_plan`, sorted by length inside windows of `order`, the batches of a window in random order."""
    for start in range(0, len(order), WINDOW):
        window = order[start : start + WINDOW]
        batches = list(_plan(window[np.argsort(lengths[window], kind="stable")], lengths, spec))
        for place in rng.permutation(len(batches)):
            yield batches[place]
