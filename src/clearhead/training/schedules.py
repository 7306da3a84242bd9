"""The learning rate as a share of its peak: functions of the share of the budget that is spent, in [0, 1].

Each is given what `progress` there is after the warm-up, which is a straight line up for all of them. `linear` with a
warm-up of 0.5 is one triangle, the "1cycle" of Smith & Topin 2017, arXiv:1708.07120.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from clearhead.spec import SpecModel
from clearhead.training.fields import check_owned

ONLY_FOR = {"power": ("polynomial",), "factor": ("exponential", "step"), "drops": ("step",)}


class ScheduleSpec(SpecModel):
    """The shape of the learning rate after its warm-up; a name alone will do.

    `polynomial` falls to 0 as (1 - progress)^`power`; `exponential` falls to `factor`, by equal ratios; `step` is
    multiplied by `factor` at each of `drops` moments that cut the budget into equal parts.
    """

    name: Literal["constant", "linear", "cosine", "inverse_sqrt", "polynomial", "exponential", "step"] = "linear"
    power: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    factor: float = Field(default=0.1, gt=0, lt=1)
    drops: int = Field(default=2, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _fields_of_this_one(self) -> ScheduleSpec:
        check_owned(self, self.name, ONLY_FOR)
        return self


def constant(progress: float, spec: ScheduleSpec, warmup: float) -> float:
    """1 throughout."""
    return 1.0


def linear(progress: float, spec: ScheduleSpec, warmup: float) -> float:
    """From 1 to 0 in a straight line (Devlin et al. 2018, arXiv:1810.04805, A.2)."""
    return 1.0 - progress


def cosine(progress: float, spec: ScheduleSpec, warmup: float) -> float:
    """From 1 to 0 along half a cosine (Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5, one period)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def inverse_sqrt(progress: float, spec: ScheduleSpec, warmup: float) -> float:
    """sqrt(warmup steps / steps), which never ends (Vaswani et al. 2017, arXiv:1706.03762, eq. 3)."""
    return math.sqrt(warmup / (warmup + progress * (1.0 - warmup)))


def polynomial(progress: float, spec: ScheduleSpec, warmup: float) -> float:
    """(1 - progress)^power, from 1 to 0."""
    return float((1.0 - progress) ** spec.power)


def exponential(progress: float, spec: ScheduleSpec, warmup: float) -> float:
    """factor^progress, from 1 to `factor`."""
    return float(spec.factor**progress)


def step(progress: float, spec: ScheduleSpec, warmup: float) -> float:
    """factor^(drops so far), in `drops` + 1 flat parts of equal length."""
    return float(spec.factor ** min(math.floor(progress * (spec.drops + 1)), spec.drops))


SCHEDULES: dict[str, Callable[[float, ScheduleSpec, float], float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "inverse_sqrt": inverse_sqrt,
    "polynomial": polynomial,
    "exponential": exponential,
    "step": step,
}


def learning_rate_share(schedule: ScheduleSpec, warmup: float, progress: float) -> float:
    """The share of the peak at `progress`: a straight line up over the first `warmup`, then `schedule`."""
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return progress / warmup
    return SCHEDULES[schedule.name]((progress - warmup) / (1.0 - warmup), schedule, warmup)
