"""The Boltzmann machine and its training against scikit-learn's `BernoulliRBM`, from equal starts and equal draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neural_network import BernoulliRBM
from torch import nn

from clearhead.batches.batch import Batch, collate
from clearhead.models import rbm
from clearhead.objectives import contrastive_divergence
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.task import Task

WORDS, HIDDEN, TEXTS, RATE = 9, 6, 8, 0.1
INVENTORY = Inventory(Vocabulary(5 + WORDS), 16)


class TorchDraws:
    """What scikit-learn asks of its random state, drawn from torch's default generator."""

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Any = None) -> NDArray[np.float64]:
        return torch.rand(size, dtype=torch.float64).numpy()


def pair(**fields: Any) -> tuple[Task, BernoulliRBM, Batch, NDArray[np.float64]]:
    """Our task, their machine with the same weights, the texts, and their bags."""
    torch.manual_seed(0)
    trunk = rbm.build(rbm.Spec(hidden_sizes=(HIDDEN,)), INVENTORY)
    for parameter in trunk.parameters():
        nn.init.normal_(parameter, std=0.7)
    objective = contrastive_divergence.build(contrastive_divergence.Spec(**fields), trunk, INVENTORY)
    task = Task(trunk, objective).double()
    rng = np.random.default_rng(1)
    batch = collate([rng.integers(5, 5 + WORDS, length) for length in rng.integers(1, 9, TEXTS)], packed=True)
    machine = trunk.stack[0]
    theirs = BernoulliRBM(HIDDEN, learning_rate=RATE, batch_size=TEXTS)
    theirs.components_ = machine.layer.linear.weight.detach().numpy().copy()
    theirs.intercept_hidden_ = machine.layer.linear.bias.detach().numpy().copy()
    theirs.intercept_visible_ = machine.visible_bias.detach().numpy().copy()
    return task, theirs, task.ask(batch, torch.Generator()), trunk.visible(batch).numpy()


def our_step(task: Task, asked: Batch) -> None:
    loss = task(asked)
    task.zero_grad()
    (loss.total / loss.count).backward()
    with torch.no_grad():
        for parameter in task.parameters():
            parameter -= RATE * parameter.grad


def compare(task: Task, theirs: BernoulliRBM) -> None:
    machine = task.model.stack[0]  # type: ignore[union-attr]
    for ours, other in (
        (machine.layer.linear.weight, theirs.components_),
        (machine.layer.linear.bias, theirs.intercept_hidden_),
        (machine.visible_bias, theirs.intercept_visible_),
    ):
        np.testing.assert_allclose(ours.detach().numpy(), other, rtol=0, atol=1e-12)


def test_persistent_updates_step_by_step() -> None:
    task, theirs, asked, bags = pair(persistent=True, chains=TEXTS)
    theirs.h_samples_ = np.zeros((TEXTS, HIDDEN))
    for step in range(5):
        torch.manual_seed(step)
        our_step(task, asked)
        torch.manual_seed(step)
        theirs._fit(bags, TorchDraws())
        compare(task, theirs)
        np.testing.assert_array_equal(task.objectives[0].chains.numpy(), theirs.h_samples_)


def test_cd_1_updates_step_by_step() -> None:
    """Their update is CD-1 where the chains start from the data at every step."""
    task, theirs, asked, bags = pair()
    for step in range(5):
        torch.manual_seed(step)
        our_step(task, asked)
        torch.manual_seed(step)
        theirs.h_samples_ = theirs._sample_hiddens(bags, TorchDraws()).astype(float)
        theirs._fit(bags, TorchDraws())
        compare(task, theirs)


def test_free_energies_and_hidden_probabilities() -> None:
    task, theirs, asked, bags = pair()
    machine = task.model.stack[0]  # type: ignore[union-attr]
    v = torch.from_numpy(bags)
    np.testing.assert_allclose(machine.free_energy(v, asked.layout).detach(), theirs._free_energy(bags), atol=1e-12)
    np.testing.assert_allclose(machine(v, asked.layout).detach(), theirs.transform(bags), atol=1e-12)


def test_nats_are_minus_the_mean_of_their_pseudo_likelihood_over_all_units() -> None:
    task, theirs, asked, bags = pair()
    exact = task.eval()(asked).each.numpy()
    found = []
    for seed in range(2000):
        theirs.random_state = seed
        found.append(-theirs.score_samples(bags))
    error = np.std(found, axis=0) / len(found) ** 0.5
    assert (np.abs(np.mean(found, axis=0) - exact) < 4.5 * error).all()
