"""What is repeated elsewhere at `standard`, and what the repeat says of a verdict."""

from __future__ import annotations

from pathlib import Path

import measurements

from clearhead.bilingual import same
from clearhead.experiments.claims import Claim, above, difference, every, near
from clearhead.experiments.experiment import BySize, Experiment
from clearhead.experiments.fanout import Fanout
from clearhead.experiments.runner import Findings, Plan, conduct
from clearhead.experiments.transfer import repeat_of
from clearhead.text.corpora import Corpus

TEXT, SECOND = Corpus("first", "1", 10, "embedded"), Corpus("second", "2", 10, "embedded:source")
B_ABOVE = Claim("b_above", difference("e", "loss", "b", "a"), above(0.5), "", same("b above a"))
EXACT = Claim("exact", every("e", "loss", "a"), near(0, 9), "", same("a near 0"), kind="exact")


def found(one: Experiment, *claims: Claim, size: str = "standard", folder: Path) -> Findings:
    plan = Plan([one], claims, TEXT, size=size, looks=size, second=SECOND)  # type: ignore[arg-type]
    *_, last = conduct(plan, Fanout(folder, 1))
    assert isinstance(last, Findings)
    return last


def shifted(transfer: float) -> Experiment:
    return Experiment(
        "e",
        measurements.noisy,
        ("a", "b"),
        seeds=BySize((4,), (5, 9)),
        settings=BySize({"shift": 2.0}, {"shift": 2.0}),
        transfer={"shift": transfer, "rate": 2.0},
    )


def test_a_verdict_that_holds_at_a_second_size(tmp_path: Path) -> None:
    verdict = found(shifted(1.0), B_ABOVE, folder=tmp_path).verdicts["b_above"]
    assert verdict.outcome == "supported" and verdict.transfer is not None
    assert verdict.transfer.held and 0.5 < verdict.transfer.effect < 1.5
    assert verdict.transfer.where.en == "shift 1, rate 2"


def test_a_verdict_that_does_not_hold_there(tmp_path: Path) -> None:
    verdict = found(shifted(0.0), B_ABOVE, folder=tmp_path).verdicts["b_above"]
    assert verdict.outcome == "supported" and verdict.transfer is not None
    assert not verdict.transfer.held


def test_the_repeat_has_the_seeds_of_the_first_look_and_rows_of_its_own(tmp_path: Path) -> None:
    rows = found(shifted(1.0), B_ABOVE, folder=tmp_path).evidence.rows
    assert {row.seed for row in rows if row.experiment == "e.again"} == set(range(5))
    assert {row.experiment for row in rows} == {"e", "e.again"}


def test_quick_repeats_nothing_and_exact_claims_need_no_repeat(tmp_path: Path) -> None:
    assert found(shifted(1.0), B_ABOVE, size="quick", folder=tmp_path).verdicts["b_above"].transfer is None
    assert found(shifted(1.0), EXACT, folder=tmp_path).verdicts["exact"].transfer is None
    assert repeat_of(shifted(1.0), [EXACT], SECOND) is None


def test_what_needs_the_text_is_repeated_on_the_second_one() -> None:
    one = Experiment("e", measurements.noisy, ("a",), needs_text=True)
    repeat = repeat_of(one, [B_ABOVE], SECOND)
    assert repeat is not None and repeat.name == "e.again" and repeat.needs_text
    assert repeat_of(one, [B_ABOVE], None) is None
    assert repeat_of(Experiment("e", measurements.noisy, ("a",)), [B_ABOVE], SECOND) is None
