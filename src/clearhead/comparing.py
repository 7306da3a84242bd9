"""`comparison`: from a recipe and its varied switches to a table on disk: experiments -> report."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.asking import environment_facts, write_figures
from clearhead.digests import digest
from clearhead.errors import InputError
from clearhead.evaluation.statistics import Sample, finite, interval
from clearhead.experiments.answer import CorpusRecord
from clearhead.experiments.comparison import (
    METRIC,
    NAME,
    UNITS,
    Arm,
    Comparison,
    Judged,
    Variation,
    arms_of,
    experiment_of,
    judge_arms,
    views_of,
)
from clearhead.experiments.evidence import Evidence
from clearhead.experiments.fanout import Fanout, available_cores
from clearhead.experiments.recipe import read_recipe
from clearhead.experiments.runner import Findings, Plan, Progress, conduct
from clearhead.experiments.store import PACKAGE, code_fingerprint, versions
from clearhead.experiments.trained import Trained, prepared
from clearhead.files import make_folder, write_whole
from clearhead.jobs import menu as jobs
from clearhead.jobs.data import Prepared, count_tokens
from clearhead.report.comparison_page import comparison_page
from clearhead.text.corpora import Corpus, open_corpus


@dataclass(frozen=True)
class Comparing:
    """One comparison, as the user wrote it. `budget` is one of steps, tokens, seconds; empty for the recipe's own."""

    recipe: str
    vary: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    seeds: int = 5
    budget: Mapping[str, float] | None = None
    margin: float = 0.02
    tune: bool = True
    noise_floor: bool = False
    text: str | None = None
    seed: int = 0
    out: Path = Path("runs")
    encoding: str = "utf-8"

    def variation(self) -> Variation:
        """What is compared. Raises `InputError` where it is not a comparison."""
        budget = dict(self.budget or {})
        if len(budget) > 1:
            given = " and ".join(f"--{name}" for name in budget)
            raise InputError(f"{given}: give one budget; runs are equal in steps, in tokens or in seconds")
        for assignment in (*self.vary, *self.changes):
            if any(map(str.isspace, assignment)):
                raise InputError(f"{assignment!r} holds a space; set each key by itself, such as model.norm=rms")
        if not 0 <= self.margin < math.inf:
            raise InputError(f"--margin {self.margin}: expected a finite number from 0 up, in nats a token")
        overrides = (*self.changes, *(f"training.{name}={amount}" for name, amount in budget.items()))
        arms = arms_of(self.vary, self.noise_floor)
        recipe = read_recipe(self.recipe)
        return Variation(self.recipe, recipe, arms, self.seeds, self.margin, self.tune, overrides)

    def corpus(self) -> Corpus:
        """The text that is compared on: `text`, the recipe's own file, or what is embedded. Raises `InputError`."""
        self.variation()
        data = Trained(read_recipe(self.recipe)).resolved(" ".join(self.changes)).data
        if data.job == "language" and self.text is not None:
            return open_corpus(self.text, encoding=self.encoding)
        if self.text is not None:
            raise InputError(f"--text {self.text}: this recipe reads examples, not text; use --set data.train=FILE")
        return jobs.corpus_of(data)

    def command(self) -> str:
        """The command that compares the same again."""
        words = ["clearhead", "compare", self.recipe]
        words += [part for switch in self.vary for part in ("--vary", switch)]
        words += [part for change in self.changes for part in ("--set", change)]
        words += [part for name, amount in (self.budget or {}).items() for part in (f"--{name}", str(amount))]
        words += ["--noise-floor"] if self.noise_floor else []
        words += [] if self.tune else ["--no-tune"]
        words += ["--text", self.text] if self.text else []
        words += ["--encoding", self.encoding] if self.encoding != "utf-8" else []
        words += ["--seeds", str(self.seeds), "--margin", str(self.margin), "--seed", str(self.seed)]
        return shlex.join(words)


def comparison(asked: Comparing, corpus: Corpus) -> Iterator[Progress | dict[str, Any]]:
    """Runs a comparison: `Progress` after every cell, then the comparison as its JSON contract has it."""
    started = time.monotonic()
    variation = asked.variation()
    experiment = experiment_of(variation)
    _prepared(variation, corpus)
    folder = make_folder(_folder(asked, variation, corpus))
    plan = Plan([experiment], [], corpus, seed=asked.seed)
    for event in conduct(plan, Fanout(asked.out / "cells", available_cores())):
        if isinstance(event, Findings):
            yield _written(asked, variation, corpus, event, folder, started)
        else:
            yield event


def _prepared(variation: Variation, corpus: Corpus) -> Prepared:
    recipe = Trained(variation.recipe).resolved(" ".join(variation.overrides))
    return prepared(recipe.data, recipe.text, corpus, recipe.init)


def _folder(asked: Comparing, variation: Variation, corpus: Corpus) -> Path:
    everything = tuple(sorted(path.name for path in PACKAGE.iterdir()))
    name = digest(variation, corpus.sha256, asked.seed, code_fingerprint(everything), versions("torch", "numpy"))
    return asked.out / f"compare-{Path(asked.recipe).stem}-{name}"


def _written(
    asked: Comparing, variation: Variation, corpus: Corpus, findings: Findings, folder: Path, started: float
) -> dict[str, Any]:
    facts = {**findings.evidence.facts, **_facts(asked)}
    evidence = Evidence(findings.evidence.rows, facts)
    judged = judge_arms(evidence, list(variation.arms), variation.margin)
    recipe = Trained(variation.recipe).resolved(" ".join(variation.overrides))
    budget = {name: amount for name in ("steps", "tokens", "seconds") if (amount := getattr(recipe.training, name))}
    views = views_of(recipe.data.job)
    record = Comparison(
        recipe=variation.recipe_name,
        metric=METRIC,
        unit=UNITS[recipe.data.job].en,
        margin=variation.margin,
        budget=budget,
        seeds=variation.seeds,
        arms=[_arm(name, variation, evidence, judged.get(name)) for name in variation.arms],
        smallest_detectable=max(filter(math.isfinite, (one.detectable for one in judged.values())), default=None),
        tuning_seconds=round(facts["seconds"].get(f"{NAME}.sweep", 0.0), 1),
        corpus=CorpusRecord(
            name=corpus.name, sha256=corpus.sha256, tokens=count_tokens(_prepared(variation, corpus))
        ),
        facts=facts,
        figures=write_figures(views, evidence, folder),
        evidence=str(evidence.write(folder / "evidence.jsonl")),
        report=str(folder / "report.html"),
        seconds=round(time.monotonic() - started, 1),
    ).model_dump(mode="json")
    write_whole(folder / "report.html", comparison_page(record, evidence, views))
    write_whole(folder / "comparison.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    return record


def _arm(name: str, variation: Variation, evidence: Evidence, judged: Judged | None) -> Arm:
    values = Sample(tuple(evidence.by_seed(NAME, METRIC, name).values()))
    low, high = interval(values, 0.05)
    rates = [row["learning_rate"] for row in evidence.facts["tuned"] if row["arm"] == name]
    recipe = Trained(variation.recipe).resolved(" ".join([*variation.overrides, variation.arms[name]]))
    difference = None if judged is None else judged.sample.mean
    bounds = (None, None) if judged is None else (judged.low, judged.high)
    return Arm(
        name=name,
        changes=variation.arms[name],
        parameters=int(_mean(evidence, "parameters", name)),
        tokens=int(_mean(evidence, "tokens", name)),
        learning_rate=rates[0] if rates else recipe.training.learning_rate,
        value=finite(values.mean),
        low=finite(low),
        high=finite(high),
        difference=finite(difference),
        difference_low=finite(bounds[0]),
        difference_high=finite(bounds[1]),
        p_holm=None if judged is None else judged.p_holm,
        outcome="baseline" if judged is None else judged.outcome,
        reason="" if judged is None else judged.reason,
        seconds=round(evidence.facts["seconds_by_arm"][name], 1),
    )


def _facts(asked: Comparing) -> dict[str, Any]:
    return {
        **environment_facts(),
        "seed": asked.seed,
        "command": asked.command(),
    }


def _mean(evidence: Evidence, measure: str, arm: str) -> float:
    found = evidence.by_seed(NAME, measure, arm)
    return sum(found.values()) / len(found)
