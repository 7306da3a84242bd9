"""Gold classes and said classes -> accuracy, precision, recall and F1 of every class, macro F1, confusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clearhead.evaluation.counts import Counts, counts_by_name


@dataclass(frozen=True)
class ClassScores:
    """How often a class was said where another, or it, is gold: `confusions` by (gold, said); and what follows."""

    confusions: Mapping[tuple[str, str], int]

    @property
    def count(self) -> int:
        return sum(self.confusions.values())

    @property
    def accuracy(self) -> float:
        """The share of right answers, 0 where there are none at all."""
        right = sum(times for (gold, said), times in self.confusions.items() if gold == said)
        return right / self.count if self.count else 0.0

    @property
    def classes(self) -> Mapping[str, Counts]:
        """The counts of every class that is gold or was said, by name."""
        right: Counter[str] = Counter()
        claimed: Counter[str] = Counter()
        true: Counter[str] = Counter()
        for (gold, said), times in self.confusions.items():
            true[gold] += times
            claimed[said] += times
            right[gold] += times * (gold == said)
        return counts_by_name(right, claimed, true)

    @property
    def macro_f1(self) -> float:
        """The mean F1 over the classes that are gold or were said, each counting alike; 0 where there are none."""
        each = [counts.f1 for counts in self.classes.values()]
        return sum(each) / len(each) if each else 0.0


def class_scores(gold: Sequence[str], said: Sequence[str]) -> ClassScores:
    """The scores of said classes against gold ones. Raises `ValueError` where their numbers differ."""
    return ClassScores(dict(Counter(zip(gold, said, strict=True))))
