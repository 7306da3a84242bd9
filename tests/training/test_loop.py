"""`fit`: exact over parts, equal bit by bit, stopped before the weights are spoilt."""

from __future__ import annotations

import logging
import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice, pairwise, repeat

import pytest
import torch
from torch import nn

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.objectives.loss import Loss
from clearhead.training.loop import Diverged, Step, fit
from clearhead.training.spec import OptimizerSpec, TrainingSpec
from clearhead.training.task import Task

MakeTask = Callable[..., Task]
SGD = OptimizerSpec(name="sgd", weight_decay=0.0)


class Fixed(nn.Module):
    """An objective whose labels are in the batch already."""

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.inner = objective
        self.asks = objective.asks

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        return batch

    def loss(self, states: object, batch: Batch) -> Loss:
        loss: Loss = self.inner.loss(states, batch)
        return loss


def weights(task: Task) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in task.parameters()]


def merged(parts: list[Batch]) -> Batch:
    """One packed batch of all sequences, with the labels of the parts."""
    sequences = [ids for part in parts for ids in part.token_ids.split(part.layout.lengths.tolist())]
    whole = collate(sequences, packed=True)
    return replace(whole, labels={"masked": torch.cat([part.labels["masked"] for part in parts])})


def test_loss_falls_and_steps_count(make_task: MakeTask, batches: list[Batch]) -> None:
    spec = TrainingSpec(steps=60, learning_rate=0.02)
    steps = list(fit(make_task(), cycle(batches), spec, seed=0))
    assert [step.number for step in steps] == list(range(1, 61))
    assert sum(s.loss for s in steps[-10:]) < 0.9 * sum(s.loss for s in steps[:10])
    real = [int(batch.layout.lengths.sum()) for batch in islice(cycle(batches), 60)]
    assert [step.tokens for step in steps] == torch.tensor(real).cumsum(0).tolist()
    assert all(earlier.seconds < later.seconds for earlier, later in pairwise(steps))


def test_the_first_step_is_the_mean_gradient(make_task: MakeTask, batches: list[Batch]) -> None:
    task, twin = make_task(dtype=torch.float64), make_task(dtype=torch.float64)
    asked = twin.ask(batches[0], torch.Generator().manual_seed(7))
    for one in (task, twin):
        one.objectives[0] = Fixed(one.objective)  # type: ignore[arg-type]
    loss = task(asked)
    mean = loss.total / loss.count
    gradients = torch.autograd.grad(mean, list(task.parameters()))
    before = weights(task)
    spec = TrainingSpec(steps=1, optimizer=SGD, learning_rate=0.1, schedule="constant", warmup=0, clip=None)
    (step,) = fit(task, iter([asked]), spec, seed=0)
    assert step.loss == pytest.approx(mean.item(), abs=1e-14)
    assert step.gradient_norm == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in gradients)), rel=1e-12)
    for old, gradient, new in zip(before, gradients, weights(task), strict=True):
        torch.testing.assert_close(new, old - 0.1 * gradient, rtol=0, atol=1e-14)


def test_accumulated_parts_of_unequal_counts_are_the_whole_batch(make_task: MakeTask, batches: list[Batch]) -> None:
    whole, parted = make_task(dtype=torch.float64), make_task(dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    parts = [whole.ask(batch, generator) for batch in batches[:8]]
    assert len({int((part.labels["masked"] != -100).sum()) for part in parts}) > 2
    common = {"optimizer": SGD, "learning_rate": 0.3, "schedule": "constant", "warmup": 0, "clip": 0.5}
    for task in (whole, parted):
        task.objectives[0] = Fixed(task.objective)  # type: ignore[arg-type]
    (one,) = fit(whole, iter([merged(parts)]), TrainingSpec(steps=1, **common), seed=0)
    (eight,) = fit(parted, iter(parts), TrainingSpec(steps=1, accumulate=8, **common), seed=0)
    assert one.loss == pytest.approx(eight.loss, abs=1e-12)
    assert one.gradient_norm == pytest.approx(eight.gradient_norm, abs=1e-12)
    for left, right in zip(weights(whole), weights(parted), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_parts_under_batch_norm_are_told_once_not_to_be_the_large_batch(
    make_task: MakeTask, batches: list[Batch], caplog: pytest.LogCaptureFixture, accumulate: int
) -> None:
    task = make_task()
    task.model.norm = nn.BatchNorm1d(8)  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING):
        list(fit(task, iter(batches), TrainingSpec(steps=3, accumulate=accumulate), seed=0))
    told = [record.message for record in caplog.records]
    assert len(told) == (accumulate > 1)
    assert all("several that make one step are not the one large batch" in message for message in told)


def test_clipping_shortens_the_gradient_to_the_bound(make_task: MakeTask, batches: list[Batch]) -> None:
    task = make_task(dtype=torch.float64)
    spec = TrainingSpec(steps=1, optimizer=SGD, clip=0.01)
    (step,) = fit(task, iter(batches), spec, seed=0)
    left = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in task.parameters()))  # type: ignore[union-attr]
    assert step.gradient_norm > 0.01
    assert left == pytest.approx(0.01, rel=1e-12)


def disturbed(steps: Iterator[Step]) -> Iterator[Step]:
    for step in steps:
        torch.rand(step.number)
        yield step


def test_equal_calls_give_equal_bits_whatever_happens_between_steps(make_task: MakeTask, batches: list[Batch]) -> None:
    spec = TrainingSpec(steps=12, accumulate=2)
    first, second, other = (make_task(dropout=0.3) for _ in range(3))
    one = list(fit(first, cycle(batches), spec, seed=5))
    two = list(disturbed(fit(second, cycle(batches), spec, seed=5)))
    three = list(fit(other, cycle(batches), spec, seed=6))
    assert [(s.loss, s.gradient_norm) for s in one] == [(s.loss, s.gradient_norm) for s in two]
    assert all(torch.equal(left, right) for left, right in zip(weights(first), weights(second), strict=True))
    assert one[0].loss != three[0].loss


def test_dropout_depends_on_the_seed(make_task: MakeTask, batches: list[Batch]) -> None:
    task = make_task(dropout=0.3)
    asked = task.ask(batches[0], torch.Generator().manual_seed(0))
    task.objectives[0] = Fixed(task.objective)  # type: ignore[arg-type]
    spec = TrainingSpec(steps=1, learning_rate=1e-12)
    losses = {next(fit(task, iter([asked]), spec, seed=seed)).loss for seed in range(4)}
    assert len(losses) == 4


def test_the_callers_random_state_is_left_alone(make_task: MakeTask, batches: list[Batch]) -> None:
    task = make_task(dropout=0.1)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    for _ in fit(task, iter(batches), TrainingSpec(steps=3), seed=0):
        pass
    assert torch.equal(torch.rand(4), expected)


def test_it_trains_in_training_mode_though_the_caller_evaluates(make_task: MakeTask, batches: list[Batch]) -> None:
    task = make_task(dropout=0.3)
    modes = []
    task.model.dropout.register_forward_hook(lambda module, *_: modes.append(module.training))  # type: ignore[union-attr, operator]
    for _ in fit(task, iter(batches), TrainingSpec(steps=3), seed=0):
        task.eval()
    assert modes == [True] * 3


@pytest.mark.parametrize("budget", [{"tokens": 400}, {"seconds": 0.05}, {"steps": 7}])
def test_it_stops_when_the_budget_is_spent(make_task: MakeTask, batches: list[Batch], budget: dict[str, float]) -> None:
    steps = list(fit(make_task(), cycle(batches), TrainingSpec(**budget), seed=0))  # type: ignore[arg-type]
    ((unit, amount),) = budget.items()
    spent = [{"steps": s.number, "tokens": s.tokens, "seconds": s.seconds}[unit] for s in steps]
    assert spent[-1] >= amount
    assert all(value < amount for value in spent[:-1])


def test_it_ends_with_its_batches(make_task: MakeTask, batches: list[Batch]) -> None:
    assert len(list(fit(make_task(), iter(batches[:5]), TrainingSpec(steps=99, accumulate=2), seed=0))) == 3


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_fault_stops_before_the_weights(make_task: MakeTask, batches: list[Batch], where: str, value: float) -> None:
    task = make_task()
    loop = fit(task, cycle(batches), TrainingSpec(steps=9), seed=0)
    last = [next(loop), next(loop)][-1]
    before = weights(task)
    if where == "loss":
        task.model.norm.register_forward_hook(lambda *arguments: arguments[-1] * value)  # type: ignore[union-attr, operator]
    else:
        task.model.dense.weight.register_hook(lambda gradient: gradient * value)  # type: ignore[union-attr, operator]
    with pytest.raises(Diverged) as fault:
        next(loop)
    assert str(fault.value).startswith(f"step 3: the {where} is not finite (last finite loss: {last.loss:.4g} nats")
    assert all(torch.equal(old, new) for old, new in zip(before, weights(task), strict=True))


def test_a_fault_travels_home_from_a_worker() -> None:
    fault = pickle.loads(pickle.dumps(Diverged(4, "loss", 2.5)))
    assert (fault.step, fault.last_loss, str(fault)) == (4, 2.5, str(Diverged(4, "loss", 2.5)))


def test_a_batch_that_asks_nothing_is_passed_over_and_told_once(
    make_task: MakeTask, batches: list[Batch], silent: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = iter([silent, batches[0], silent, silent, batches[1]])
    with caplog.at_level(logging.WARNING):
        steps = list(fit(make_task(), stream, TrainingSpec(steps=9), seed=0))
    assert [step.number for step in steps] == [1, 2]
    assert all(math.isfinite(step.loss) for step in steps)
    assert len(caplog.records) == 1


def test_a_silent_part_adds_nothing(make_task: MakeTask, batches: list[Batch], silent: Batch) -> None:
    spec = TrainingSpec(steps=1, accumulate=2)
    alone, beside = make_task(), make_task()
    (one,) = fit(alone, iter([batches[0]]), spec, seed=0)
    (two,) = fit(beside, iter([batches[0], silent]), spec, seed=0)
    assert (one.loss, one.gradient_norm) == (two.loss, two.gradient_norm)


def test_asking_nothing_for_ever_is_refused(make_task: MakeTask, silent: Batch) -> None:
    with pytest.raises(InputError, match="nothing is asked in 1000 batches in a row"):
        next(fit(make_task(), repeat(silent), TrainingSpec(steps=9), seed=0))


def test_bfloat16_stays_near_float32(make_task: MakeTask, batches: list[Batch]) -> None:
    full, half = make_task(), make_task()
    (one,) = fit(full, iter(batches), TrainingSpec(steps=1), seed=0)
    (two,) = fit(half, iter(batches), TrainingSpec(steps=1, precision="bf16"), seed=0)
    assert one.loss != two.loss
    assert one.loss == pytest.approx(two.loss, rel=2e-2)
    assert all(parameter.dtype == torch.float32 for parameter in half.parameters())
