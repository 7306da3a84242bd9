"""Baum-Welch and decoding against hmmlearn's `CategoricalHMM`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hmmlearn.hmm import CategoricalHMM

from clearhead.batches.batch import collate
from clearhead.models.hmm import HMM
from clearhead.objectives import generative_tagging
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.loop import fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

LENGTHS = (7, 1, 12, 30, 2, 1, 9)
ROUNDS = 8


def rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def start_of(states: int, symbols: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rows(rng, states), rows(rng, states, states), rows(rng, states, symbols)]


def theirs(start: list[np.ndarray], rounds: int) -> CategoricalHMM:
    states, symbols = start[2].shape
    model = CategoricalHMM(states, n_iter=rounds, tol=-np.inf, init_params="", n_features=symbols)
    model.startprob_, model.transmat_, model.emissionprob_ = (part.copy() for part in start)
    return model


def sentences(symbols: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, symbols, length) for length in LENGTHS]


def ours(start: list[np.ndarray]) -> Task:
    model = HMM(*(torch.from_numpy(part) for part in start))
    inventory = Inventory(Vocabulary(start[2].shape[1]), max(LENGTHS))
    return Task(model, generative_tagging.build(generative_tagging.Spec(), model, inventory))


@pytest.mark.parametrize(("states", "symbols"), [(2, 5), (4, 9), (5, 3)])
@pytest.mark.parametrize("parts", [1, 3])
def test_the_same_rounds_of_em(states: int, symbols: int, parts: int) -> None:
    """Log-likelihoods and parameters after each round, however the sequences are dealt into batches."""
    start, data = start_of(states, symbols, seed=states), sentences(symbols)
    stream, lengths = np.concatenate(data)[:, None], list(LENGTHS)
    task = ours(start)
    batches = [collate(data[part::parts], packed=True) for part in range(parts)]
    spec = TrainingSpec(optimizer="em", steps=ROUNDS, clip=None)
    for step in fit(task, iter(batches), spec, seed=0):
        reference = theirs(start, step.number)
        reference.fit(stream, lengths)
        assert -step.loss * sum(LENGTHS) == pytest.approx(reference.monitor_.history[step.number - 1], abs=1e-8)
        for parameter, expected in zip(
            task.model.parameters(), (reference.startprob_, reference.transmat_, reference.emissionprob_), strict=True
        ):
            np.testing.assert_allclose(parameter.detach().exp().numpy(), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("decoding", ["viterbi", "posterior"])
def test_the_same_states(decoding: str) -> None:
    start, data = start_of(4, 9, seed=1), sentences(9)
    reference = theirs(start, 1)
    reference.algorithm = {"viterbi": "viterbi", "posterior": "map"}[decoding]
    expected = reference.predict(np.concatenate(data)[:, None], list(LENGTHS))
    model = ours(start).model
    objective = generative_tagging.build(
        generative_tagging.Spec(decoding=decoding),
        model,
        Inventory(Vocabulary(9), max(LENGTHS)),  # type: ignore[arg-type]
    )
    batch = collate(data, packed=True)
    assert np.array_equal(np.concatenate(objective.answer(model(batch), batch)), expected)
