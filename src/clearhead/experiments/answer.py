"""`Answer`: the JSON contract of `clearhead ask`, versioned; its schema is published in docs/schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clearhead.bilingual import Bilingual
from clearhead.evaluation.statistics import finite
from clearhead.experiments.claims import Claim
from clearhead.experiments.verdict import Transfer, Verdict


class Words(BaseModel):
    """A text in English and in Chinese."""

    model_config = ConfigDict(extra="forbid")

    en: str
    zh: str


class TransferRecord(BaseModel):
    """The effect at a second size or on a second text, [low, high] at level 0.95; `held`: the verdict would stand."""

    model_config = ConfigDict(extra="forbid")

    where: Words
    effect: float
    low: float | None
    high: float | None
    held: bool


class ClaimRecord(BaseModel):
    """One claim and its verdict. `region` holds the wanted bounds, null for none; [low, high] is at `level`."""

    model_config = ConfigDict(extra="forbid")

    id: str
    kind: Literal["exact", "measured"]
    by: Literal["textbook", "folk", "paper", "ours"] = Field(description="whose sentence the statement is")
    statement: Words
    measure: str
    unit: str
    region: tuple[float | None, float | None]
    effect: float | None
    low: float | None
    high: float | None
    level: float = Field(description="of the interval; 1 for an exact claim, whose interval is the range of all draws")
    seeds: int = Field(description="independent replicates: seeds, or draws or items where the claim is over those")
    outcome: Literal["supported", "refuted", "undecided", "out_of_scope"]
    reason: str
    reason_zh: str
    smallest_detectable: float | None = Field(description="the smallest effect that these seeds show with power 0.8")
    transfer: TransferRecord | None = Field(description="at the budget standard: what a repeat elsewhere said")
    shipped: Literal["supported", "refuted", "undecided", "out_of_scope"] | None = Field(
        description="the verdict that ships with this version, on the embedded text"
    )


class CorpusRecord(BaseModel):
    """The text that was asked about. `tokens` are those of the experiments' tokenizer, training and held-out."""

    model_config = ConfigDict(extra="forbid")

    name: str
    sha256: str
    tokens: int


class Answer(BaseModel):
    """What `clearhead ask N --json` prints and `answer.json` holds."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    question: int = Field(description="1 to 25; 0 for a question of the user's own")
    title: Words
    headline: Words = Field(description="the first sentence of the answer")
    answer: Words
    claims: list[ClaimRecord]
    figures: list[str]
    corpus: CorpusRecord
    facts: dict[str, Any]
    evidence: str
    report: str
    seconds: float


class Failure(BaseModel):
    """A question that could not be answered, and why."""

    model_config = ConfigDict(extra="forbid")

    question: int
    error: str


class Answers(BaseModel):
    """What `clearhead ask all --json` prints and `answers.json` holds."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    answers: list[Answer]
    failures: list[Failure]
    command: str
    report: str
    seconds: float


def words(text: Bilingual) -> Words:
    return Words(en=text.en, zh=text.zh)


def claim_records(
    claims: Sequence[Claim], verdicts: Mapping[str, Verdict], shipped: Mapping[str, str]
) -> list[ClaimRecord]:
    """The claims with their verdicts as the contract has them; what is not finite is null. Refuted sentences of
    textbooks come first. `shipped` has the verdicts that ship with the package, by claim."""
    records = [_record(claim, verdicts[claim.id], shipped.get(claim.id)) for claim in claims]
    return sorted(records, key=lambda record: (record.by, record.outcome) != ("textbook", "refuted"))


def _record(claim: Claim, verdict: Verdict, shipped: Any) -> ClaimRecord:
    return ClaimRecord(
        id=claim.id,
        kind=claim.kind,
        by=claim.by,
        statement=words(claim.statement),
        measure=f"{claim.contrast.experiment}.{claim.contrast.measure}",
        unit=claim.unit,
        region=(claim.region.low, claim.region.high),
        effect=finite(verdict.effect),
        low=finite(verdict.low),
        high=finite(verdict.high),
        level=verdict.level,
        seeds=verdict.seeds,
        outcome=verdict.outcome,
        reason=verdict.reason.en,
        reason_zh=verdict.reason.zh,
        smallest_detectable=finite(verdict.detectable),
        transfer=_transfer(verdict.transfer),
        shipped=shipped,
    )


def _transfer(transfer: Transfer | None) -> TransferRecord | None:
    if transfer is None:
        return None
    return TransferRecord(
        where=words(transfer.where),
        effect=transfer.effect,
        low=finite(transfer.low),
        high=finite(transfer.high),
        held=transfer.held,
    )
