"""Verdicts: what the interval says, and how often they are wrong where nothing or just the border is true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clearhead.bilingual import Bilingual, same
from clearhead.evaluation.statistics import spent
from clearhead.experiments.claims import Claim, Region, above, below, difference, every, exactly, near, value
from clearhead.experiments.evidence import Along, Evidence, Row, rows_of
from clearhead.experiments.verdict import Lack, Verdict, judge

RUNS = 800


def evidence(arms: dict[str, np.ndarray]) -> Evidence:
    return Evidence(
        tuple(Row("e", arm, {}, seed, "loss", float(x)) for arm, xs in arms.items() for seed, x in enumerate(xs))
    )


def claim(name: str, region: Region, **options: object) -> Claim:
    return Claim(name, difference("e", "loss", "a", "b"), region, "nats", same(name), **options)  # type: ignore[arg-type]


def verdict_of(one: Claim, table: Evidence, share: float = 1.0) -> Verdict:
    return judge([one], table, {"e": share}, {}, {})[one.id][0]


def test_inside_outside_astride() -> None:
    table = evidence({"a": np.array([1.0, 1.1, 0.9, 1.05]), "b": np.zeros(4)})
    assert verdict_of(claim("c", above(0.5)), table).outcome == "supported"
    assert verdict_of(claim("c", below(0.5)), table).outcome == "refuted"
    astride = verdict_of(claim("c", above(1.0)), table)
    assert astride.outcome == "undecided"
    assert "seeds would decide" in astride.reason.en or "too near" in astride.reason.en
    assert astride.reason.zh


def test_interval_and_level_agree_with_the_outcome() -> None:
    rng = np.random.default_rng(0)
    claims = [claim(f"c{i}", above(0.1 * i)) for i in range(8)]
    for _ in range(50):
        table = evidence({"a": rng.normal(0.4, 0.2, 6), "b": np.zeros(6)})
        for verdict, _p in judge(claims, table, {"e": 0.4}, {}, {}).values():
            assert verdict.low is not None and verdict.high is not None
            region = verdict.claim.region
            inside, outside = region.holds(verdict.low, verdict.high), region.misses(verdict.low, verdict.high)
            assert verdict.outcome == ("supported" if inside else "refuted" if outside else "undecided")


def test_exact_claims_are_judged_by_their_range() -> None:
    table = evidence({"a": np.array([0.0, 1e-15, 0.0])})
    exact = Claim("x", every("e", "loss", "a"), exactly(0), "", same("x"), kind="exact")
    found = verdict_of(exact, table)
    assert (found.outcome, found.low, found.high, found.level) == ("supported", 0.0, 1e-15, 1.0)
    broken = evidence({"a": np.array([0.0, 0.1])})
    assert verdict_of(exact, broken).outcome == "refuted"


def test_a_seed_without_a_finite_number_decides_nothing() -> None:
    table = evidence({"a": np.array([1.0, math.nan, 1.1]), "b": np.zeros(3)})
    found = verdict_of(claim("c", above(0.5)), table)
    assert found.outcome == "undecided"
    assert "1 of 3 seeds gave no finite number" in found.reason.en


def test_one_seed_decides_nothing() -> None:
    table = evidence({"a": np.array([1.0]), "b": np.array([0.0])})
    assert verdict_of(claim("c", above(0.5)), table).outcome == "undecided"


def test_a_missing_need_is_out_of_scope() -> None:
    one = Claim("c", value("e", "loss", "a"), above(0), "", same("c"))
    reason = Bilingual("no checkpoint", "没有检查点")
    found = judge([one], evidence({}), {"e": 1.0}, {}, {"e": Lack("out_of_scope", reason)})["c"][0]
    assert (found.outcome, found.reason, found.effect) == ("out_of_scope", reason, None)


def test_items_are_read_along_their_axis() -> None:
    rng = np.random.default_rng(0)
    blocks = {i: float(x) for i, x in enumerate(rng.normal(1.0, 0.1, 60))}
    rows = rows_of("e", "a", {}, 0, {"loss": Along("block", blocks)})
    one = Claim("c", value("e", "loss", "a", items=True), near(1, 0.1), "bits", same("c"))
    found = verdict_of(one, Evidence(tuple(rows)))
    assert (found.outcome, found.seeds) == ("supported", 60)


def wrong_verdicts(truth: float, region: Region, family: int, looks: tuple[int, ...], sd: float = 1.0) -> float:
    """How often at least one of `family` claims whose truth lies on the border (or at 0) is decided wrongly."""
    rng = np.random.default_rng(5)
    wrong = 0
    claims = [
        Claim(f"c{i}", difference("e", f"m{i}", "a", "b"), region, "nats", same("c")) for i in range(family)
    ]
    for _ in range(RUNS):
        draws = rng.normal(truth, sd, (family, looks[-1]))
        settled: dict[str, tuple[Verdict, float]] = {}
        for share, n in zip(spent(len(looks)), looks, strict=True):
            rows = tuple(
                Row("e", arm, {}, seed, f"m{i}", float(draws[i, seed]) if arm == "a" else 0.0)
                for i in range(family)
                for seed in range(n)
                for arm in ("a", "b")
            )
            judged = judge(claims, Evidence(rows), {"e": share}, settled, {})
            settled = {name: pair for name, pair in judged.items() if pair[0].outcome != "undecided"}
        wrong += bool(settled)
    return wrong / RUNS


ALLOWED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize("looks", [(3,), (5,), (8,), (4, 8), (4, 8, 16)])
def test_false_verdicts_at_the_border_of_a_region(looks: tuple[int, ...]) -> None:
    """The truth on the border: neither outcome is right, so any decision is an error; at most 5 % over all looks."""
    assert wrong_verdicts(0.1, above(0.1), 1, looks) <= ALLOWED


@pytest.mark.parametrize("looks", [(4,), (4, 8)])
def test_false_verdicts_over_a_family(looks: tuple[int, ...]) -> None:
    """Six claims at their border together: at most 5 % of questions make a single false verdict."""
    assert wrong_verdicts(0.0, above(0.0), 6, looks) <= ALLOWED


def test_looking_without_spending_would_be_wrong() -> None:
    """The same looks, each at the full 5 %, err far more often: the test above can fail."""
    rng = np.random.default_rng(2)
    wrong = 0
    for draws in rng.normal(0, 1, (200, 20)):
        tables = (evidence({"a": draws[:n], "b": np.zeros(n)}) for n in range(3, 21))
        wrong += any(verdict_of(claim("c", above(0.0)), table).outcome != "undecided" for table in tables)
    assert wrong / 200 > 0.12


def test_intervals_cover_over_looks() -> None:
    """The interval at the look where a claim is settled (or at the last) covers the truth as often as it says."""
    rng = np.random.default_rng(8)
    covered = 0
    one = claim("c", above(0.0))
    for draws in rng.normal(0.8, 1.0, (RUNS, 16)):
        for share, n in zip(spent(3), (4, 8, 16), strict=True):
            found = verdict_of(one, evidence({"a": draws[:n], "b": np.zeros(n)}), share)
            if found.outcome != "undecided":
                break
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.8 <= found.high
    assert covered / RUNS >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / RUNS)


def test_a_planted_effect_is_found() -> None:
    rng = np.random.default_rng(4)
    found = [
        verdict_of(claim("c", above(0.1)), evidence({"a": row, "b": np.zeros(8)})).outcome == "supported"
        for row in rng.normal(1.0, 0.3, (300, 8))
    ]
    assert np.mean(found) > 0.95
