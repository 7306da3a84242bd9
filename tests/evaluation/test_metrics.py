"""Held-out scores keep every item and know its sentence."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from clearhead.batches.batch import Batch, collate
from clearhead.evaluation.metrics import bits_per_byte, held_out
from clearhead.models.states import States
from clearhead.objectives import causal_lm, masked_lm
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.task import Task

VOCABULARY = Vocabulary(size=16, pad=0, unknown=1, begin=2, end=3, mask=4)
INVENTORY = Inventory(VOCABULARY, 16)


class Trunk(nn.Module):
    """Embedding and dropout: what comes next depends on this token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 6
        self.token_embedding = nn.Embedding(VOCABULARY.size, 6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, batch: Batch) -> States:
        hidden = self.dropout(self.token_embedding(batch.token_ids))
        return States(hidden, batch.layout, (hidden,))


@pytest.fixture
def sequences() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [np.concatenate([[2], rng.integers(5, 16, rng.integers(1, 9)), [3]]) for _ in range(15)]


def causal() -> Task:
    torch.manual_seed(0)
    trunk = Trunk()
    return Task(trunk, causal_lm.build(causal_lm.Spec(), trunk, INVENTORY)).double()


def in_parts(sequences: list[np.ndarray], size: int, *, packed: bool) -> list[Batch]:
    return [collate(sequences[start : start + size], packed=packed) for start in range(0, len(sequences), size)]


def test_every_item_by_hand(sequences: list[np.ndarray]) -> None:
    task = causal()
    scores = held_out(task, in_parts(sequences, 4, packed=True), seed=0)
    embeddings = task.model.token_embedding.weight.detach()  # type: ignore[union-attr]
    expected, owner = [], []
    for number, ids in enumerate(sequences):
        for this, following in pairwise(ids):
            expected.append(-float((embeddings @ embeddings[this]).log_softmax(0)[following]))
            owner.append(number)
    np.testing.assert_allclose(scores.nats, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(scores.sequences, owner)
    assert scores.count == len(expected)
    assert scores.mean == pytest.approx(sum(expected) / len(expected))


@pytest.mark.parametrize(("size", "packed"), [(1, True), (4, False), (15, True), (15, False)])
def test_masked_items_do_not_depend_on_batching(sequences: list[np.ndarray], size: int, packed: bool) -> None:
    torch.manual_seed(0)
    trunk = Trunk()
    task = Task(trunk, masked_lm.build(masked_lm.Spec(), trunk, INVENTORY)).double()
    reference = held_out(task, in_parts(sequences, 6, packed=True), seed=1)
    scores = held_out(task, in_parts(sequences, size, packed=packed), seed=1)
    np.testing.assert_allclose(scores.nats, reference.nats, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(scores.sequences, reference.sequences)
    assert held_out(task, in_parts(sequences, 6, packed=True), seed=2).count != reference.count or not np.allclose(
        held_out(task, in_parts(sequences, 6, packed=True), seed=2).nats, reference.nats
    )


def test_the_modes_of_all_modules_are_given_back(sequences: list[np.ndarray]) -> None:
    task = causal().train()
    task.model.dropout.eval()  # type: ignore[union-attr, operator]
    before = [module.training for module in task.modules()]
    scores = [held_out(task, in_parts(sequences, 4, packed=True), seed=0).total for _ in range(2)]
    assert scores[0] == scores[1]
    assert [module.training for module in task.modules()] == before


def test_nothing_asked_is_no_number() -> None:
    for batches in ([], [collate([np.array([2])], packed=True)]):
        scores = held_out(causal(), batches, seed=0)
        assert (scores.count, scores.total) == (0, 0.0)
        assert math.isnan(scores.mean)


def test_bits_per_byte() -> None:
    assert bits_per_byte(10 * math.log(256), 10) == pytest.approx(8.0)
