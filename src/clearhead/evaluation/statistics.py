"""Intervals and p-values for a handful of paired seeds, or for many items.

Seeds: Student's t, since a percentile bootstrap over 3 to 5 seeds covers 73 to 84 % where it says 95 %.
Items (held-out blocks): a bootstrap over the items. Looks: the error rate is spent over looks fixed beforehand, a
Bonferroni share each, which holds whatever the data looked like before (Pocock 1977 spends it a little better under
normality; this spends it safely). Several claims: Holm 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 4000
FEWEST_ITEMS = 20


@dataclass(frozen=True)
class Sample:
    """Independent numbers, one a seed (`items=False`) or one an item (`items=True`), whose mean is asked for."""

    values: tuple[float, ...]
    items: bool = False

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def sd(self) -> float:
        return float(np.std(self.values, ddof=1)) if self.n > 1 else math.nan


def finite(number: float | None) -> float | None:
    """The number where it is one; None for what JSON has no number for."""
    return number if number is not None and math.isfinite(number) else None


def interval(sample: Sample, alpha: float) -> tuple[float, float]:
    """The equal-tailed 1 - alpha interval of the mean; (-inf, inf) for fewer than two numbers."""
    if sample.n < 2:
        return -math.inf, math.inf
    if sample.items and sample.n >= FEWEST_ITEMS:
        low, high = np.quantile(_resampled_means(sample), [alpha / 2, 1 - alpha / 2])
        return float(low), float(high)
    half = float(stats.t.ppf(1 - alpha / 2, sample.n - 1)) * sample.sd / math.sqrt(sample.n)
    return sample.mean - half, sample.mean + half


def tail(sample: Sample, bound: float) -> float:
    """The smallest alpha at which the 1 - alpha interval of the mean leaves `bound` out: a two-sided p-value."""
    if sample.n < 2 or sample.mean == bound:
        return 1.0
    if sample.items and sample.n >= FEWEST_ITEMS:
        means = _resampled_means(sample)
        beyond = np.mean(means <= bound) if sample.mean > bound else np.mean(means >= bound)
        return min(1.0, 2 * max(float(beyond), 1 / RESAMPLES))
    if sample.sd == 0:
        return 0.0
    t = abs(sample.mean - bound) / (sample.sd / math.sqrt(sample.n))
    return min(1.0, 2 * float(stats.t.sf(t, sample.n - 1)))


def _resampled_means(sample: Sample) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    values = np.asarray(sample.values)
    counts = rng.multinomial(sample.n, np.full(sample.n, 1 / sample.n), size=RESAMPLES)
    means: NDArray[np.float64] = counts @ values / sample.n
    return means


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Holm 1979): reject where at most alpha; controls the family-wise error."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    worst = 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted


def holm_shares(p_values: Sequence[float], alpha: float) -> list[float]:
    """The part of `alpha` that Holm's procedure gives each test, so that intervals can be shown at that level.

    A rejected test keeps the share at which it was rejected; all others get the share at which the procedure stopped.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    shares = [alpha] * len(p_values)
    stopped: float | None = None
    for rank, i in enumerate(order):
        share = alpha / (len(p_values) - rank)
        if stopped is None and p_values[i] > share:
            stopped = share
        shares[i] = share if stopped is None else stopped
    return shares


def spent(looks: int) -> list[float]:
    """The share of the error rate at each of `looks` looks, later looks larger; they sum to one."""
    weights = [2.0**k for k in range(looks)]
    return [weight / sum(weights) for weight in weights]


def seeds_to_decide(sd: float, distance: float, alpha: float, most: int = 1000) -> int | None:
    """The number of seeds whose interval would be shorter than `distance` on either side; None beyond `most`."""
    if not (math.isfinite(sd) and distance > 0):
        return None
    n = np.arange(2, most + 1)
    decides = stats.t.ppf(1 - alpha / 2, n - 1) * sd / np.sqrt(n) <= distance
    return int(n[decides.argmax()]) if decides.any() else None


def smallest_detectable(sd: float, n: int, alpha: float, power: float = 0.8) -> float:
    """The smallest true mean that `n` seeds of spread `sd` would tell from zero with probability `power`."""
    if n < 2:
        return math.inf
    quantiles = stats.t.ppf(1 - alpha / 2, n - 1) + stats.t.ppf(power, n - 1)
    return float(quantiles) * sd / math.sqrt(n)
