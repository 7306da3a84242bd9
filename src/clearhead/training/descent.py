"""`descend`: a loss that draws its own data, and an optimizer of torch's: the plain loop of small experiments."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from clearhead.training.schedules import ScheduleSpec, learning_rate_share


def descend(
    optimizer: torch.optim.Optimizer,
    loss: Callable[[], Tensor],
    steps: int,
    *,
    schedule: str = "constant",
    warmup: float = 0.0,
    clip: float | None = None,
) -> list[float]:
    """The loss () before each of `steps` updates; each call of `loss` draws the next batch.

    The learning rates that the optimizer was made with are the peaks of the `schedule` (`ScheduleSpec.name`), reached
    after the share `warmup` of the steps; `clip` bounds the norm of the whole gradient. A loss that is not finite ends
    the descent: it is the last of the list, and the weights are those before it.
    """
    shape = ScheduleSpec.model_validate(schedule)
    peaks = [float(group["lr"]) for group in optimizer.param_groups]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    losses: list[float] = []
    for step in range(steps):
        share = learning_rate_share(shape, warmup, (step + 0.5) / steps)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * share
        now = loss()
        losses.append(now.item())
        if not math.isfinite(losses[-1]):
            break
        optimizer.zero_grad()
        now.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
    return losses
