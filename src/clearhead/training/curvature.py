"""What L-BFGS remembers of the curvature: the last steps and what they did to the gradient."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST_CURVATURE = 1e-10  # of a step that is remembered, relative to the squared change of the gradient


class Curvature:
    """The last `history` pairs s = change of the weights, y = change of the gradient, each (P,).

    The two loops of Nocedal & Wright 2006, algorithm 7.4, only ever form sums of s, y and the gradient. So they are
    run on the coefficients, with the inner products of all of these (Chen et al. 2014, "Large-scale L-BFGS using
    MapReduce", algorithm 3): two passes over the memory in place of four.
    """

    def __init__(self, history: int, like: Tensor) -> None:
        self.history = history
        self.rows = like.new_empty((2 * history, len(like)))  # s in the first half, y in the second
        self.products = np.zeros((2 * history, 2 * history))
        self.order: list[int] = []  # the slots that are used, oldest first

    def forget(self) -> None:
        """Back to knowing nothing."""
        self.order = []

    def remember(self, step: Tensor, change: Tensor) -> None:
        """Keeps a pair, in place of the oldest, unless it says that the function bends down."""
        if not float(step @ change) > LEAST_CURVATURE * float(change @ change):
            return
        slot = self.order.pop(0) if len(self.order) == self.history else len(self.order)
        self.order.append(slot)
        for row, vector in ((slot, step), (self.history + slot, change)):
            self.rows[row] = vector
        y = slice(self.history, None)
        self.products[slot, y] = self.products[y, slot] = self._dots(step, steps=False)[y]  # no s meets an s
        self.products[self.history + slot] = self.products[:, self.history + slot] = self._dots(change)

    def direction(self, steepest: Tensor) -> Tensor:
        """H times minus the gradient, `steepest` (P,): where to go, as far as is known."""
        if not self.order:
            return steepest.clone()
        return self._combined(*self._coefficients(self._dots(steepest)), steepest)

    def _dots(self, vector: Tensor, *, steps: bool = True) -> NDArray[np.float64]:
        """The inner products with every y, and with every s if `steps` (2 * history,); 0 for rows not in use."""
        used = len(self.order)
        dots = np.zeros(2 * self.history)
        for half in (0, self.history) if steps else (self.history,):
            dots[half : half + used] = (self.rows[half : half + used] @ vector).double().cpu().numpy()
        return dots

    def _coefficients(self, dots: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Of the rows (2 * history,), and of the steepest direction, in the direction to go."""
        m, products = self.history, self.products
        rows, own = np.zeros(2 * m), 1.0
        shares = {}
        for slot in reversed(self.order):
            shares[slot] = (rows @ products[:, slot] + own * dots[slot]) / products[slot, m + slot]
            rows[m + slot] -= shares[slot]
        last = self.order[-1]
        scale = products[last, m + last] / products[m + last, m + last]
        rows, own = rows * scale, own * scale
        for slot in self.order:
            back = (rows @ products[:, m + slot] + own * dots[m + slot]) / products[slot, m + slot]
            rows[slot] += shares[slot] - back
        return rows, own

    def _combined(self, rows: NDArray[np.float64], own: float, steepest: Tensor) -> Tensor:
        used = len(self.order)
        coefficients = torch.as_tensor(rows, dtype=steepest.dtype, device=steepest.device)
        direction = steepest * own
        for half in (0, self.history):
            direction.addmv_(self.rows[half : half + used].mT, coefficients[half : half + used])
        return direction
