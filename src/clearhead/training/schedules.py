"""The learning rate as a share of its peak: functions of the share of the budget that is spent, in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def linear(progress: float) -> float:
    """From 1 to 0 in a straight line (Devlin et al. 2018, arXiv:1810.04805, A.2)."""
    return 1.0 - progress


def cosine(progress: float) -> float:
    """From 1 to 0 along half a cosine (Loshchilov & Hutter 2016, arXiv:1608.03983, eq. 5, one period)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "linear": linear, "cosine": cosine}


def learning_rate_share(schedule: str, warmup: float, progress: float) -> float:
    """The share of the peak at `progress`: a straight line up over the first `warmup`, then `schedule`."""
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return progress / warmup
    return SCHEDULES[schedule]((progress - warmup) / (1.0 - warmup))
