"""L-BFGS, and OWL-QN where there is an L1 penalty: full-batch steps along an estimate of Newton's direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.training.curvature import Curvature

ENOUGH_DECREASE = 1e-4  # c1 and c2 of Nocedal & Wright 2006, eq. 3.6
ENOUGH_FLATTENING = 0.9
MOST_TRIALS = 20
STANDSTILL = 5  # steps in a row without a decrease that the numbers' precision can tell from none

Evaluate = Callable[[], float]


@dataclass(frozen=True)
class Point:
    """Weights x (P,), what is minimised there, and the gradient (P,) of all of it but the L1 penalty."""

    x: Tensor
    value: float
    gradient: Tensor


class LBFGS(torch.optim.Optimizer):
    """x += t H d, d the steepest descent and H from the last `history` steps (Nocedal & Wright 2006, algorithm 7.5),
    with t by a line search for the weak Wolfe conditions: mostly 1, at the price of one evaluation.

    A group's `l1` > 0 adds l1 |x|, by OWL-QN (Andrew & Gao 2007, "Scalable training of L1-regularized log-linear
    models"): steps stay in the orthant that the pseudo-gradient points into, so weights become exactly 0.
    `converged` turns true when the (pseudo-)gradient's norm is at most `tolerance`, or when no step gets any lower.
    """

    def __init__(self, params: Any, history: int, tolerance: float) -> None:
        super().__init__(params, {"lr": 1.0, "l1": 0.0})
        self.converged = False
        self.tolerance = tolerance
        self.history = history
        self._weights: list[nn.Parameter] = [weight for group in self.param_groups for weight in group["params"]]
        self._l1 = self._strengths()
        self._at: Point | None = None
        self._curvature: Curvature | None = None
        self._standing = 0

    @torch.no_grad()
    def step(self, closure: Evaluate) -> float:  # type: ignore[override]
        """One iteration; gives what is minimised after it. `closure` leaves the gradient of all but the L1 penalty in
        the parameters. Raises what `closure` raises at the starting weights; a trial that fails was too long."""
        if self._at is None or self._curvature is None:
            self._at = self._evaluated(closure, torch.cat([weight.reshape(-1) for weight in self._weights]))
            self._curvature = Curvature(self.history, self._at.x)
        start, curvature = self._at, self._curvature
        steepest = self._steepest(start)
        direction = curvature.direction(steepest)
        if self._l1 is not None:
            direction.mul_(direction * steepest > 0)
        if not float(direction @ steepest) > 0:
            curvature.forget()
            direction = steepest
        search = self._within_wolfe if self._l1 is None else self._within_orthant
        length = 1.0 if curvature.order else 1.0 / max(float(steepest.norm()), self.tolerance, 1e-30)
        found = search(closure, start, direction, steepest, length)
        if found is None:  # the weights and their gradient as they were
            self._at = self._evaluated(closure, start.x)
            self.converged = True
            return start.value
        curvature.remember(found.x - start.x, found.gradient - start.gradient)
        self._standing = self._standing + 1 if start.value - found.value <= self._noise(start) else 0
        self.converged = self._standing == STANDSTILL or float(self._steepest(found).norm()) <= self.tolerance
        self._at = found
        return found.value

    def _within_wolfe(
        self, closure: Evaluate, start: Point, direction: Tensor, steepest: Tensor, length: float
    ) -> Point | None:
        """A point lower and flatter than `start` (Nocedal & Wright 2006, eq. 3.6): doubled, then bisected."""
        slope = -float(direction @ steepest)
        low, high, best = 0.0, math.inf, None
        for _ in range(MOST_TRIALS):
            tried = self._tried(closure, torch.add(start.x, direction, alpha=length))
            if not tried.value <= start.value + ENOUGH_DECREASE * length * slope + self._noise(start):
                high = length
                bend = tried.value - start.value - length * slope  # of the parabola through what is known
                guess = -slope * length**2 / (2 * bend) if low == 0 and math.isfinite(bend) else (low + high) / 2
                length = min(max(guess, low + 0.1 * (high - low)), low + 0.5 * (high - low))
                continue
            if float(tried.gradient @ direction) >= ENOUGH_FLATTENING * slope:
                return tried
            low, best = length, tried
            length = 2 * length if high == math.inf else (low + high) / 2
        return None if best is None else self._evaluated(closure, best.x)

    def _within_orthant(
        self, closure: Evaluate, start: Point, direction: Tensor, steepest: Tensor, length: float
    ) -> Point | None:
        """A lower point in the orthant of x, or of the steepest descent where x is 0 (Andrew & Gao 2007, 3.2)."""
        orthant = torch.where(start.x == 0, steepest.sign(), start.x.sign())
        for _ in range(MOST_TRIALS):
            x = torch.add(start.x, direction, alpha=length)
            x.mul_(x * orthant > 0)
            tried = self._tried(closure, x)
            decrease = ENOUGH_DECREASE * float(steepest @ (x - start.x))
            if tried.value <= start.value - decrease + self._noise(start):
                return tried
            length /= 2
        return None

    def _tried(self, closure: Evaluate, x: Tensor) -> Point:
        try:
            return self._evaluated(closure, x)
        except ArithmeticError:
            return Point(x, math.inf, x)

    def _evaluated(self, closure: Evaluate, x: Tensor) -> Point:
        sizes = [weight.numel() for weight in self._weights]
        for weight, values in zip(self._weights, torch.split(x, sizes), strict=True):
            weight.copy_(values.view_as(weight))
        with torch.enable_grad():
            value = closure()
        gradient = torch.cat([_gradient(weight) for weight in self._weights])
        if self._l1 is not None:
            value += float(self._l1 @ x.abs())
        return Point(x, value, gradient)

    def _steepest(self, point: Point) -> Tensor:
        """Minus the gradient, or minus the pseudo-gradient (Andrew & Gao 2007, eq. 4): 0 where a step off x = 0 would
        cost more than it gains."""
        if self._l1 is None:
            return -point.gradient
        x, g = point.x, point.gradient
        off_zero = g.sign() * F.relu(g.abs() - self._l1)
        return -torch.where(x == 0, off_zero, g + self._l1 * x.sign())

    def _strengths(self) -> Tensor | None:
        """The L1 penalty of each number (P,); None where there is none."""
        if not any(group["l1"] for group in self.param_groups):
            return None
        groups = [(group["l1"], weight) for group in self.param_groups for weight in group["params"]]
        return torch.cat([torch.full_like(weight, l1).reshape(-1) for l1, weight in groups]).detach()

    def _noise(self, point: Point) -> float:
        """What a decrease cannot be told from: the precision of the losses."""
        return 4 * torch.finfo(point.x.dtype).eps * abs(point.value)


def _gradient(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight).reshape(-1) if weight.grad is None else weight.grad.reshape(-1)
