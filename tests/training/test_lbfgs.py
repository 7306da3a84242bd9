"""L-BFGS and OWL-QN on convex problems whose minimum is known from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.models.states import States
from clearhead.objectives.loss import Loss, asked_places, token_loss
from clearhead.training.curvature import Curvature
from clearhead.training.lbfgs import LBFGS
from clearhead.training.loop import Diverged, Step, fit
from clearhead.training.spec import OptimizerSpec, TrainingSpec
from clearhead.training.task import Task

EXAMPLES, WIDTH, CLASSES = 120, 6, 3
TO_THE_END = OptimizerSpec(name="lbfgs", tolerance=1e-8)


class Table(nn.Module):
    """Token i is the row i of a fixed table of features of unequal scale."""

    def __init__(self) -> None:
        super().__init__()
        rows = torch.randn(EXAMPLES, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        self.register_buffer("rows", rows * torch.tensor([3.0, 2, 1, 1, 1, 0.5]))

    def forward(self, batch: Batch) -> States:
        hidden = self.rows[batch.token_ids]  # type: ignore[index]
        return States(hidden, batch.layout, (hidden,))


class Softmax(nn.Module):
    """Multinomial logistic regression of noisy labels."""

    asks = ("class",)

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        noise = torch.rand(EXAMPLES, CLASSES, dtype=torch.float64, generator=generator)
        self.register_buffer("labels", (0.5 * rows[:, 2 : 2 + CLASSES] + noise).argmax(-1))
        self.linear = nn.Linear(WIDTH, CLASSES, dtype=torch.float64)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        return replace(batch, labels={"class": self.labels[batch.token_ids]})  # type: ignore[index]

    def loss(self, states: States, batch: Batch) -> Loss:
        asked = asked_places(batch.labels["class"])
        return token_loss(self.linear(states.hidden[asked]), batch.labels["class"][asked])


@pytest.fixture
def regression() -> Task:
    table = Table()
    return Task(table, Softmax(table.rows))  # type: ignore[arg-type]


def everything(parts: int = 1) -> list[Batch]:
    cut = np.array_split(np.arange(EXAMPLES), parts)
    return [collate([numbers[:1], numbers[1:]] if len(numbers) > 1 else [numbers], packed=True) for numbers in cut]


def run(task: Task, parts: int = 1, **fields: object) -> list[Step]:
    spec = TrainingSpec(**{"steps": 200, "optimizer": TO_THE_END, **fields})  # type: ignore[arg-type]
    return list(fit(task, iter(everything(parts)), spec, seed=0))


def weights(task: Task) -> Tensor:
    return task.objective.linear.weight  # type: ignore[attr-defined, no-any-return]


def mean_gradient(task: Task) -> list[Tensor]:
    (batch,) = everything()
    loss = task(task.ask(batch, torch.Generator()))
    return list(torch.autograd.grad(loss.total / loss.count, list(task.parameters())))


def by_scipy(task: Task, l2: float) -> scipy.optimize.OptimizeResult:
    """The minimum as another L-BFGS finds it, with the gradient written out."""
    rows, labels = task.model.rows.numpy(), task.objective.labels.numpy()  # type: ignore[union-attr, attr-defined, operator]
    one_hot = np.eye(CLASSES)[labels]

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = flat[: WIDTH * CLASSES].reshape(CLASSES, WIDTH), flat[WIDTH * CLASSES :]
        log_p = scipy.special.log_softmax(rows @ w.T + b, axis=1)
        off = (np.exp(log_p) - one_hot) / EXAMPLES
        gradient = np.concatenate([(off.T @ rows + l2 * w).ravel(), off.sum(0)])
        return float(-(one_hot * log_p).sum() / EXAMPLES + l2 / 2 * np.square(w).sum()), gradient

    options = {"gtol": 1e-8, "ftol": 0, "maxcor": 10, "maxiter": 1000}
    start = np.zeros((WIDTH + 1) * CLASSES)
    return scipy.optimize.minimize(value, start, jac=True, method="L-BFGS-B", options=options)


def minimised(task: Task, step: Step, l2: float) -> float:
    return step.loss + l2 / 2 * float(weights(task).detach().square().sum())


@pytest.mark.parametrize("l2", [0.01, 1.0])
def test_it_ends_at_the_minimum_that_scipy_finds_in_as_few_steps(regression: Task, l2: float) -> None:
    steps, other = run(regression, l2=l2), by_scipy(regression, l2)
    assert minimised(regression, steps[-1], l2) == pytest.approx(other.fun, abs=1e-12)
    assert steps[-1].gradient_norm < 1e-7
    assert len(steps) < 1.3 * other.nit
    assert steps[-1].tokens < 1.3 * other.nfev * EXAMPLES + 5 * EXAMPLES


@pytest.mark.parametrize("l1", [0.003, 0.03, 0.3])
def test_with_l1_the_minimum_meets_its_conditions_and_has_zeros(regression: Task, l1: float) -> None:
    """Gradient -l1 sign(w) where w is not 0, within [-l1, l1] where it is, 0 at the bias: enough, as it is convex."""
    steps = run(regression, l1=l1)
    w, (gradient, bias) = weights(regression).detach(), mean_gradient(regression)
    zero = w == 0
    assert 0 < int(zero.sum()) <= w.numel()
    torch.testing.assert_close(gradient[~zero], -l1 * w[~zero].sign(), rtol=0, atol=1e-6)
    assert float(gradient[zero].abs().max()) <= l1 + 1e-6
    assert float(bias.abs().max()) < 1e-6
    assert len(steps) < 120


def test_so_large_an_l1_leaves_the_bias_alone(regression: Task) -> None:
    run(regression, l1=50.0)
    assert torch.count_nonzero(weights(regression)) == 0
    shares = torch.bincount(regression.objective.labels).double() / EXAMPLES  # type: ignore[attr-defined]
    bias = regression.objective.linear.bias  # type: ignore[attr-defined]
    torch.testing.assert_close(bias.detach().softmax(-1), shares, rtol=0, atol=1e-7)


@pytest.mark.parametrize("penalty", [{"l2": 0.05}, {"l1": 0.02}, {"l1": 0.01, "l2": 0.01}])
def test_the_loss_with_penalties_never_rises(regression: Task, penalty: dict[str, float]) -> None:
    spec = TrainingSpec(steps=100, optimizer=TO_THE_END, **penalty)  # type: ignore[arg-type]
    values = []
    for step in fit(regression, iter(everything()), spec, seed=0):
        w = weights(regression).detach()
        penalties = spec.l1 * w.abs().sum() + spec.l2 / 2 * w.square().sum()
        values.append(step.loss + float(penalties))
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(values))


def test_parts_of_the_data_are_the_whole(regression: Task) -> None:
    other = Task(regression.model, Softmax(regression.model.rows))  # type: ignore[arg-type]
    one, seven = run(regression, l2=0.1), run(other, parts=7, l2=0.1)
    torch.testing.assert_close(weights(regression), weights(other), rtol=0, atol=1e-8)
    assert abs(len(one) - len(seven)) <= 2


def test_single_precision_comes_to_a_standstill_near_the_minimum(regression: Task) -> None:
    least = by_scipy(regression, 0.01).fun
    task = regression.float()
    steps = run(task, l2=0.01, optimizer=OptimizerSpec(name="lbfgs", tolerance=0.0))
    assert len(steps) < 200
    assert minimised(task, steps[-1], 0.01) == pytest.approx(least, abs=2e-6)


def test_it_is_faster_than_descent_by_far(regression: Task) -> None:
    best = run(regression, l2=0.01)[-1].loss
    other = Task(regression.model, Softmax(regression.model.rows))  # type: ignore[arg-type]
    rate = {"optimizer": "gd", "learning_rate": 0.02, "steps": 40, "schedule": "constant", "warmup": 0, "l2": 0.01}
    assert run(other, **rate)[-1].loss > best + 0.01


def test_a_start_at_the_minimum_ends_at_once(regression: Task) -> None:
    run(regression, l2=0.1)
    before = weights(regression).detach().clone()
    steps = run(regression, l2=0.1, optimizer=OptimizerSpec(name="lbfgs", tolerance=1e-6))
    assert len(steps) == 1
    torch.testing.assert_close(weights(regression).detach(), before, rtol=0, atol=1e-6)


def test_a_bad_start_is_told_and_a_bad_trial_is_only_too_long(regression: Task) -> None:
    calls = []

    def explode(gradient: Tensor) -> Tensor:
        calls.append(1)
        return gradient * (math.nan if len(calls) == 2 else 1.0)

    handle = weights(regression).register_hook(explode)
    least = by_scipy(regression, 0.1).fun
    steps = run(regression, l2=0.1)
    assert minimised(regression, steps[-1], 0.1) == pytest.approx(least, abs=1e-9)
    handle.remove()
    weights(regression).register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(Diverged):
        run(regression)


def test_rosenbrocks_valley() -> None:
    """Not convex, and curved: the classic of line searches; from (-1.2, 1) to (1, 1)."""
    x = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
    optimizer = LBFGS([x], history=5, tolerance=1e-9)

    def value() -> float:
        x.grad = None
        height = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
        height.backward()
        return height.item()

    for _ in range(100):
        optimizer.step(value)
        if optimizer.converged:
            break
    assert optimizer.converged
    torch.testing.assert_close(x.detach(), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-8)


@pytest.mark.parametrize("remembered", [1, 3, 8])
def test_the_direction_is_that_of_the_two_loops(remembered: int) -> None:
    """Against the textbook's own recursion on the vectors, with more pairs than are kept."""
    generator = torch.Generator().manual_seed(0)
    bowl = torch.randn(9, 9, dtype=torch.float64, generator=generator)
    bowl = bowl @ bowl.T + torch.eye(9)
    pairs = [(s, bowl @ s) for s in torch.randn(remembered, 9, dtype=torch.float64, generator=generator)]
    curvature = Curvature(3, pairs[0][0])
    for s, y in pairs:
        curvature.remember(s, y)
    gradient = torch.randn(9, dtype=torch.float64, generator=generator)
    q, shares = gradient.clone(), []
    for s, y in reversed(pairs[-3:]):
        shares.append(s @ q / (s @ y))
        q = q - shares[-1] * y
    s, y = pairs[-1]
    q = q * (s @ y) / (y @ y)
    for (s, y), share in zip(pairs[-3:], reversed(shares), strict=True):
        q = q + (share - y @ q / (s @ y)) * s
    torch.testing.assert_close(curvature.direction(-gradient), -q, rtol=0, atol=1e-10)


def test_a_pair_that_bends_down_is_not_kept() -> None:
    curvature = Curvature(3, torch.zeros(2))
    curvature.remember(torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0]))
    assert curvature.order == []


def test_dropout_is_refused_since_the_function_would_change(
    make_task: Callable[..., Task], batches: list[Batch]
) -> None:
    with pytest.raises(InputError, match="lbfgs compares losses of the same function, and dropout"):
        next(fit(make_task(dropout=0.3), iter(batches), TrainingSpec(steps=3, optimizer="lbfgs"), seed=0))  # type: ignore[arg-type]
    steps = list(fit(make_task(), iter(batches), TrainingSpec(steps=8, optimizer="lbfgs"), seed=0))  # type: ignore[arg-type]
    assert steps[-1].loss < steps[0].loss - 0.2
    read = sum(sum(batch.layout.sizes) for batch in batches)
    assert steps[0].tokens % read == 0
    assert steps[0].tokens >= 2 * read
