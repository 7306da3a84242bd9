"""One class a sequence: what it is read from, what is minimised, and which classes are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clearhead.batches.batch import Batch, Item, collate
from clearhead.errors import InputError
from clearhead.models import bert, transformer_encoder
from clearhead.models.states import States
from clearhead.objectives import classification
from clearhead.objectives.classification import Classification
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.task import Task

INVENTORY = Inventory(Vocabulary(30), 16, labels=("bad", "good", "odd"))
POOLS = ("first", "pooler", "mean", "max", "last")
LENGTHS = (4, 1, 7, 2)


def items(classes: tuple[int, ...] = (0, 2, 1, 1)) -> list[Item]:
    rng = np.random.default_rng(0)
    return [
        Item(rng.integers(5, 30, length), labels={"class": np.array([label, *[-100] * (length - 1)])})
        for length, label in zip(LENGTHS, classes, strict=True)
    ]


def build(**spec: Any) -> Task:
    torch.manual_seed(0)
    trunk = bert.build(bert.Spec(hidden_size=8), INVENTORY)
    return Task(trunk, classification.build(validate(classification.Spec, spec), trunk, INVENTORY)).double().eval()


def head(task: Task) -> Classification:
    assert isinstance(task.objective, Classification)
    return task.objective


def ask(task: Task, batch: Batch) -> Batch:
    return task.ask(batch, torch.Generator().manual_seed(0))


def pooled(pool: str, own: Tensor, task: Task) -> Tensor:
    """The formula of each choice on the states (n, D) of one sequence."""
    if pool == "pooler":
        dense = task.model.pooler.dense
        return torch.tanh(own[0] @ dense.weight.T + dense.bias)
    return {"first": own[0], "last": own[-1], "mean": own.mean(0), "max": own.amax(0)}[pool]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("packed", [True, False])
def test_a_class_is_read_from_real_tokens_only(pool: str, packed: bool) -> None:
    task = build(pool=pool)
    batch = ask(task, collate(items(), packed=packed, pad=9))
    states = task.model(batch)
    vectors = []
    for number in range(4):
        own = states.hidden[batch.layout.real & (batch.layout.sequence_ids == number)]
        vectors.append(pooled(pool, own, task))
    logits = torch.stack(vectors) @ head(task).classifier.weight.T + head(task).classifier.bias
    loss = task(batch)
    each = F.cross_entropy(logits, torch.tensor([0, 2, 1, 1]), reduction="none")
    torch.testing.assert_close(loss.each, each, rtol=0, atol=1e-12)
    assert int(loss.count) == 4
    assert head(task).answer(states, batch) == logits.argmax(-1).tolist()
    torch.testing.assert_close(head(task).probabilities(states), logits.softmax(-1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pool", POOLS)
def test_dense_equals_packed_and_alone_with_gradients(pool: str) -> None:
    task = build(pool=pool)
    packed, dense = (task(ask(task, collate(items(), packed=packed))) for packed in (True, False))
    torch.testing.assert_close(packed.each, dense.each, rtol=0, atol=1e-12)
    gradients = [
        torch.autograd.grad(loss.total, list(task.parameters()), allow_unused=True) for loss in (packed, dense)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)
    for number, item in enumerate(items()):
        alone = task(ask(task, collate([item], packed=True)))
        torch.testing.assert_close(alone.each[0], packed.each[number], rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", ["mse", "mse_logits", {"name": "focal", "gamma": 1.0}, {"label_smoothing": 0.2}])
def test_another_loss_is_minimised_and_nats_are_reported(loss: Any) -> None:
    plain, other = build(), build(loss=loss)
    batch = collate(items(), packed=True)
    one, two = plain(ask(plain, batch)), other(ask(other, batch))
    torch.testing.assert_close(one.each, two.each, rtol=0, atol=1e-12)
    assert not torch.isclose(one.total, two.total, rtol=0, atol=1e-4)


def test_a_class_that_is_not_known_costs_nothing() -> None:
    task = build()
    loss = task(ask(task, collate(items((0, -1, -100, 1)), packed=True)))
    assert int(loss.count) == 3
    assert loss.each[1] == 0
    some = task(ask(task, collate([items()[0], items()[3]], packed=True)))
    torch.testing.assert_close(loss.total, some.total, rtol=0, atol=1e-12)


def test_dropout_falls_on_what_was_pooled() -> None:
    task = build(dropout=0.5)
    batch = ask(task, collate(items(), packed=True))
    states = task.model(batch)
    assert torch.equal(head(task).logits(states), head(task).logits(states))
    head(task).train()
    assert not torch.equal(head(task).logits(states), head(task).logits(states))
    seen: list[Tensor] = []
    head(task).classifier.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
    head(task).logits(states)
    assert 0.1 < (seen[0] == 0).double().mean() < 0.9


def test_pairs_are_told_apart_by_their_token_types() -> None:
    task = build(pool="mean")
    ids = np.array([2, 7, 3, 8, 3])
    label = {"class": np.array([0, -100, -100, -100, -100])}
    losses = [
        task(ask(task, collate([Item(ids, np.array(types), label)], packed=True))).total
        for types in ([0, 0, 0, 1, 1], [0, 0, 0, 0, 0])
    ]
    assert losses[0] != losses[1]


def test_a_trunk_without_a_pooler_gets_one() -> None:
    trunk = transformer_encoder.build(transformer_encoder.Spec(hidden_size=8), INVENTORY)
    one = classification.build(classification.Spec(), trunk, INVENTORY)
    assert one.pooler is not None
    assert classification.build(classification.Spec(pool="mean"), trunk, INVENTORY).pooler is None


@pytest.mark.parametrize(
    ("labels", "message"), [(("good",), "the data has one class only, 'good'"), ((), "the data has no classes")]
)
def test_fewer_than_two_classes_are_refused(labels: tuple[str, ...], message: str) -> None:
    inventory = Inventory(Vocabulary(30), 16, labels=labels)
    with pytest.raises(InputError, match=message):
        classification.build(classification.Spec(), bert.build(bert.Spec(), inventory), inventory)


@pytest.mark.parametrize("wrong", [3, -2, 99])
def test_a_class_out_of_range_is_named(wrong: int) -> None:
    task = build()
    with pytest.raises(InputError, match=f"class number {wrong}, and there are 3, numbered from 0: bad, good, odd"):
        ask(task, collate(items((0, 1, wrong, 0)), packed=False))


def test_texts_without_classes_are_refused() -> None:
    task = build()
    with pytest.raises(InputError, match="classification needs a class for every text"):
        ask(task, collate([np.array([2, 7, 3])], packed=True))


def test_the_head_is_that_of_the_reference() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    task = build(dropout=0.0)
    config = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=0, num_attention_heads=4, num_labels=3)
    theirs = BertForSequenceClassification(config).double().eval()
    theirs.classifier.load_state_dict(head(task).classifier.state_dict())
    theirs.bert.pooler.load_state_dict(task.model.pooler.state_dict())
    batch = ask(task, collate(items(), packed=False))
    hidden = torch.randn(batch.layout.tokens, 8, dtype=torch.float64)
    expected = theirs.classifier(theirs.bert.pooler(batch.layout.grid(hidden)))
    found = head(task).logits(States(hidden, batch.layout, (hidden,)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
