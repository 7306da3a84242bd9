"""EM as an optimizer, against EM written out with responsibilities, on a mixture of distributions over tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice, pairwise, repeat

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.models.states import States
from clearhead.objectives.loss import Loss
from clearhead.training.draws import MOST_PARTS
from clearhead.training.expectation_maximization import maximised
from clearhead.training.loop import fit
from clearhead.training.spec import OptimizerSpec, TrainingSpec
from clearhead.training.task import Task

KINDS, SYMBOLS = 3, 6


class Mixture(nn.Module):
    """log p(kind, token): each token is of one of a few kinds, each of which has its own distribution."""

    distributions = True

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        shares, symbols = rng.dirichlet(np.ones(KINDS)), rng.dirichlet(np.ones(SYMBOLS), KINDS)
        symbols[0, 0] = 0.0  # impossible
        symbols[0] /= symbols[0].sum()
        self.kinds = nn.Parameter(torch.from_numpy(shares).log())
        self.symbols = nn.Parameter(torch.from_numpy(symbols).log())

    def forward(self, batch: Batch) -> States:
        hidden = self.kinds + self.symbols.mT[batch.token_ids]  # (N, K)
        return States(hidden, batch.layout, (hidden,))


class Likelihood(nn.Module):
    """-log p(token), the kinds summed over; or of token and kind, where the kind is known."""

    asks = ("kind",)

    def __init__(self, known: bool) -> None:
        super().__init__()
        self.known = known

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        return replace(batch, labels={"kind": batch.token_ids % KINDS})

    def loss(self, states: States, batch: Batch) -> Loss:
        kinds = batch.labels["kind"].unsqueeze(1)
        each = -(states.hidden.gather(1, kinds).squeeze(1) if self.known else states.hidden.logsumexp(-1))
        return Loss(each.sum(), torch.tensor(len(each)), each)


def task(known: bool = False) -> Task:
    return Task(Mixture(), Likelihood(known))  # type: ignore[arg-type]


def tokens() -> np.ndarray:
    return np.random.default_rng(1).choice(SYMBOLS, 200, p=[0.3, 0.3, 0.1, 0.1, 0.15, 0.05])


def parts(number: int) -> Iterator[Batch]:
    return (collate([ids], packed=True) for ids in np.array_split(tokens(), number))


def spec(steps: int, smoothing: float = 0.0) -> TrainingSpec:
    return TrainingSpec(steps=steps, optimizer=OptimizerSpec(name="em", smoothing=smoothing))


def written_out(steps: int, smoothing: float) -> tuple[np.ndarray, np.ndarray, list[float]]:
    model, seen, nats = Mixture(), tokens(), []
    kinds, symbols = (p.detach().exp().numpy() for p in (model.kinds, model.symbols))
    possible = symbols > 0
    for _ in range(steps):
        joint = kinds * symbols[:, seen].T  # (N, K)
        nats.append(float(-np.log(joint.sum(1)).mean()))
        shares = joint / joint.sum(1, keepdims=True)
        used = np.stack([np.bincount(seen, shares[:, k], SYMBOLS) for k in range(KINDS)]) + smoothing * possible
        kinds, symbols = shares.sum(0) + smoothing, used
        kinds, symbols = kinds / kinds.sum(), symbols / symbols.sum(1, keepdims=True)
    return kinds, symbols, nats


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
@pytest.mark.parametrize("number", [1, 4])
def test_it_is_em(smoothing: float, number: int) -> None:
    one = task()
    steps = list(fit(one, parts(number), spec(7, smoothing), seed=0))
    kinds, symbols, nats = written_out(7, smoothing)
    np.testing.assert_allclose(one.model.kinds.detach().exp(), kinds, rtol=0, atol=1e-12)  # type: ignore[union-attr, operator]
    np.testing.assert_allclose(one.model.symbols.detach().exp(), symbols, rtol=0, atol=1e-12)  # type: ignore[union-attr, operator]
    np.testing.assert_allclose([step.loss for step in steps], nats, rtol=0, atol=1e-12)


def test_the_likelihood_never_falls_and_rows_stay_distributions() -> None:
    one, losses = task(), []
    for step in fit(one, parts(3), spec(40), seed=0):
        losses.append(step.loss)
        for parameter in one.parameters():
            torch.testing.assert_close(parameter.exp().sum(-1), torch.ones(parameter.shape[:-1]).double())
    assert all(later <= earlier + 1e-14 for earlier, later in pairwise(losses))
    assert one.model.symbols[0, 0] == -torch.inf  # type: ignore[union-attr, index]


def test_known_labels_are_counted_in_one_step() -> None:
    one = task(known=True)
    nn.init.constant_(one.model.symbols, -np.log(SYMBOLS))  # type: ignore[union-attr, arg-type]
    list(fit(one, parts(2), spec(1), seed=0))
    seen = tokens()
    counts = np.stack([np.bincount(seen[seen % KINDS == k], minlength=SYMBOLS) for k in range(KINDS)])
    np.testing.assert_allclose(one.model.symbols.detach().exp(), counts / counts.sum(1, keepdims=True), atol=1e-14)  # type: ignore[union-attr, operator]
    np.testing.assert_allclose(one.model.kinds.detach().exp(), counts.sum(1) / 200, atol=1e-14)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_a_row_that_is_never_used_keeps_its_values_unless_smoothed(smoothing: float) -> None:
    rows = torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.25, 0.25]], dtype=torch.float64).log()
    gradient: Tensor = torch.tensor([[0.0, 0.0, 0.0], [-0.1, -0.3, 0.0]], dtype=torch.float64)
    found = maximised(rows, gradient, 10, smoothing).exp()
    expected = [[0.5, 0.5, 0.0], [2 / 7, 4 / 7, 1 / 7]] if smoothing else [[0.25, 0.75, 0.0], [0.25, 0.75, 0.0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-14)


def test_batches_without_end_are_refused(silent: Batch) -> None:
    with pytest.raises(InputError, match=f"got more than {MOST_PARTS} batches; give it every sequence once"):
        next(fit(task(), repeat(silent), spec(1), seed=0))


def test_no_batches_make_no_steps_and_nothing_asked_is_told(make_task: Callable[..., Task], silent: Batch) -> None:
    assert list(fit(task(), iter(()), spec(3), seed=0)) == []
    with pytest.raises(InputError, match="nothing is asked of any sequence"):
        next(fit(make_task(), iter([silent]), TrainingSpec(steps=1, optimizer="lbfgs"), seed=0))  # type: ignore[arg-type]


def test_several_objectives_have_no_one_likelihood() -> None:
    both = Task(Mixture(), Likelihood(False), Likelihood(True))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="em maximises one likelihood, and here are several objectives"):
        next(fit(both, parts(1), spec(1), seed=0))
    turns = Task(Mixture(), Likelihood(False), Likelihood(True), turns="alternating")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="set turns to joint"):
        next(fit(turns, parts(1), spec(1), seed=0))


def test_gradient_descent_takes_all_batches_for_each_step(make_task: Callable[..., Task], batches: list[Batch]) -> None:
    """`gd` on the list of batches is `sgd` that gathers them, again and again."""
    common = {"steps": 4, "learning_rate": 0.1}
    one, other = make_task(dropout=0.2), make_task(dropout=0.2)
    gathered = TrainingSpec(**common, optimizer="sgd", accumulate=6)  # type: ignore[arg-type]
    left = list(fit(one, iter(batches[:6]), TrainingSpec(**common, optimizer="gd"), seed=0))  # type: ignore[arg-type]
    right = list(fit(other, islice(cycle(batches[:6]), 24), gathered, seed=0))
    assert [(s.loss, s.tokens) for s in left] == [(s.loss, s.tokens) for s in right]
    assert left[0].loss != left[1].loss
