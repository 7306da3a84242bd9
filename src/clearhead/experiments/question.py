"""`Question`: a declaration of experiments, claims with regions, figures, and words that the verdicts choose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from clearhead.bilingual import Bilingual, Language
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

    number: int
    title: Bilingual
    experiments: Sequence[Experiment]
    claims: Sequence[Claim]
    figures: Sequence[View]
    mechanism: Bilingual
    formula: str
    held_equal: Bilingual
    sources: Sequence[Source]

    def words(self, verdicts: Mapping[str, Verdict]) -> Bilingual:
        """The short answer in both languages: the sentences of the claims, as their verdicts choose."""
        numbers = {name: _numbers(verdict) for name, verdict in verdicts.items()}

        def said(language: Language) -> list[str]:
            chosen = (
                {"supported": claim.supported, "refuted": claim.refuted}.get(verdicts[claim.id].outcome)
                for claim in self.claims
            )
            return [sentence[language].format(**numbers) for sentence in chosen if sentence]

        open_ones = sum(verdict.outcome == "undecided" for verdict in verdicts.values())
        left = _undecided(open_ones)
        return Bilingual(" ".join([*said("en"), *left.en.splitlines()]), "".join([*said("zh"), left.zh]))


def _numbers(verdict: Verdict) -> SimpleNamespace:
    effect, low, high = (math.nan if n is None else n for n in (verdict.effect, verdict.low, verdict.high))
    times = 10 ** abs(effect) if abs(effect) < 12 else math.nan
    return SimpleNamespace(effect=effect, low=low, high=high, times=times, seeds=verdict.seeds)


def _undecided(count: int) -> Bilingual:
    if not count:
        return Bilingual("", "")
    plural = "claims remain" if count > 1 else "claim remains"
    return Bilingual(f"{count} {plural} undecided at this budget.", f"在此预算下仍有 {count} 条论断未定。")
