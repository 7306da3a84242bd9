"""`fit`: the training loop as a generator of steps."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.training.optimizers import build_optimizer
from clearhead.training.schedules import learning_rate_share
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

EMPTY_IN_A_ROW = 1000
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
    """One update. `loss`: nats per asked token; `tokens` (real) and `seconds` (of training alone): from the start on;
    `gradient_norm`: of the mean loss's gradient, before clipping."""

    number: int
    loss: float
    tokens: int
    seconds: float
    gradient_norm: float


def fit(task: Task, batches: Iterator[Batch], spec: TrainingSpec, *, seed: int) -> Iterator[Step]:
    """A step after each update of the task's weights, until the budget is spent or `batches` ends.

    What is masked and dropped out depends on `seed` and the number of the draw alone, so equal calls give equal
    numbers, bit by bit, whatever the caller does between steps. Batches in which nothing is asked are passed over.
    The (clipped) gradients of a step stay in the parameters until the next one, for whoever wants to look at them.
    Raises `Diverged` before a non-finite loss or gradient reaches the weights, `InputError` where nothing is asked.
    """
    optimizer = build_optimizer(task, spec.optimizer, spec.learning_rate)
    draws = _draws(task, batches, spec.accumulate, seed)
    tokens, seconds, last_loss = 0, 0.0, math.nan
    for number in itertools.count(1):
        started = time.perf_counter()
        draw = next(draws, None)
        if draw is None:
            return
        drawn = sum(sum(part.layout.sizes) for part in draw.parts)
        # The rate of the middle of the step: at its start the first step would be wasted, at its end the last.
        progress = spec.spent(number - 0.5, tokens + drawn / 2, seconds)
        for group in optimizer.param_groups:
            group["lr"] = spec.learning_rate * learning_rate_share(spec.schedule, spec.warmup, progress)
        optimizer.zero_grad(set_to_none=True)
        loss = _backward(task, draw, spec.precision, Diverged(number, "loss", last_loss))
        norm = _clip(task, spec.clip, Diverged(number, "gradient", last_loss))
        optimizer.step()
        tokens, last_loss = tokens + drawn, loss
        seconds += time.perf_counter() - started
        yield Step(number, loss, tokens, seconds, norm)
        if spec.spent(number, tokens, seconds) >= 1:
            return


@dataclass(frozen=True)
class _Draw:
    """The asked batches of one step, how many labels each objective asks, and the seed of their dropout."""

    parts: Sequence[Batch]
    counts: Sequence[int]
    seed: int


def _draws(task: Task, batches: Iterator[Batch], accumulate: int, seed: int) -> Iterator[_Draw]:
    empty, told = 0, False
    for number in itertools.count():
        unasked = list(itertools.islice(batches, accumulate))
        if not unasked:
            return
        mask_seed, dropout_seed = np.random.SeedSequence((seed, number)).generate_state(2, np.uint64).tolist()
        generator = torch.Generator().manual_seed(mask_seed)
        parts = [task.ask(batch, generator, number) for batch in unasked]
        counts = [sum(column) for column in zip(*map(task.counts, parts), strict=True)]
        if any(counts):
            empty = 0
            yield _Draw(parts, counts, dropout_seed)
            continue
        empty += 1
        if not told:
            log.warning("a batch in which nothing is asked is passed over; lines this short carry no signal")
            told = True
        if empty == EMPTY_IN_A_ROW:
            raise InputError(f"nothing is asked in {empty} batches in a row; the lines are too short to learn from")


def _backward(task: Task, draw: _Draw, precision: str, fault: Diverged) -> float:
    """The mean loss of the step, with its gradient left in the parameters: sums of all parts over their one count."""
    device = next(task.parameters()).device
    total = 0.0
    task.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _seed_dropout(device, draw.seed)
        for part in draw.parts:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                losses = zip(task.losses(part), draw.counts, strict=True)
                shares = [loss.total / count for loss, count in losses if loss is not None]
            if not shares:
                continue
            mean_share: Tensor = torch.stack(shares).sum()
            total += mean_share.item()
            if not math.isfinite(total):
                raise fault
            torch.autograd.backward(mean_share)
    return total


def _seed_dropout(device: torch.device, seed: int) -> None:
    # torch.manual_seed would also queue a call for every other kind of device, with a stack trace each: 1 ms a step.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _clip(module: nn.Module, clip: float | None, fault: Diverged) -> float:
    """The norm of the gradient, which is then at most `clip` (Pascanu et al. 2012, arXiv:1211.5063, algorithm 1)."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    if not math.isfinite(norm):
        raise fault
    if clip is not None and norm > clip:
        for gradient in gradients:
            gradient.mul_(clip / norm)
    return norm
