"""`Counts`: how many answers are right, were said and are gold -> precision, recall, F1, never a division by zero."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """How many are `right`, how many were `said`, how many are `gold`. A share of nothing is 0."""

    right: int
    said: int
    gold: int

    @property
    def precision(self) -> float:
        return self.right / self.said if self.said else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """2 right / (said + gold), the harmonic mean of the two; 0 where there are neither."""
        return 2 * self.right / (self.said + self.gold) if self.said + self.gold else 0.0


def counts_by_name(right: Counter[str], said: Counter[str], gold: Counter[str]) -> dict[str, Counts]:
    """The counts of every name that is gold or was said, in the order of names."""
    return {name: Counts(right[name], said[name], gold[name]) for name in sorted({*said, *gold})}
