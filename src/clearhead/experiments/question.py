"""`Question`: a declaration of experiments, claims with regions, figures, and words that the verdicts choose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from clearhead.bilingual import Bilingual
from clearhead.experiments.claims import Claim
from clearhead.experiments.experiment import Experiment
from clearhead.experiments.verdict import Verdict
from clearhead.experiments.views import View


@dataclass(frozen=True)
class Source:
    """A paper or page that a claim or a mechanism comes from."""

    authors: str
    year: int
    title: str
    where: str = ""


@dataclass(frozen=True)
class Question:
    """One of the 25 questions, whole: what is measured, what is claimed of it, what is shown and what is said."""

    title: Bilingual
    experiments: Sequence[Experiment]
    claims: Sequence[Claim]
    figures: Sequence[View]
    mechanism: Bilingual
    held_equal: Bilingual
    formula: str = ""
    sources: Sequence[Source] = ()
    number: int = 0

    def sentences(self, verdicts: Mapping[str, Verdict], shipped: Mapping[str, str]) -> list[Bilingual]:
        """The short answer: the sentences of the claims, as their verdicts choose.

        What a textbook says and the verdict refutes comes first; what differs from the `shipped` verdicts last.
        """
        numbers = {name: _numbers(verdict) for name, verdict in verdicts.items()}
        order = sorted(self.claims, key=lambda c: (c.by, verdicts[c.id].outcome) != ("textbook", "refuted"))
        chosen = [{"supported": c.supported, "refuted": c.refuted}.get(verdicts[c.id].outcome) for c in order]
        said = [Bilingual(s.en.format(**numbers), s.zh.format(**numbers)) for s in chosen if s is not None]
        left = _undecided(sum(verdict.outcome == "undecided" for verdict in verdicts.values()))
        turned = _other_than_shipped([c for c in self.claims if _opposite(verdicts[c.id], shipped.get(c.id))])
        return [*said, *left, *turned]


def joined(sentences: Sequence[Bilingual]) -> Bilingual:
    """Sentences as one text."""
    return Bilingual(" ".join(one.en for one in sentences), "".join(one.zh for one in sentences))


class _Shown(float):
    """A number in a sentence: one that is rounded to zero has no sign."""

    def __format__(self, spec: str) -> str:
        shown = super().__format__(spec)
        return shown.lstrip("+-") if not any(digit in shown for digit in "123456789") else shown


def _numbers(verdict: Verdict) -> SimpleNamespace:
    effect, low, high = (_Shown(math.nan if n is None else n) for n in (verdict.effect, verdict.low, verdict.high))
    times = _Shown(10 ** abs(effect) if abs(effect) < 12 else math.nan)
    return SimpleNamespace(effect=effect, low=low, high=high, times=times, seeds=verdict.seeds)


def _undecided(count: int) -> list[Bilingual]:
    if not count:
        return []
    plural = "claims remain" if count > 1 else "claim remains"
    return [Bilingual(f"{count} {plural} undecided at this budget.", f"在此预算下仍有 {count} 条论断未定。")]


def _opposite(verdict: Verdict, shipped: str | None) -> bool:
    return {verdict.outcome, shipped} == {"supported", "refuted"}


def _other_than_shipped(claims: Sequence[Claim]) -> list[Bilingual]:
    """What this run decided the other way round than the run that ships with the package."""
    if not claims:
        return []
    english = "; ".join(f"'{claim.statement.en}'" for claim in claims)
    chinese = "；".join(f"“{claim.statement.zh}”" for claim in claims)
    said = Bilingual(
        f"Decided the other way round than in the run that ships (Python's documentation): {english}.",
        f"与随软件发布的结果（Python 文档）判定相反：{chinese}。",
    )
    return [said]
