"""`fit`: the training loop as a generator of steps."""

from __future__ import annotations

import functools
import itertools
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.layers.normalization import BatchNormPerPosition
from clearhead.text.inventory import Inventory
from clearhead.training.draws import draws
from clearhead.training.gradients import Evaluation
from clearhead.training.optimizers import build_optimizer, update
from clearhead.training.schedules import learning_rate_share
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

log = logging.getLogger(__name__)


class Diverged(ArithmeticError):  # noqa: N818 (the field's word for it)
    """The `what` ("loss", "gradient") of `step` is not finite; the weights are still those of the step before."""

    def __init__(self, step: int, what: str, last_loss: float) -> None:
        super().__init__(step, what, last_loss)  # all of them, so that a worker process can send it home
        self.step = step
        self.last_loss = last_loss

    def __str__(self) -> str:
        step, what, last_loss = self.args
        return (
            f"step {step}: the {what} is not finite (last finite loss: {last_loss:.4g} nats a token); "
            "take a smaller learning rate, a longer warm-up or a tighter clip"
        )


@dataclass(frozen=True)
class Step:
    """One update. `loss`: nats per asked token, before the update (`lbfgs`: after it), without penalties; `tokens`
    (real ones, as often as they were read) and `seconds` (of training alone): from the start on; `gradient_norm`: of
    the mean loss and its penalties, before clipping."""

    number: int
    loss: float
    tokens: int
    seconds: float
    gradient_norm: float


def fit(
    task: Task, batches: Iterator[Batch], spec: TrainingSpec, *, seed: int, inventory: Inventory | None = None
) -> Iterator[Step]:
    """A step after each update of the task's weights, until the budget is spent or `batches` ends.

    What is masked and dropped out depends on `seed` and the number of the draw alone, so equal calls give equal
    numbers, bit by bit, whatever the caller does between steps. Batches in which nothing is asked are passed over.
    The (clipped) gradients of a step stay in the parameters until the next one, for whoever wants to look at them.

    An optimizer that takes the full batch reads `batches`, each sequence once, to their end before its first step;
    `lbfgs` ends training when it has converged. `inventory` says which ids are words: `token_noise` needs it.
    Raises `Diverged` before a non-finite loss or gradient reaches the weights, `InputError` where nothing is asked or
    a switch of `spec` cannot act on this task.
    """
    optimizer = build_optimizer(task, spec)
    _check(task, spec)
    upcoming = draws(task, batches, spec, seed, inventory)
    tokens, seconds, last_loss = 0, 0.0, math.nan
    for number in itertools.count(1):
        started = time.perf_counter()
        draw = next(upcoming, None)
        if draw is None:
            return
        drawn = draw.tokens
        # The rate of the middle of the step: at its start the first step would be wasted, at its end the last.
        progress = spec.spent(number - 0.5, tokens + drawn / 2, seconds)
        for group in optimizer.param_groups:
            group["lr"] = spec.learning_rate * learning_rate_share(spec.schedule, spec.warmup, progress)
        evaluation = Evaluation(task, draw, spec, functools.partial(_fault, number, last_loss))
        goes_on = update(optimizer, evaluation)
        tokens, last_loss = tokens + drawn * evaluation.calls, evaluation.loss
        seconds += time.perf_counter() - started
        yield Step(number, last_loss, tokens, seconds, evaluation.gradient_norm)
        if not goes_on or spec.spent(number, tokens, seconds) >= 1:
            return


def _fault(step: int, last_loss: float, what: str) -> Diverged:
    return Diverged(step, what, last_loss)


def _check(task: Task, spec: TrainingSpec) -> None:
    """What only shows when the spec meets the task."""
    if spec.optimizer.full_batch and task.turns == "alternating":
        raise InputError(
            f"training.optimizer: {spec.optimizer.name} takes all data for every step, and turns: alternating has each "
            "batch ask for one objective; set turns to joint"
        )
    if spec.optimizer.name == "em" and len(task.objectives) > 1:
        raise InputError("training.optimizer: em maximises one likelihood, and here are several objectives; take one")
    batch_norm = any(isinstance(module, nn.BatchNorm1d | BatchNormPerPosition) for module in task.modules())
    if batch_norm and (spec.accumulate > 1 or spec.optimizer.full_batch):
        log.warning(
            "batch norm takes its statistics from each batch alone: several that make one step are not the one large "
            "batch; for that, make the batches themselves larger"
        )
