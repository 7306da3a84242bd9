"""Which sequences stand together."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from clearhead.batches.batch import Batch
from clearhead.batches.sampling import BatchSpec, evaluation_batches, training_batches
from clearhead.errors import InputError
from clearhead.spec import override, validate

RNG = np.random.default_rng(0)
SEQUENCES = [np.full(length, number) for number, length in enumerate(RNG.integers(2, 40, 300))]
SPECS = [
    BatchSpec(tokens=256),
    BatchSpec(sequences=16),
    BatchSpec(tokens=256, layout="dense"),
    BatchSpec(tokens=256, bucketed=True),
    BatchSpec(sequences=7, bucketed=True, layout="dense"),
]


def members(batch: Batch) -> list[int]:
    """The numbers of the sequences of a batch: here every token is its sequence's number."""
    return batch.token_ids[batch.layout.real & (batch.layout.position_ids == 0)].tolist()


def epoch(spec: BatchSpec, seed: int, number: int = 0) -> list[Batch]:
    """The batches of one epoch of training, which holds every sequence once."""
    batches: Iterator[Batch] = training_batches(SEQUENCES, spec, seed=seed, pad=0)
    for _ in range(number + 1):
        taken: list[Batch] = []
        while sum(len(batch.layout.sizes) for batch in taken) < len(SEQUENCES):
            taken.append(next(batches))
    return taken


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_an_epoch_holds_every_sequence_once_within_the_limit(spec: BatchSpec) -> None:
    batches = epoch(spec, seed=1)
    assert Counter(itertools.chain.from_iterable(map(members, batches))) == Counter(range(len(SEQUENCES)))
    for batch in batches:
        size = len(batch.layout.sizes) if spec.sequences else batch.layout.tokens
        assert size <= (spec.sequences or spec.tokens or 0)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_order_depends_on_seed_and_epoch_alone(spec: BatchSpec) -> None:
    def order(seed: int, number: int = 0) -> list[list[int]]:
        return [members(batch) for batch in epoch(spec, seed, number)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1) != order(1, number=1)


def test_both_layouts_draw_the_same_sequences() -> None:
    packed, dense = (epoch(BatchSpec(sequences=8, layout=layout), seed=3) for layout in ("packed", "dense"))
    assert [members(batch) for batch in packed] == [members(batch) for batch in dense]
    assert all(batch.layout.packed for batch in packed)
    assert not any(batch.layout.packed for batch in dense)


def test_buckets_save_pads() -> None:
    def pads(bucketed: bool) -> int:
        batches = epoch(BatchSpec(sequences=16, layout="dense", bucketed=bucketed), seed=0)
        return sum(int((~batch.layout.real).sum()) for batch in batches)

    assert pads(bucketed=True) < pads(bucketed=False) / 4


def test_a_sequence_longer_than_the_budget_stands_alone() -> None:
    batches = list(evaluation_batches([np.ones(3), np.ones(90), np.ones(4)], BatchSpec(tokens=10), pad=0))
    assert [batch.layout.sizes for batch in batches] == [[3, 4], [90]]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_evaluation_reads_every_sequence_once_by_length(spec: BatchSpec) -> None:
    batches = list(evaluation_batches(SEQUENCES, spec, pad=0))
    lengths = [size for batch in batches for size in batch.layout.sizes]
    assert lengths == sorted(len(ids) for ids in SEQUENCES)
    assert Counter(itertools.chain.from_iterable(map(members, batches))) == Counter(range(len(SEQUENCES)))


def test_no_sequences_are_refused() -> None:
    with pytest.raises(InputError, match="no sequences"):
        next(training_batches([], BatchSpec(), seed=0, pad=0))
    with pytest.raises(InputError, match="no sequences"):
        next(evaluation_batches([], BatchSpec(), pad=0))


def test_one_limit_is_enough_and_two_are_too_many() -> None:
    assert BatchSpec().tokens == 2048
    assert (BatchSpec(sequences=4).sequences, BatchSpec(sequences=4).tokens) == (4, None)
    read = validate(BatchSpec, override({}, ["sequences=", "tokens=512", "bucketed=true"]), "batches")
    assert read == BatchSpec(tokens=512, bucketed=True)
    assert validate(BatchSpec, {"sequences": "16", "tokens": ""}) == BatchSpec(sequences=16)
    for wrong in ({"sequences": 4, "tokens": 9}, {"tokens": None}, {"tokens": "none"}):
        with pytest.raises(InputError, match="batches: the size of a batch is exactly one"):
            validate(BatchSpec, wrong, "batches")
    with pytest.raises(InputError, match="did you mean 'bucketed'"):
        validate(BatchSpec, {"bucket": True}, "batches")
