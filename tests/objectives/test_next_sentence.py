"""True pairs and spoilt ones: what is put together, how often, and where the label stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearhead.batches.batch import Batch, Item, collate
from clearhead.batches.pairs import join_pair
from clearhead.errors import InputError
from clearhead.models import bert, transformer_encoder
from clearhead.objectives import masked_lm, next_sentence
from clearhead.objectives.next_sentence import NextSentence
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.task import Task

VOCABULARY = Vocabulary(400)
LONGEST = 16
INVENTORY = Inventory(VOCABULARY, LONGEST)


def build(kind: str) -> NextSentence:
    torch.manual_seed(0)
    trunk = bert.build(bert.Spec(hidden_size=8), INVENTORY)
    return next_sentence.build(next_sentence.Spec(kind=kind), trunk, INVENTORY)  # type: ignore[arg-type]


def pair(number: int, first: int, second: int, **maps: Any) -> Item:
    """Pair `number`: A is 10 n + 5, again and again; B is 10 n + 6."""
    item = join_pair(np.full(first, 10 * number + 5), np.full(second, 10 * number + 6), LONGEST, VOCABULARY)
    return replace(item, **maps)


def ask(objective: NextSentence, items: Sequence[Item | np.ndarray], seed: int = 0, *, packed: bool = True) -> Batch:
    return objective.ask(collate(items, packed=packed), torch.Generator().manual_seed(seed))


def rows(batch: Batch) -> list[tuple[int, list[int], list[int]]]:
    """Of each sequence the label, the ids of type 0 and those of type 1."""
    found = []
    labels = batch.labels["next_sentence"]
    assert batch.token_type_ids is not None
    for number in range(len(batch.layout.sizes)):
        own = batch.layout.real & (batch.layout.sequence_ids == number)
        ids, types = batch.token_ids[own], batch.token_type_ids[own]
        assert (labels[own][1:] == -100).all()
        found.append((int(labels[own][0]), ids[types == 0].tolist(), ids[types == 1].tolist()))
    assert (labels[~batch.layout.real] == -100).all()
    return found


build_nsp = build("nsp")


@pytest.mark.parametrize("packed", [True, False])
def test_half_of_the_pairs_get_the_b_of_another_one(packed: bool) -> None:
    count = 30
    items = [pair(n, 2, 3) for n in range(count)]
    spoilt, others = 0, np.zeros(count)
    for seed in range(60):
        for number, (label, first, second) in enumerate(rows(ask(build_nsp, items, seed, packed=packed))):
            assert first == [2, 10 * number + 5, 10 * number + 5, 3]
            assert second[-1] == 3
            assert set(second[:-1]) == {second[0]}
            other = (second[0] - 6) // 10
            assert label == (other != number)
            spoilt += label
            others[(other - number) % count] += label
    assert abs(spoilt - 900) < 5 * math.sqrt(450)
    expected = spoilt / (count - 1)
    assert others[0] == 0
    assert ((others[1:] - expected) ** 2 / expected).sum() < 75  # chi-squared with 28 degrees: p = 5e-6


@pytest.mark.parametrize("packed", [True, False])
def test_in_sentence_order_half_of_the_pairs_change_places(packed: bool) -> None:
    items = [pair(n, 2, 3) for n in range(40)] * 10
    found = rows(ask(build("sop"), items, packed=packed))
    for number, (label, first, second) in enumerate(found):
        a, b = [10 * (number % 40) + 5] * 2, [10 * (number % 40) + 6] * 3
        assert (first, second) == (([2, *b, 3], [*a, 3]) if label else ([2, *a, 3], [*b, 3]))
    assert abs(sum(label for label, _, _ in found) - 200) < 50


def test_a_pair_alone_has_no_other_b_but_an_order() -> None:
    alone = [pair(1, 2, 3), np.array([2, 9, 3])]
    items = [alone[0], Item(alone[1], np.zeros(3, int))]
    for seed in range(20):
        asked = ask(build_nsp, items, seed)
        assert (asked.labels["next_sentence"] == -100).all()
        assert torch.equal(asked.token_ids, collate(items, packed=True).token_ids)
    labels = {rows(ask(build("sop"), items, seed))[0][0] for seed in range(20)}
    assert labels == {0, 1}


def test_single_sentences_among_pairs_are_not_asked_and_never_lend_their_words() -> None:
    single = Item(np.array([2, 99, 3]), np.zeros(3, int))
    found = rows(ask(build_nsp, [pair(0, 2, 2), single, pair(1, 2, 2)], seed=1))
    assert found[1] == (-100, [2, 99, 3], [])
    assert all(99 not in second for _, _, second in found)


def test_a_batch_without_types_is_refused() -> None:
    with pytest.raises(InputError, match=r"next_sentence asks about pairs; set text\.unit to pair"):
        ask(build_nsp, [np.array([2, 7, 3])])


sizes = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=2, max_size=6)


@given(sizes, st.integers(0, 50))
def test_what_grows_too_long_is_cut_as_true_pairs_are(lengths: list[tuple[int, int]], seed: int) -> None:
    items = [pair(n, *both) for n, both in enumerate(lengths)]
    true = [([5 + 10 * n] * a, [6 + 10 * n] * b) for n, (a, b) in enumerate(lengths)]
    for number, (label, first, second) in enumerate(rows(ask(build_nsp, items, seed))):
        assert len(first) + len(second) <= LONGEST
        other = (second[0] - 6) // 10
        if label:
            kept = [np.asarray(items[n].token_type_ids) for n in (number, other)]
            a, b = int((kept[0] == 0).sum()) - 2, int((kept[1] == 1).sum()) - 1
            cut = join_pair(np.array(true[number][0][:a]), np.array(true[other][1][:b]), LONGEST, VOCABULARY)
            assert [*first, *second] == np.asarray(cut.token_ids).tolist()
        else:
            assert [*first, *second] == np.asarray(items[number].token_ids).tolist()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", ["nsp", "sop"])
def test_all_that_lies_beside_a_token_goes_with_it(kind: str, packed: bool) -> None:
    """Labels and features that name the token they belong to still do, whatever was put where."""
    items = []
    for n in range(8):
        plain = pair(n, 1 + n % 5, 1 + (3 * n) % 7)
        ids = np.asarray(plain.token_ids)
        items.append(replace(plain, labels={"named": ids}, features={"twice": np.stack([ids, 2 * ids], 1)}))
    asked = ask(build(kind), items, packed=packed)
    real = asked.layout.real
    assert torch.equal(asked.labels["named"][real], asked.token_ids[real])
    assert (asked.labels["named"][~real] == -100).all()
    assert torch.equal(asked.features["twice"][real], asked.token_ids[real][:, None] * torch.tensor([1, 2]))
    assert (asked.features["twice"][~real] == -1).all()
    assert (asked.token_ids[~real] == VOCABULARY.pad).all()
    assert real.any()
    assert not torch.equal(asked.token_ids, collate(items, packed=packed).token_ids)


def test_masks_follow_pairs_in_either_order() -> None:
    """Masked tokens keep their labels when the pair is spoilt after it was masked."""
    trunk = bert.build(bert.Spec(hidden_size=8), INVENTORY)
    words = masked_lm.build(masked_lm.Spec(probability=0.5), trunk, INVENTORY)
    items = [pair(n, 4, 4) for n in range(10)]
    for objectives in ((words, build_nsp), (build_nsp, words)):
        asked = Task(trunk, *objectives).ask(collate(items, packed=True), torch.Generator().manual_seed(0))
        chosen = asked.labels["masked"] != -100
        shown = asked.token_ids[chosen] == asked.labels["masked"][chosen]
        assert 20 < chosen.sum() < 60
        assert shown.double().mean() < 0.4
        assert set(asked.labels["next_sentence"].tolist()) == {-100, 0, 1}


def test_dense_and_packed_ask_the_same() -> None:
    items = [pair(n, 1 + n % 5, 2 + n % 3) for n in range(12)]
    for kind in ("nsp", "sop"):
        one, other = (rows(ask(build(kind), items, packed=packed)) for packed in (True, False))
        assert one == other


def test_loss_and_answer_come_from_the_pooled_first_token() -> None:
    torch.manual_seed(0)
    for module in (bert, transformer_encoder):
        spec = module.Spec(hidden_size=8, type_vocab_size=2)
        trunk = module.build(spec, INVENTORY).eval()
        objective = next_sentence.build(next_sentence.Spec(), trunk, INVENTORY)
        asked = ask(objective, [pair(n, 2, 2) for n in range(6)])
        states = trunk(asked)
        firsts = states.hidden[asked.layout.position_ids == 0]
        pooled = torch.tanh(firsts @ objective.pooler.dense.weight.T + objective.pooler.dense.bias)
        logits = pooled @ objective.classifier.weight.T + objective.classifier.bias
        labels = asked.labels["next_sentence"][asked.layout.position_ids == 0]
        loss = objective.loss(states, asked)
        expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        torch.testing.assert_close(loss.each, expected, rtol=0, atol=1e-6)
        assert int(loss.count) == 6
        assert objective.answer(states, asked) == logits.argmax(-1).tolist()


def test_order_can_be_learned() -> None:
    """Where A and B are of other words, a pair that was spoilt can be told."""
    torch.manual_seed(0)
    trunk = bert.build(bert.Spec(hidden_size=16, hidden_dropout_prob=0, attention_probs_dropout_prob=0), INVENTORY)
    objective = next_sentence.build(next_sentence.Spec(kind="sop"), trunk, INVENTORY)
    items = [join_pair(np.array([5, 6 + n]), np.array([205 + n, 6 + n]), LONGEST, VOCABULARY) for n in range(20)]
    optimizer = torch.optim.Adam([*trunk.parameters(), *objective.classifier.parameters()], 3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        asked = objective.ask(collate(items, packed=True), generator)
        loss = objective.loss(trunk(asked), asked)
        optimizer.zero_grad()
        (loss.total / loss.count).backward()
        optimizer.step()
    assert loss.each.mean() < 0.1
