"""`Verdict`: what the evidence says of each claim. Inside the region supported, outside refuted, astride undecided.

Measured claims of one question form a family: Holm's procedure shares the error rate among them, and the error rate
is spent over the looks at the seeds, so a verdict holds however many claims and looks there were. The interval shown
is at the level that the claim was in fact judged at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from clearhead.bilingual import Bilingual
from clearhead.evaluation.statistics import Sample, holm_shares, interval, seeds_to_decide, smallest_detectable, tail
from clearhead.experiments.claims import Claim, Region
from clearhead.experiments.evidence import Evidence

ALPHA = 0.05
Outcome = Literal["supported", "refuted", "undecided", "out_of_scope"]


@dataclass(frozen=True)
class Lack:
    """Why the claims of an experiment cannot be judged: what it needs is not there."""

    outcome: Literal["undecided", "out_of_scope"]
    reason: Bilingual


@dataclass(frozen=True)
class Transfer:
    """The effect seen at a second size or on a second text, its 95 % interval, and whether the verdict `held`:
    whether this effect lies on the same side of the region's border. `where` says what was changed."""

    where: Bilingual
    effect: float
    low: float
    high: float
    held: bool


@dataclass(frozen=True)
class Verdict:
    """A claim judged. `level` is that of [low, high]; `detectable` the smallest effect that these seeds could show.

    `transfer` is what a repeat elsewhere said, if there was one.
    """

    claim: Claim
    effect: float | None
    low: float | None
    high: float | None
    level: float
    seeds: int
    outcome: Outcome
    reason: Bilingual
    detectable: float | None = None
    transfer: Transfer | None = None


def judge(
    claims: Sequence[Claim],
    evidence: Evidence,
    shares_spent: Mapping[str, float],
    settled: Mapping[str, tuple[Verdict, float]],
    lacks: Mapping[str, Lack],
) -> dict[str, tuple[Verdict, float]]:
    """`{claim id: (verdict, p)}` after a look.

    `shares_spent` gives each experiment the share of the error rate of its present look, `settled` the verdicts of
    earlier looks, which stand, and `lacks` why an experiment could not be made. `p` is divided by the share, so it is
    comparable over looks.
    """

    def share_of(claim: Claim) -> float:
        return shares_spent[claim.contrast.experiment]

    samples = {c.id: c.contrast.read(evidence) for c in claims if c.contrast.experiment not in lacks}
    family = [c for c in claims if c.kind == "measured" and c.id in samples]
    fresh = {c.id: _decision_p(samples[c.id], c.region) / share_of(c) for c in family if c.id not in settled}
    p_values = [settled[c.id][1] if c.id in settled else fresh[c.id] for c in family]
    shares = dict(zip((c.id for c in family), holm_shares(p_values, ALPHA), strict=True))
    judged: dict[str, tuple[Verdict, float]] = {}
    for claim in claims:
        if claim.id in settled:
            judged[claim.id] = settled[claim.id]
        elif claim.id not in samples:
            judged[claim.id] = (_not_made(claim, lacks[claim.contrast.experiment]), 1.0)
        elif claim.kind == "exact":
            judged[claim.id] = (_exact(claim, samples[claim.id]), 0.0)
        else:
            alpha = shares[claim.id] * share_of(claim)
            judged[claim.id] = (_measured(claim, samples[claim.id], alpha), fresh[claim.id])
    return judged


def _decision_p(sample: Sample, region: Region) -> float:
    """The smallest alpha at which the 1 - alpha interval no longer lies astride the region's border."""
    if sample.n < 2 or not all(map(math.isfinite, sample.values)):
        return 1.0
    if region.holds(sample.mean, sample.mean):
        return max((tail(sample, bound) for bound in region.bounds), default=0.0)
    crossed = region.low if region.low is not None and sample.mean < region.low else region.high
    return tail(sample, crossed) if crossed is not None else 1.0


def _measured(claim: Claim, sample: Sample, alpha: float) -> Verdict:
    broken = sum(not math.isfinite(number) for number in sample.values)
    if broken or sample.n < 2:
        return _undecidable(claim, sample, broken, alpha)
    low, high = interval(sample, alpha)
    outcome: Outcome = "undecided"
    reason = Bilingual("", "")
    if claim.region.holds(low, high):
        outcome = "supported"
    elif claim.region.misses(low, high):
        outcome = "refuted"
    else:
        reason = _why_undecided(claim.region, sample, alpha)
    least = None if sample.items else smallest_detectable(sample.sd, sample.n, alpha)
    return Verdict(claim, sample.mean, low, high, 1 - alpha, sample.n, outcome, reason, least)


def _why_undecided(region: Region, sample: Sample, alpha: float) -> Bilingual:
    distance = min(abs(sample.mean - bound) for bound in region.bounds)
    needed = None if sample.items else seeds_to_decide(sample.sd, distance, alpha)
    if needed is None:
        return Bilingual(
            "the interval lies astride the border, and the effect is too near it to be told apart",
            "区间跨在界线上，效应离界线太近，难以分辨",
        )
    needed = max(needed, sample.n + 1)
    return Bilingual(
        f"the interval lies astride the border: about {needed} seeds would decide",
        f"区间跨在界线上：约需 {needed} 个种子才能判定",
    )


def _undecidable(claim: Claim, sample: Sample, broken: int, alpha: float) -> Verdict:
    reason = (
        Bilingual(
            f"{broken} of {sample.n} seeds gave no finite number", f"{sample.n} 个种子中有 {broken} 个没有得到有限的数"
        )
        if broken
        else Bilingual("fewer than two seeds: no interval can be given", "种子少于两个，给不出区间")
    )
    return Verdict(claim, None, None, None, 1 - alpha, sample.n, "undecided", reason)


def _exact(claim: Claim, sample: Sample) -> Verdict:
    if not sample.n or not all(map(math.isfinite, sample.values)):
        return _undecidable(claim, sample, sample.n, 0.0)
    low, high = min(sample.values), max(sample.values)
    outcome: Outcome = "supported" if claim.region.holds(low, high) else "refuted"
    centre = sum(claim.region.bounds) / len(claim.region.bounds)
    worst = max(sample.values, key=lambda number: abs(number - centre))
    return Verdict(claim, worst, low, high, 1.0, sample.n, outcome, Bilingual("", ""))


def _not_made(claim: Claim, lack: Lack) -> Verdict:
    return Verdict(claim, None, None, None, 1 - ALPHA, 0, lack.outcome, lack.reason)


def transferred(verdict: Verdict, again: Evidence, where: Bilingual) -> Verdict:
    """The verdict with what `again` says: rows of the same experiment under other settings or on another text.

    Nothing is added to a verdict that is exact or open, and where the repeat gave no finite numbers.
    """
    if verdict.claim.kind == "exact" or verdict.outcome not in {"supported", "refuted"}:
        return verdict
    sample = verdict.claim.contrast.read(again)
    if sample.n < 2 or not all(map(math.isfinite, sample.values)):
        return verdict
    low, high = interval(sample, ALPHA)
    held = verdict.claim.region.holds(sample.mean, sample.mean) == (verdict.outcome == "supported")
    return replace(verdict, transfer=Transfer(where, sample.mean, low, high, held))
