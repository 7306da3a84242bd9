"""Whether a verdict holds elsewhere: what a claim stands on is measured again at a second size or on a second text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from clearhead.bilingual import Bilingual
from clearhead.experiments.claims import Claim
from clearhead.experiments.evidence import Evidence
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.verdict import Verdict, transferred
from clearhead.text.corpora import Corpus

AGAIN = ".again"


def repeat_of(experiment: Experiment, claims: Sequence[Claim], second: Corpus | None) -> Experiment | None:
    """The experiment to be made again, with the first look's seeds; None where no measured claim stands on it, or
    where it has neither other settings nor a text to take another of."""
    asked = any(c.kind == "measured" and c.contrast.experiment == experiment.name for c in claims)
    if not asked or (experiment.transfer is None and (second is None or not experiment.needs_text)):
        return None
    settings = {**experiment.settings.standard, **(experiment.transfer or {})}
    first = (experiment.seeds.standard[0],)
    return replace(
        experiment, name=experiment.name + AGAIN, settings=BySize(settings, settings), seeds=BySize(first, first)
    )


def with_transfer(
    claims: Sequence[Claim],
    verdicts: Mapping[str, Verdict],
    evidence: Evidence,
    experiments: Sequence[Experiment],
    second: Corpus | None,
) -> dict[str, Verdict]:
    """The verdicts with what the repeats in the evidence say of them."""
    again = Evidence(
        tuple(
            replace(row, experiment=row.experiment.removesuffix(AGAIN))
            for row in evidence.rows
            if row.experiment.endswith(AGAIN)
        )
    )
    where = {e.name: _where(e, second) for e in experiments}
    return {c.id: transferred(verdicts[c.id], again, where[c.contrast.experiment]) for c in claims}


def _where(experiment: Experiment, second: Corpus | None) -> Bilingual:
    if experiment.transfer is not None:
        changed = ", ".join(f"{name} {_plain(value)}" for name, value in experiment.transfer.items())
        return Bilingual(changed.replace("_", " "), changed.replace("_", " "))
    name = second.name if second is not None else ""
    return Bilingual(name, name)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
