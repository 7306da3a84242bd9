"""From a plan to findings: the equal sweep, then looks at the seeds fixed beforehand, until all claims are decided.

`conduct` is a generator: it yields `Progress` as cells end, and last the `Findings`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clearhead.bilingual import Bilingual
from clearhead.evaluation.statistics import spent
from clearhead.experiments.claims import Claim
from clearhead.experiments.evidence import Evidence, Row, Scalar, rows_of
from clearhead.experiments.experiment import TUNING_SEED, BySize, Cell, Experiment, Settings, Size, Tune, cell
from clearhead.experiments.fanout import Fanout, Pool
from clearhead.experiments.store import Done, cell_name
from clearhead.experiments.transfer import AGAIN, repeat_of, with_transfer
from clearhead.experiments.verdict import Lack, Verdict, judge
from clearhead.interop.finding import HOW_TO_GET_ONE, Found
from clearhead.text.corpora import Corpus

SEED_STRIDE = 10_000
SWEEP = ".sweep"


@dataclass(frozen=True)
class Plan:
    """What is to be run: all of it fixed before the first cell. `second` is the text for repeats at `standard`."""

    experiments: Sequence[Experiment]
    claims: Sequence[Claim]
    corpus: Corpus
    size: Size = "quick"
    looks: Size = "quick"
    seed: int = 0
    checkpoint: Found | None = None
    second: Corpus | None = None


@dataclass(frozen=True)
class Progress:
    """`done` of `total` cells of one experiment (or of its sweep) are there."""

    experiment: str
    done: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class Findings:
    """All that was measured, and what it says of each claim."""

    evidence: Evidence
    verdicts: Mapping[str, Verdict]


@dataclass
class _Bench:
    """What has been measured so far: finished cells, tuned values, looks taken, cells left out by the clock."""

    done: dict[int, tuple[Cell, Done]] = field(default_factory=dict)
    order: list[Cell] = field(default_factory=list)
    tuned: list[dict[str, Any]] = field(default_factory=list)
    look: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    lacks: dict[str, Lack] = field(default_factory=dict)

    def rows(self) -> tuple[Row, ...]:
        finished = [self.done[id(c)] for c in self.order if id(c) in self.done]
        return tuple(row for c, done in finished for row in rows_of(c.experiment, c.arm, c.dose, c.seed, done.measured))


def conduct(plan: Plan, fanout: Fanout) -> Iterator[Progress | Findings]:
    """Runs a plan: `Progress` after every cell, `Findings` at the end. Raises what a measurement raised."""
    bench = _Bench()
    for experiment in plan.experiments:
        if experiment.needs_checkpoint and plan.checkpoint is None:
            bench.lacks[experiment.name] = Lack("out_of_scope", HOW_TO_GET_ONE)
    settled: dict[str, tuple[Verdict, float]] = {}
    verdicts: dict[str, tuple[Verdict, float]] = {}
    with Pool(fanout) as pool:
        chosen: dict[str, dict[str, dict[str, float]]] = {}
        for experiment in plan.experiments:
            if experiment.name not in bench.lacks:
                chosen[experiment.name] = yield from _sweep(experiment, plan, pool, bench)
        active = list(plan.experiments)
        while active:
            for experiment in active:
                bench.look[experiment.name] = bench.look.get(experiment.name, -1) + 1
                if experiment.name not in bench.lacks:
                    yield from _run(_cells_of_look(experiment, plan, bench, chosen[experiment.name]), pool, bench)
            shares = {e.name: spent(len(e.seeds.at(plan.looks)))[bench.look[e.name]] for e in plan.experiments}
            verdicts = judge(plan.claims, Evidence(bench.rows()), shares, settled, bench.lacks)
            settled = {name: pair for name, pair in verdicts.items() if pair[0].outcome in {"supported", "refuted"}}
            active = [] if fanout.expired() else _unfinished(plan, bench, verdicts)
        yield from _again(plan, pool, bench, chosen)
    evidence = Evidence(bench.rows(), _facts(plan, bench))
    judged = {name: pair[0] for name, pair in verdicts.items()}
    yield Findings(evidence, with_transfer(plan.claims, judged, evidence, plan.experiments, plan.second))


def _again(
    plan: Plan, pool: Pool, bench: _Bench, chosen: Mapping[str, dict[str, dict[str, float]]]
) -> Iterator[Progress]:
    """At `standard`, what measured claims stand on, once more elsewhere, with the values tuned here."""
    if plan.size != "standard":
        return
    for experiment in plan.experiments:
        repeat = repeat_of(experiment, plan.claims, plan.second)
        if repeat is None or experiment.name in bench.lacks:
            continue
        bench.look[repeat.name] = 0
        other = experiment.transfer is None and plan.second is not None
        elsewhere = replace(plan, corpus=plan.second or plan.corpus) if other else plan
        yield from _run(_cells_of_look(repeat, elsewhere, bench, chosen[experiment.name]), pool, bench)


def _unfinished(plan: Plan, bench: _Bench, verdicts: Mapping[str, tuple[Verdict, float]]) -> list[Experiment]:
    """The experiments that an undecided claim waits for and that have another look."""
    open_for = {
        claim.contrast.experiment
        for claim in plan.claims
        if claim.kind == "measured" and verdicts[claim.id][0].outcome == "undecided"
    }
    return [
        e
        for e in plan.experiments
        if e.name in open_for and e.name not in bench.lacks and bench.look[e.name] + 1 < len(e.seeds.at(plan.looks))
    ]


def _cells_of_look(
    experiment: Experiment, plan: Plan, bench: _Bench, chosen: Mapping[str, dict[str, float]]
) -> list[Cell]:
    looks = experiment.seeds.at(plan.looks)
    look = bench.look[experiment.name]
    first = looks[look - 1] if look else 0
    return [
        cell(experiment, arm, dose, plan.seed * SEED_STRIDE + i, plan.size, {**_given(experiment, plan), **tuned})
        for i in range(first, looks[look])
        for dose in experiment.doses()
        for arm in experiment.arms
        for tuned in [chosen.get(_key(arm, dose), {})]
    ]


def _given(experiment: Experiment, plan: Plan) -> dict[str, Any]:
    text = {"corpus": plan.corpus} if experiment.needs_text else {}
    return {**text, "checkpoint": plan.checkpoint} if experiment.needs_checkpoint else text


def _key(arm: str, dose: Mapping[str, Scalar]) -> str:
    return repr((arm, sorted(dose.items())))


def _run(cells: Sequence[Cell], pool: Pool, bench: _Bench) -> Iterator[Progress]:
    if not cells:
        return
    name, total = cells[0].experiment, len(cells)
    bench.order += cells
    finished = 0
    for one, done in pool.run(cells):
        bench.done[id(one)] = (one, done)
        finished += 1
        if done.too_little:
            short = Bilingual(f"too short: {done.too_little}", f"文本太短：{done.too_little}")
            bench.lacks[name.removesuffix(SWEEP)] = Lack("undecided", short)
        yield Progress(name, finished, total)
    if finished < total:
        bench.left_out[name] = bench.left_out.get(name, 0) + total - finished


def _sweep(
    experiment: Experiment, plan: Plan, pool: Pool, bench: _Bench
) -> Generator[Progress, None, dict[str, dict[str, float]]]:
    """The equal sweep of every arm; returns `{arm and dose: {over: value}}`."""
    tune = experiment.tune
    if tune is None:
        return {}
    sweep = sweep_of(experiment, tune)
    cells = [
        cell(sweep, arm, dose, plan.seed * SEED_STRIDE + TUNING_SEED + i, plan.size, _given(experiment, plan))
        for dose in sweep.doses()
        for arm in sweep.arms
        for i in range(tune.seeds)
    ]
    yield from _run(cells, pool, bench)
    chosen: dict[str, dict[str, float]] = {}
    for dose in experiment.doses():
        for arm in experiment.arms:
            here = {**dose, **tune.at}
            best = _least(cells, bench, tune, arm, here)
            chosen[_key(arm, dose)] = {tune.over: best}
            edge = best in {min(tune.values), max(tune.values)}
            bench.tuned.append({"experiment": experiment.name, "arm": arm, **dose, tune.over: best, "at_edge": edge})
    return chosen


def sweep_of(experiment: Experiment, tune: Tune) -> Experiment:
    """The experiment whose dose is what is tuned; it measures as the experiment itself does."""
    dose = {name: ((tune.at[name],) if name in tune.at else levels) for name, levels in experiment.dose.items()}
    settings: BySize[Settings] = BySize(
        {**experiment.settings.quick, **(tune.settings.quick if tune.settings else {})},
        {**experiment.settings.standard, **(tune.settings.standard if tune.settings else {})},
    )
    return Experiment(
        f"{experiment.name}{SWEEP}",
        experiment.run,
        experiment.arms,
        {**dose, tune.over: tune.values},
        settings=settings,
        needs_text=experiment.needs_text,
        needs_checkpoint=experiment.needs_checkpoint,
    )


def _least(cells: Sequence[Cell], bench: _Bench, tune: Tune, arm: str, here: Mapping[str, Scalar]) -> float:
    """The value with the least mean of what is minimised; a value that gave no finite number is never taken."""
    scores: dict[float, list[float]] = {}
    for one in cells:
        if one.arm == arm and all(one.dose[name] == level for name, level in here.items()) and id(one) in bench.done:
            score = bench.done[id(one)][1].measured.get(tune.minimise)
            scores.setdefault(float(one.dose[tune.over]), []).append(score if isinstance(score, float) else math.inf)
    means = {value: sum(found) / len(found) for value, found in scores.items()}
    finite = [value for value, mean in means.items() if math.isfinite(mean)]
    return min(finite, key=lambda value: means[value]) if finite else tune.values[len(tune.values) // 2]


def _facts(plan: Plan, bench: _Bench) -> dict[str, Any]:
    measured = {store_name: pair for pair in bench.done.values() for store_name in [cell_name(pair[0])]}
    seconds: dict[str, float] = {}
    seconds_by_arm: dict[str, float] = {}
    for one, done in measured.values():
        seconds[one.experiment] = seconds.get(one.experiment, 0.0) + done.seconds
    for one, done in bench.done.values():
        if not one.experiment.endswith((SWEEP, AGAIN)):
            seconds_by_arm[one.arm] = seconds_by_arm.get(one.arm, 0.0) + done.seconds
    looks = {e.name: list(e.seeds.at(plan.looks)) for e in plan.experiments}
    return {
        "tuned": bench.tuned,
        "looks": looks,
        "looks_taken": {name: look + 1 for name, look in bench.look.items() if not name.endswith(AGAIN)},
        "left_out": bench.left_out,
        "too_little": {name: lack.reason.en for name, lack in bench.lacks.items() if lack.outcome == "undecided"},
        "checkpoint": plan.checkpoint.name if plan.checkpoint and _asks_checkpoint(plan) else None,
        "cells": len(measured),
        "core_seconds": round(sum(seconds.values()), 1),
        "seconds": seconds,
        "seconds_by_arm": seconds_by_arm,
    }


def _asks_checkpoint(plan: Plan) -> bool:
    return any(experiment.needs_checkpoint for experiment in plan.experiments)
