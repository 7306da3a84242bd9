"""What token noise touches, how much of it, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import torch

from clearhead.batches.batch import Batch, Item, collate
from clearhead.errors import InputError
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.loop import fit
from clearhead.training.spec import TokenNoiseSpec, TrainingSpec
from clearhead.training.task import Task
from clearhead.training.token_noise import noisy

INVENTORY = Inventory(Vocabulary(size=200), 64)
FIRST = 5
KINDS = ("unknown", "random", "swap")
EVERY = pytest.mark.parametrize("name", KINDS)


def sentences(number: int, seed: int = 0) -> list[Item]:
    """[begin] words [end], each word with a feature that says which it is, and a label for the whole."""
    rng = np.random.default_rng(seed)
    made = []
    for length in rng.integers(1, 30, number):
        ids = np.concatenate([[2], rng.integers(FIRST, 200, length), [3]])
        label = np.full(len(ids), -100)
        label[0] = 1
        made.append(Item(ids, labels={"class": label}, features={"words": ids[:, None]}))
    return made


def spoilt(batch: Batch, name: str, share: float, seed: int = 0, inventory: Inventory = INVENTORY) -> Batch:
    spec = TokenNoiseSpec(name=name, share=share)  # type: ignore[arg-type]
    return noisy(batch, spec, inventory, torch.Generator().manual_seed(seed))


@EVERY
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_of_words_that_change_is_the_share(name: str, share: float) -> None:
    """Swapped words: those that have a neighbour to change with, which the first or last may lack."""
    batch = collate(sentences(600), packed=True)
    words = batch.token_ids >= FIRST
    changed = spoilt(batch, name, share).token_ids != batch.token_ids
    assert not bool(changed[~words].any())
    rate = float(changed[words].double().mean())
    lacking = 0.1 if name == "swap" else 0.02
    assert share * (1 - lacking) - 0.02 < rate < share + 0.02


@EVERY
def test_labels_and_special_tokens_stay(name: str) -> None:
    batch = collate(sentences(40), packed=False)
    after = spoilt(batch, name, 1.0)
    assert torch.equal(after.labels["class"], batch.labels["class"])
    special = batch.token_ids < FIRST
    assert torch.equal(after.token_ids[special], batch.token_ids[special])
    assert bool((after.token_ids >= 0).all())
    if name == "unknown":
        assert bool((after.token_ids[~special] == 1).all())
    else:
        assert bool((after.token_ids[~special] >= FIRST).all())
        assert int(after.token_ids.max()) < 200


def test_swapped_neighbours_are_the_same_words_within_each_sentence_with_their_features() -> None:
    batch = collate(sentences(60), packed=True)
    after = spoilt(batch, "swap", 0.5)
    assert torch.equal(after.features["words"].squeeze(1), after.token_ids)
    lengths = batch.layout.lengths.tolist()
    for before, now in zip(batch.token_ids.split(lengths), after.token_ids.split(lengths), strict=True):
        assert sorted(before.tolist()) == sorted(now.tolist())
        moved = (before != now).nonzero().squeeze(1).tolist()
        assert all(now[place] in before[max(place - 1, 0) : place + 2] for place in moved)


@pytest.mark.parametrize("name", ["unknown", "random"])
def test_a_word_that_gives_way_loses_its_features(name: str) -> None:
    batch = collate(sentences(20), packed=True)
    after = spoilt(batch, name, 0.4)
    gone = after.features["words"].squeeze(1) == -1
    assert bool((after.token_ids != batch.token_ids)[~gone].logical_not().all())
    assert 0.2 < float(gone.double().mean()) < 0.6


@EVERY
def test_dense_and_packed_are_spoilt_alike(name: str) -> None:
    packed, dense = (spoilt(collate(sentences(30), packed=packed), name, 0.3) for packed in (True, False))
    assert torch.equal(packed.token_ids, dense.token_ids[dense.layout.real])


def test_a_swap_across_the_ends_of_one_sequence_alone_does_not_happen() -> None:
    for seed in range(20):
        batch = collate([np.arange(FIRST, FIRST + 3)], packed=True)
        after = spoilt(batch, "swap", 1.0, seed).token_ids.tolist()
        assert after in ([6, 5, 7], [5, 7, 6])


def test_swap_where_words_have_labels_of_their_own_is_refused(
    make_task: Callable[..., Task], batches: list[Batch]
) -> None:
    asked = make_task().ask(batches[0], torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="swap moves words away from their labels"):
        spoilt(asked, "swap", 0.1)
    assert spoilt(asked, "unknown", 0.1).labels is asked.labels


def test_a_translation_is_spoilt_in_what_it_is_read_from() -> None:
    pairs = [Item(np.array([2, 9, 3]), source=Item(np.arange(2, 12))) for _ in range(5)]
    batch = collate(pairs, packed=True)
    after = spoilt(batch, "unknown", 1.0, inventory=replace(INVENTORY, source=INVENTORY))
    assert after.source is not None
    assert after.source.token_ids.tolist() == ([2, 3, 4] + [1] * 7) * 5
    assert torch.equal(after.token_ids, batch.token_ids)


def test_fit_repeats_it_and_needs_to_know_the_words(make_task: Callable[..., Task], batches: list[Batch]) -> None:
    spec = TrainingSpec(steps=4, token_noise="random")  # type: ignore[arg-type]
    small = Inventory(Vocabulary(size=20), 16)
    runs = [[s.loss for s in fit(make_task(), cycle(batches), spec, seed=3, inventory=small)] for _ in range(2)]
    plain = [s.loss for s in fit(make_task(), cycle(batches), TrainingSpec(steps=4), seed=3)]
    assert runs[0] == runs[1] != plain
    with pytest.raises(InputError, match="give fit the inventory"):
        next(fit(make_task(), cycle(batches), spec, seed=3))
