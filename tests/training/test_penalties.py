"""L1 and L2 in the loss: their gradients, and what is and is not the same as weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import pytest
import torch

from clearhead.batches.batch import Batch
from clearhead.training.loop import fit
from clearhead.training.penalties import add_gradients, l2_value, matrices
from clearhead.training.spec import OptimizerSpec, TrainingSpec
from clearhead.training.task import Task

MakeTask = Callable[..., Task]
COMMON = {"learning_rate": 0.1, "schedule": "constant", "warmup": 0, "clip": None, "steps": 6}


def trained(make_task: MakeTask, batches: list[Batch], **fields: object) -> Task:
    task = make_task(dtype=torch.float64)
    for _ in fit(task, cycle(batches), TrainingSpec(**{**COMMON, **fields}), seed=0):  # type: ignore[arg-type]
        pass
    return task


def apart(one: Task, other: Task) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((left - right).detach().abs().max()) for left, right in pairs)


def test_the_gradient_is_that_of_the_value(make_task: MakeTask) -> None:
    weights = matrices(make_task(dtype=torch.float64))
    value = sum(0.3 * w.abs().sum() + 0.7 / 2 * w.square().sum() for w in weights)
    expected = torch.autograd.grad(value, weights)  # type: ignore[arg-type]
    add_gradients(weights, 0.3, 0.7)
    for weight, gradient in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=0, atol=1e-14)
    expected_value = sum(float(0.35 * w.detach().square().sum()) for w in weights)
    assert l2_value(weights, 0.7) == pytest.approx(expected_value, rel=1e-14)


def test_a_weight_at_zero_is_not_pushed_off_by_l1() -> None:
    weight = torch.nn.Parameter(torch.tensor([[0.0, 2.0, -3.0]]))
    add_gradients([weight], 0.5, 0.0)
    assert weight.grad is not None
    assert weight.grad.tolist() == [[0.0, 0.5, -0.5]]


def test_it_acts_on_what_a_batch_left_without_gradient_and_spares_vectors(
    make_task: MakeTask, batches: list[Batch]
) -> None:
    task = make_task(dtype=torch.float64)
    task.model.idle = torch.nn.Linear(3, 3).double()  # type: ignore[assignment]
    matrix, bias = (value.detach().clone() for value in task.model.idle.parameters())  # type: ignore[union-attr]
    spec = TrainingSpec(**{**COMMON, "steps": 1}, l2=0.5, optimizer=OptimizerSpec(name="sgd"))  # type: ignore[arg-type]
    next(fit(task, iter(batches), spec, seed=0))
    torch.testing.assert_close(task.model.idle.weight.detach(), matrix * (1 - 0.1 * 0.5), rtol=0, atol=1e-15)  # type: ignore[union-attr]
    assert torch.equal(task.model.idle.bias, bias)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("optimizer", "same"),
    [({"name": "sgd"}, True), ({"name": "sgd", "momentum": 0.9}, False), ({"name": "adamw"}, False)],
)
def test_weight_decay_is_l2_for_plain_sgd_alone(
    make_task: MakeTask, batches: list[Batch], optimizer: dict[str, object], same: bool
) -> None:
    decayed = trained(make_task, batches, optimizer={**optimizer, "weight_decay": 0.1})
    penalised = trained(make_task, batches, optimizer={**optimizer, "weight_decay": 0.0}, l2=0.1)
    plain = trained(make_task, batches, optimizer={**optimizer, "weight_decay": 0.0})
    assert (apart(decayed, penalised) < 1e-13) is same
    assert apart(decayed, plain) > 1e-3


def test_the_reported_loss_is_without_penalties_and_the_norm_is_with_them(
    make_task: MakeTask, batches: list[Batch]
) -> None:
    def first(**fields: float) -> Iterator[float]:
        step = next(fit(make_task(dtype=torch.float64), iter(batches), TrainingSpec(steps=1, **fields), seed=0))  # type: ignore[arg-type]
        return iter((step.loss, step.gradient_norm))

    (loss, norm), (penalised, longer) = first(), first(l1=0.1)
    assert loss == penalised
    assert norm != longer


def test_adam_with_l2_is_torchs_coupled_decay(make_task: MakeTask, batches: list[Batch]) -> None:
    """Torch's Adam adds weight_decay * w to the gradient: the same thing."""
    task = make_task(dtype=torch.float64)
    asked = [task.ask(batch, torch.Generator().manual_seed(number)) for number, batch in enumerate(batches[:4])]
    decayed, spared = matrices(task), [p for p in task.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.2}, {"params": spared, "weight_decay": 0.0}]
    optimizer = torch.optim.Adam(groups, lr=0.1)
    other = make_task(dtype=torch.float64)
    for batch in asked:
        optimizer.zero_grad()
        loss = task(batch)
        (loss.total / loss.count).backward()
        optimizer.step()
    other.ask = lambda batch, *_: batch  # type: ignore[method-assign, assignment]
    spec = TrainingSpec(**{**COMMON, "steps": 4}, l2=0.2, optimizer=OptimizerSpec(name="adam"))  # type: ignore[arg-type]
    for _ in fit(other, iter(asked), spec, seed=0):
        pass
    assert apart(task, other) < 1e-12
