"""The gradient that is followed, against exact ones; chains; and which machine learns. scikit-learn: tests/parity."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.evaluation.metrics import held_out
from clearhead.models import autoencoder, rbm
from clearhead.objectives import classification, contrastive_divergence
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.loop import fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

INVENTORY = Inventory(Vocabulary(10), 16, labels=("A", "B"))  # five words, 5 .. 9
SEQUENCES = [np.array([2, 7, 9, 7, 3]), np.array([2, 3]), np.array([8, 5])]
BATCH = collate(SEQUENCES, packed=True)


def build(model: dict[str, Any] | None = None, std: float | None = 0.5, **fields: Any) -> Task:
    torch.manual_seed(0)
    trunk = rbm.build(rbm.Spec(**{"hidden_sizes": (4, 3), **(model or {})}), INVENTORY)
    if std is not None:
        for parameter in trunk.parameters():
            nn.init.normal_(parameter, std=std)
    objective = contrastive_divergence.build(contrastive_divergence.Spec(**fields), trunk, INVENTORY)
    return Task(trunk, objective).double()


def ask(task: Task, batch: Batch = BATCH) -> Batch:
    return task.ask(batch, torch.Generator())


def trained(task: Task, steps: int, batch: Batch = BATCH, **fields: Any) -> list[float]:
    spec = TrainingSpec(**{"steps": steps, "learning_rate": 1e-2, "schedule": "constant", "clip": None, **fields})
    return [step.loss for step in fit(task, iter([batch] * steps), spec, seed=0)]


@pytest.mark.parametrize("packed", [True, False])
def test_a_sequence_with_a_word_is_one_label_at_its_first_token(packed: bool) -> None:
    asked = ask(build(), collate(SEQUENCES, packed=packed, pad=6))
    assert asked.layout.take_real(asked.labels["visible"]).tolist() == [0, *[-100] * 6, 0, -100]


@pytest.mark.parametrize("persistent", [False, True])
def test_with_many_steps_the_gradient_is_that_of_the_exact_likelihood(persistent: bool) -> None:
    """E over many copies of the data; log Z by summing over all 2^5 texts."""
    task = build({"hidden_sizes": (4,)}, steps=40, persistent=persistent, **({"chains": 20_000} if persistent else {}))
    machine, copies = task.model.stack[0], 10_000
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5)), dtype=torch.float64)
    data = torch.tensor([[0, 0, 1, 0, 1], [1, 0, 0, 1, 0]], dtype=torch.float64)
    layout = BATCH.layout
    log_z = torch.logsumexp(-machine.free_energy(every, layout), 0)
    exact_loss = machine.free_energy(data, layout).mean() + log_z  # -log p, mean
    parameters = list(machine.parameters())
    exact = torch.autograd.grad(exact_loss, parameters)
    asked = ask(task, collate([SEQUENCES[0], SEQUENCES[2]] * copies, packed=True))
    torch.manual_seed(1)
    loss = task(asked)
    found = torch.autograd.grad(loss.total / loss.count, parameters)
    for one, other in zip(found, exact, strict=True):  # an entry is a mean of 20,000 numbers in [-1, 1]
        torch.testing.assert_close(one, other, rtol=0, atol=4.5 * 0.5 / (2 * copies) ** 0.5)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("layer", [0, 1])
def test_the_gradient_is_the_update_rule(visible: str, layer: int) -> None:
    """W += v_0 p(h|v_0) - v_1 p(h|v_1), biases likewise (for gaussian units the same), from the same draws."""
    task = build({"visible": visible}, layer=layer)
    states, asked = task.model(ask(task)), ask(task)
    machine = task.model.stack[layer]
    v = task.model.visible(asked) if layer == 0 else states.layers[0][[0, 5, 7]].detach()
    v = v[[0, 2]]
    torch.manual_seed(3)
    h = machine.sample_hidden(v, asked.layout)
    v_1 = machine.sample_visible(h, asked.layout)
    up, up_1 = machine(v, asked.layout), machine(v_1, asked.layout)
    torch.manual_seed(3)
    total = task(asked).total
    linear = machine.layer.linear
    gradients = torch.autograd.grad(total, [linear.weight, linear.bias, machine.visible_bias])
    expected = (up.T @ v - up_1.T @ v_1, (up - up_1).sum(0), (v - v_1).sum(0))
    for gradient, rule in zip(gradients, expected, strict=True):
        torch.testing.assert_close(-gradient, rule, rtol=0, atol=1e-12)


def test_chains_go_on_in_training_alone_and_are_saved() -> None:
    task = build(persistent=True, chains=7)
    chains = task.objectives[0].chains
    assert chains.shape == (7, 4)
    assert torch.count_nonzero(chains) == 0
    asked = ask(task)
    task.eval()(asked)
    assert torch.count_nonzero(chains) == 0
    task.train()(asked)
    first = chains.clone()
    task(asked)
    assert 0 < torch.count_nonzero(first) < first.numel()
    assert not torch.equal(chains, first)
    assert torch.equal(task.state_dict()["objectives.0.chains"], chains)
    assert "objectives.0.chains" not in build().state_dict()


def test_chains_weigh_as_much_as_the_data() -> None:
    """With one sequence or with three, the negative phase is one fantasy a sequence."""
    task = build(persistent=True, chains=5).eval()
    one = ask(task, collate(SEQUENCES[:1], packed=True))
    three = ask(task, collate(SEQUENCES[:1] * 3, packed=True))
    totals = []
    for asked in (one, three):
        torch.manual_seed(2)
        totals.append(task(asked).total)
    torch.testing.assert_close(totals[1], 3 * totals[0], rtol=0, atol=1e-12)


def test_dense_and_packed_are_judged_alike() -> None:
    task = build()
    losses = []
    for packed in (True, False):
        torch.manual_seed(4)
        losses.append(task(ask(task, collate(SEQUENCES, packed=packed, pad=6))))
    torch.testing.assert_close(losses[0].total, losses[1].total, rtol=0, atol=1e-12)
    torch.testing.assert_close(losses[0].each, losses[1].each, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("model", [{}, {"visible": "gaussian"}, {"kind": "convolutional"}], ids=str)
def test_greedy_training_changes_its_own_machine_alone(model: dict[str, Any], layer: int) -> None:
    task = build(model, layer=layer)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    trained(task, 3)
    changed = {name for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith(f"stack.{layer}.")}


def test_fine_tuning_as_a_classifier_changes_all_but_the_way_down() -> None:
    task = build()
    trunk = task.model
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    labels = torch.full_like(BATCH.token_ids, -100)
    labels[0], labels[7] = 0, 1
    tuned = Task(trunk, classification.build(classification.Spec(pool="first"), trunk, INVENTORY)).double()
    trained(tuned, 3, replace(BATCH, labels={"class": labels}))
    changed = {name for name, value in trunk.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if not name.endswith("visible_bias")}


@pytest.mark.parametrize("model", [{}, {"visible": "gaussian"}, {"kind": "convolutional"}], ids=str)
def test_it_learns_two_kinds_of_text(model: dict[str, Any]) -> None:
    """Words 5 6 stand together, and 8 9 do: nats of held-out text fall far below those of words by themselves."""
    task = build({"hidden_sizes": (4,), **model}, std=None).float()
    often = 20 if "visible" in model else 1  # counts that stand out from a variance of 1
    batch = collate([np.array([5, 6] * often), np.array([8, 9] * often)] * 8, packed=True)
    before = held_out(task, [batch], seed=0).mean
    trained(task, 400, batch, learning_rate=5e-2)
    assert held_out(task, [batch], seed=0).mean < 0.35 * before


def test_held_out_nats_are_repeatable_and_the_training_guess_is_unbiased() -> None:
    task = build()
    assert held_out(task, [BATCH], seed=0).nats.tolist() == held_out(task, [BATCH], seed=1).nats.tolist()
    asked = ask(task, collate(SEQUENCES[:1] * 20_000, packed=True))
    torch.manual_seed(0)
    guesses = task.train()(asked).each
    exact = task.eval()(ask(task, collate(SEQUENCES[:1], packed=True))).each
    assert abs(guesses.mean() - exact[0]) < 4.5 * guesses.std() / len(guesses) ** 0.5
    assert guesses.std() > 0


def test_without_a_closed_form_nats_are_those_of_the_reconstruction() -> None:
    for model in ({"visible": "gaussian"}, {"kind": "convolutional"}):
        task = build(model)
        machine, asked = task.model.stack[0], ask(task)
        v = task.model.visible(asked)
        W, b = machine.layer, machine.visible_bias
        scores = b + W.down(machine(v, asked.layout), asked.layout)
        nats = 0.5 * (v - scores).square().sum(-1) if "visible" in model else _nats_of_texts(scores, asked)
        torch.testing.assert_close(task(asked).each, nats[[0, 2]], rtol=0, atol=1e-12)


def _nats_of_texts(scores: Tensor, asked: Batch) -> Tensor:
    nats = nn.functional.cross_entropy(scores, asked.token_ids, reduction="none")
    return torch.stack([part.sum() for part in nats.split(asked.layout.sizes)])


@pytest.mark.parametrize(
    ("model", "fields", "told"),
    [
        ({}, {"layer": 2}, "objective.layer: 2 is not one of the stack's 2"),
        ({"kind": "convolutional"}, {"persistent": True}, "objective.persistent"),
    ],
)
def test_what_does_not_fit_is_refused(model: dict[str, Any], fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        build(model, **fields)


def test_other_trunks_and_idle_chains_are_refused() -> None:
    trunk = autoencoder.build(autoencoder.Spec(), INVENTORY)
    with pytest.raises(InputError, match=r"set model\.name to rbm"):
        contrastive_divergence.build(contrastive_divergence.Spec(), trunk, INVENTORY)
    with pytest.raises(InputError, match="only where persistent is true"):
        validate(contrastive_divergence.Spec, {"chains": 5}, "objective")
