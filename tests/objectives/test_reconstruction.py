"""The ways down, by hand; holes; and which layers learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.models import autoencoder, lstm
from clearhead.objectives import classification, reconstruction
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.loop import fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

VOCABULARY = Vocabulary(size=12, pad=0, unknown=1, begin=2, end=3, mask=4)
INVENTORY = Inventory(VOCABULARY, 16, labels=("A", "B"))
SEQUENCES = [np.array([2, 7, 9, 7, 3]), np.array([2, 3]), np.array([11, 5])]
BAGS = torch.tensor([[0.0, 0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 1]]).double()
WORDS = [3, 0, 2]
SIZES = (6, 4)


def build(model: dict[str, Any] | None = None, **fields: Any) -> Task:
    torch.manual_seed(0)
    trunk = autoencoder.build(autoencoder.Spec(**{"hidden_sizes": SIZES, **(model or {})}), INVENTORY)
    return Task(trunk, reconstruction.build(reconstruction.Spec(**fields), trunk, INVENTORY)).double().eval()


def ask(task: Task, *, seed: int = 1, packed: bool = True) -> Batch:
    return task.ask(collate(SEQUENCES, packed=packed), torch.Generator().manual_seed(seed))


def matrices(task: Task) -> list[tuple[Tensor, Tensor]]:
    return [(layer.linear.weight, layer.linear.bias) for layer in task.model.stack]  # type: ignore[union-attr]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_the_whole_stack_by_hand(tied: bool, loss: str) -> None:
    task = build(loss=loss, tie_weights=tied)
    (W1, b1), (W2, b2) = matrices(task)
    head = task.objectives[0]
    code = torch.sigmoid(torch.sigmoid(BAGS @ W1.T + b1) @ W2.T + b2)
    if tied:
        for bias in head.biases:
            torch.nn.init.normal_(bias)
        down1 = torch.sigmoid(code @ W2 + head.biases[1]) @ W1 + head.biases[0]
    else:
        low, high = (decoder.linear for decoder in head.decoders)
        down1 = low(torch.sigmoid(high(code)))
    if loss == "squared":
        nats = 0.5 * (down1 - BAGS).square().sum(-1)
    else:
        y = torch.sigmoid(down1)
        nats = -(BAGS * y.log() + (1 - BAGS) * (1 - y).log()).sum(-1)
    judged = task(ask(task))
    torch.testing.assert_close(judged.total, nats[0] + nats[2], rtol=0, atol=1e-12)
    expected = torch.stack([nats[0] / 3] * 3 + [nats[2] / 2] * 2)
    torch.testing.assert_close(judged.each, expected, rtol=0, atol=1e-12)
    assert int(judged.count) == sum(WORDS)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_an_upper_layer_undoes_itself_alone(loss: str) -> None:
    task = build(layer=1, loss=loss)
    (W1, b1), (W2, b2) = matrices(task)
    below = torch.sigmoid(BAGS @ W1.T + b1)
    scores = torch.sigmoid(below @ W2.T + b2) @ W2 + task.objectives[0].biases[0]
    each = (
        0.5 * (scores - below).square()
        if loss == "squared"
        else F.binary_cross_entropy_with_logits(scores, below, reduction="none")
    )
    torch.testing.assert_close(task(ask(task)).total, each.sum(-1)[[0, 2]].sum(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("layer", [None, 0])
def test_tokens_by_hand(tied: bool, layer: int | None) -> None:
    task = build({"kind": "convolutional", "hidden_sizes": (5,), "embedding_size": 3}, tie_weights=tied, layer=layer)
    head, asked = task.objectives[0], ask(task)
    states = task.model(asked)
    down = task.model.stack[0].down(states.hidden, asked.layout) + head.biases[0] if tied else None
    if down is None:
        down = head.decoders[0](states.hidden, asked.layout)
    logits = down @ (task.model.token_embedding.weight if tied else head.decoder.weight).T + head.decoder.bias
    expected = F.cross_entropy(logits, asked.labels["words"], reduction="sum")  # ignores -100
    torch.testing.assert_close(task(asked).total, expected, rtol=0, atol=1e-12)
    assert (head.decoder.weight is task.model.token_embedding.weight) == tied


def test_an_upper_convolution_counts_asked_tokens_alone() -> None:
    task = build({"kind": "convolutional", "embedding_size": 3}, layer=1)
    asked = ask(task)
    below = task.model(asked).layers[1]
    high = task.model.stack[1]
    scores = high.down(high(below, asked.layout), asked.layout) + task.objectives[0].biases[0]
    nats = F.binary_cross_entropy_with_logits(scores, below, reduction="none").sum(-1)
    real = asked.labels["words"] != -100
    torch.testing.assert_close(task(asked).each, nats[real], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_holes_are_words_and_what_is_asked_is_what_stood_there(kind: str) -> None:
    task = build({"kind": kind}, noise=0.5)
    text = collate([np.array([2, *range(5, 12), 7, 7, 9, 3])] * 200, packed=True)
    asked = task.ask(text, torch.Generator().manual_seed(0))
    special = text.token_ids < 5
    assert torch.equal(asked.labels["words"], text.token_ids.masked_fill(special, -100))
    holes = asked.token_ids == VOCABULARY.mask
    assert not (holes & special).any()
    assert torch.equal(asked.token_ids[~holes], text.token_ids[~holes])
    rows = holes.reshape(200, -1)
    together = (rows[:, 3] == rows[:, 8]) & (rows[:, 8] == rows[:, 9])  # the three 7s
    assert together.all() if kind == "dense" else not together.all()
    distinct = rows[:, 1:8].double().mean()
    assert distinct.item() == pytest.approx(0.5, abs=4 * 0.5 / 1400**0.5)
    assert torch.equal(task.ask(text, torch.Generator().manual_seed(0)).token_ids, asked.token_ids)


def test_the_encoder_does_not_see_what_is_hidden() -> None:
    task = build(noise=0.6)
    asked = ask(task, seed=3)
    holes = asked.token_ids == VOCABULARY.mask
    assert 0 < holes.sum() < sum(WORDS)
    bag = task.model.visible(asked)
    assert torch.equal(bag, BAGS * bag)
    assert (bag.sum() < BAGS.sum()).item()
    labels = task.objectives[0].bag(asked.labels["words"], asked.layout, torch.float64)
    assert torch.equal(labels, BAGS)


def test_noise_above_the_text_falls_in_training_alone() -> None:
    task = build(layer=1, noise=0.5)
    asked = ask(task)
    assert torch.equal(asked.token_ids, collate(SEQUENCES, packed=True).token_ids)
    calm = task(asked).total
    assert torch.equal(task(asked).total, calm)
    task.train()
    torch.manual_seed(0)
    assert task(asked).total != calm


@pytest.mark.parametrize("kind", ["dense", "convolutional"])
@pytest.mark.parametrize("layer", [0, 1, None])
def test_greedy_training_changes_its_own_layer_alone(kind: str, layer: int | None) -> None:
    task = build({"kind": kind}, layer=layer).float()
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    batches = iter([collate(SEQUENCES, packed=True)] * 3)
    for _ in fit(task, batches, TrainingSpec(steps=3, learning_rate=1e-2, schedule="constant", warmup=0), seed=0):
        pass
    changed = {name for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])}
    trained = {0, 1} if layer is None else {layer}
    own = {name for name in before if any(name.startswith(f"stack.{number}.") for number in trained)}
    assert changed == own | ({"token_embedding.weight"} if 0 in trained and kind == "convolutional" else set())


def test_fine_tuning_as_a_classifier_changes_every_layer() -> None:
    trunk = build().model
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    task = Task(trunk, classification.build(classification.Spec(pool="first"), trunk, INVENTORY)).float()
    batch = collate([SEQUENCES[0], SEQUENCES[2]], packed=True)
    labels = torch.full_like(batch.token_ids, -100)
    labels[0], labels[5] = 0, 1
    batches = iter([replace(batch, labels={"class": labels})] * 3)
    for _ in fit(task, batches, TrainingSpec(steps=3, learning_rate=1e-2), seed=0):
        pass
    assert all(not torch.equal(value, before[name].float()) for name, value in trunk.state_dict().items())


def test_it_learns_to_find_words_again() -> None:
    """Four kinds of text, a code of two numbers: each text's own words come back."""
    kinds = [np.array([5, 6]), np.array([7, 8]), np.array([9, 10]), np.array([11, 5])]
    task = build({"hidden_sizes": (2,), "hidden_act": "sigmoid"}).float()
    batch = collate(kinds, packed=True)
    spec = TrainingSpec(steps=400, learning_rate=0.1, schedule="constant", clip=None)
    losses = [step.loss for step in fit(task, iter([batch] * 400), spec, seed=0)]
    assert losses[-1] < 0.5 < losses[0]


@pytest.mark.parametrize(
    ("model", "fields", "told"),
    [
        ({}, {"layer": 2}, "objective.layer: 2 is not one of the stack's 2"),
        ({"input": "counts"}, {}, "needs bags of 0 and 1"),
        ({"hidden_act": "relu"}, {"layer": 1}, "set it to squared"),
        ({"kind": "convolutional"}, {"loss": "squared"}, "tokens have no distance"),
    ],
)
def test_what_does_not_fit_is_refused(model: dict[str, Any], fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        build(model, **fields)


def test_other_trunks_are_refused_with_the_mend() -> None:
    trunk = lstm.build(lstm.Spec(), INVENTORY)
    with pytest.raises(InputError, match=r"set model\.name to autoencoder"):
        reconstruction.build(reconstruction.Spec(), trunk, INVENTORY)
    with pytest.raises(InputError, match="did you mean 'squared'"):
        validate(reconstruction.Spec, {"loss": "square"}, "objective")
