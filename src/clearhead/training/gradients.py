"""The mean loss of a step's batches and its gradient: the one place where a total is divided by a count."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.objectives.loss import Loss
from clearhead.training.draws import Draw
from clearhead.training.mixup import mixed_losses
from clearhead.training.penalties import add_gradients, l2_value, matrices
from clearhead.training.r_drop import agreeing
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

Losses = Callable[[Batch], list[Loss | None]]


@dataclass
class Evaluation:
    """A function of the weights alone: called, it leaves the gradient of a draw's mean loss and penalties in the
    parameters and gives what is minimised. Equal weights give equal bits.

    `loss` (nats, without penalties) and `gradient_norm` (with them, before clipping) are those of the last call;
    `calls` counts them. Raises `fault("loss")` or `fault("gradient")` where that is not finite.
    """

    task: Task
    draw: Draw
    spec: TrainingSpec
    fault: Callable[[str], ArithmeticError]
    loss: float = math.nan
    gradient_norm: float = math.nan
    calls: int = field(default=0, init=False)

    def __call__(self) -> float:
        self.calls += 1
        self.task.zero_grad(set_to_none=True)
        self.loss = _mean_loss(self.task, self.draw, self.spec, self.fault)
        penalty = self._penalised() if self.spec.l1 or self.spec.l2 else 0.0
        self.gradient_norm = _clipped(
            self.task, self.spec.clip if self.spec.optimizer.has_learning_rate else None, self.fault
        )
        return self.loss + penalty

    def _penalised(self) -> float:
        """The value of what is differentiable here; `lbfgs` sees to l1 itself, which has corners."""
        line_search = self.spec.optimizer.name == "lbfgs"
        weights = matrices(self.task)
        add_gradients(weights, 0.0 if line_search else self.spec.l1, self.spec.l2)
        return l2_value(weights, self.spec.l2) if line_search else 0.0


def _mean_loss(task: Task, draw: Draw, spec: TrainingSpec, fault: Callable[[str], ArithmeticError]) -> float:
    """The mean loss of the step, with its gradient left in the parameters: sums of all parts over their one count."""
    device = next(task.parameters()).device
    rng = np.random.default_rng(draw.mixing_seed)
    total = 0.0
    task.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _seed_dropout(device, draw.dropout_seed)
        for part in draw.parts:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=spec.precision == "bf16"):
                losses = zip(_losses(task, part, spec, rng), draw.counts, strict=True)
                shares = [loss.total / count for loss, count in losses if loss is not None]
            if not shares:
                continue
            mean_share: Tensor = torch.stack(shares).sum()
            total += mean_share.item()
            if not math.isfinite(total):
                raise fault("loss")
            torch.autograd.backward(mean_share)
    return total


def _losses(task: Task, part: Batch, spec: TrainingSpec, rng: np.random.Generator) -> list[Loss | None]:
    """Of one part: a pass, or two that must agree, of the sequences as they are or blended."""
    run: Losses = task.losses
    if spec.mixup:
        share = float(rng.beta(spec.mixup, spec.mixup))
        partners = torch.from_numpy(rng.permutation(len(part.layout.sizes))).to(part.token_ids.device)
        run = functools.partial(mixed_losses, task, share=share, partners=partners)
    if spec.r_drop:
        return _two_passes(run, part, spec.r_drop)
    if spec.optimizer.name == "lbfgs":
        return _without_chance(run, part)
    return run(part)


def _two_passes(run: Losses, part: Batch, weight: float) -> list[Loss | None]:
    before = _random_state(part)
    first = run(part)
    if torch.equal(before, _random_state(part)):
        raise InputError(
            "training.r_drop asks two passes with different dropout to agree, and nothing is dropped here; give the "
            "model some dropout, or set it to 0"
        )
    return agreeing(first, run(part), weight)


def _without_chance(run: Losses, part: Batch) -> list[Loss | None]:
    before = _random_state(part)
    losses = run(part)
    if not torch.equal(before, _random_state(part)):
        raise InputError(
            "training.optimizer: lbfgs compares losses of the same function, and dropout makes it another one at each "
            "look; set the model's dropout to 0, or take another optimizer"
        )
    return losses


def _random_state(part: Batch) -> Tensor:
    """Of the generator that dropout draws from: it changes when something is drawn."""
    device = part.token_ids.device
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _seed_dropout(device: torch.device, seed: int) -> None:
    # torch.manual_seed would also queue a call for every other kind of device, with a stack trace each: 1 ms a step.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _clipped(module: nn.Module, clip: float | None, fault: Callable[[str], ArithmeticError]) -> float:
    """The norm of the gradient, which is then at most `clip` (Pascanu et al. 2012, arXiv:1211.5063, algorithm 1)."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    if not math.isfinite(norm):
        raise fault("gradient")
    if clip is not None and norm > clip:
        for gradient in gradients:
            gradient.mul_(clip / norm)
    return norm
