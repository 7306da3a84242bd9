"""`train`, `evaluate`, `predict`: from a recipe and files to a run on disk, and from a run to numbers and words."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead import __version__
from clearhead.errors import InputError
from clearhead.experiments.recipe import Recipe, read_recipe, resolve
from clearhead.experiments.staging import Staged, build_task, count_parameters, train
from clearhead.jobs import menu as jobs
from clearhead.jobs.data import Metrics, Prepared
from clearhead.text.lines import numbered_lines
from clearhead.training.checkpoints import WEIGHTS, check_vacant, keep_run, load_weights, read_run, weights_of
from clearhead.training.task import Task

RECIPE, RECORD = "recipe.json", "run.json"
VERSION = 1
MAIN_SHARE = 0.5  # of the seconds, where stages come before


@dataclass(frozen=True)
class Building:
    """One training run, as the user wrote it. `seconds`: the budget, in place of the recipe's own."""

    recipe: str
    changes: tuple[str, ...]
    out: Path
    seconds: float | None = None

    def resolved(self) -> Recipe:
        """The recipe with its changes and budget. Raises `InputError`."""
        data = read_recipe(self.recipe)
        return resolve(data, [*self.changes, *self._budget(len(data.get("pretrain", ())))])

    def _budget(self, stages: int) -> list[str]:
        if self.seconds is None:
            return []
        if not stages:
            return [f"training.seconds={self.seconds}"]
        each = self.seconds * (1 - MAIN_SHARE) / stages
        before = [f"pretrain.{i}.training.seconds={each}" for i in range(stages)]
        return [*before, f"training.seconds={self.seconds * MAIN_SHARE}"]

    def command(self) -> str:
        """The command that trains the same again."""
        budget = ["--budget", f"{self.seconds:g}"] if self.seconds is not None else []
        return shlex.join(["clearhead", "train", self.recipe, *self.changes, "--out", str(self.out), *budget])


@dataclass(frozen=True)
class Run:
    """A trained task opened from disk, with its recipe and what encodes its text."""

    task: Task
    recipe: Recipe
    encoder: Any
    record: Mapping[str, Any]


def training(asked: Building) -> Iterator[Staged | dict[str, Any]]:
    """Trains a recipe: every step, then the record of the run, which then lies at `out`.

    Ctrl-C ends training early: what has been learnt is scored and kept, and the record says so.
    """
    started = time.monotonic()
    check_vacant(asked.out)
    recipe = asked.resolved()
    job = jobs.load(recipe.data.job)
    start = read_run(Path(recipe.init)) if recipe.init else {}
    data: Prepared = job.prepare(recipe.data, recipe.text, jobs.corpus_of(recipe.data), start)
    where = str(Path(recipe.init, WEIGHTS)) if recipe.init else ""
    task = build_task(recipe, data.encoder.inventory, recipe.seed, (start[WEIGHTS], where) if start else None)

    def score(candidate: Task) -> float:
        return float(job.criterion(job.measure(candidate, data.encoder, data.examples, recipe.batches)))

    last, ended = None, "budget"
    try:
        for last in train(task, recipe, data, recipe.seed, score if recipe.training.checks else None):
            yield last
    except KeyboardInterrupt:
        if last is None:
            raise
        ended = "interrupted"
    metrics = job.measure(task, data.encoder, data.examples, recipe.batches)
    record = _record(asked, recipe, data, task, metrics, last, ended, time.monotonic() - started)
    _keep(asked.out, task, recipe, data, record)
    yield record


def _record(
    asked: Building,
    recipe: Recipe,
    data: Prepared,
    task: Task,
    metrics: Metrics,
    last: Staged | None,
    ended: str,
    seconds: float,
) -> dict[str, Any]:
    return {
        "version": VERSION,
        "recipe": Path(asked.recipe).stem,
        "parameters": count_parameters(task),
        "metrics": metrics,
        "seconds": round(seconds, 1),
        "steps": last.step.number if last else 0,
        "tokens": last.step.tokens if last else 0,
        "ended": ended,
        "data": {"job": recipe.data.job, "source": data.source, "sha256": data.sha256, "notes": list(data.notes)},
        "run": str(asked.out),
        "command": asked.command(),
        "made_by": f"clearhead {__version__}",
    }


def _keep(out: Path, task: Task, recipe: Recipe, data: Prepared, record: Mapping[str, Any]) -> None:
    files = {
        WEIGHTS: weights_of(task),
        RECIPE: recipe.model_dump_json(indent=1).encode(),
        RECORD: json.dumps(record, ensure_ascii=False, indent=1).encode(),
        **data.encoder.files(),
    }
    keep_run(out, files)


def open_run(folder: Path) -> Run:
    """The trained task of a run, ready to be asked. Raises `InputError` for what is no run, or not whole."""
    files = read_run(folder)
    recipe = resolve(json.loads(files[RECIPE]))
    encoder = jobs.load(recipe.data.job).Encoder.from_files(files)
    task = build_task(recipe, encoder.inventory, recipe.seed)
    load_weights(task, files[WEIGHTS], str(folder / WEIGHTS))
    task.eval()
    return Run(task, recipe, encoder, json.loads(files[RECORD]))


def evaluation(folder: Path, path: str | None) -> dict[str, Any]:
    """The metrics of a run on a file of examples, read as the run's own were. Raises `InputError`."""
    started = time.monotonic()
    run = open_run(folder)
    job = jobs.load(run.recipe.data.job)
    if path is None:
        raise InputError("nothing to evaluate on: give --data FILE, in the format that the run was trained on")
    examples, notes = job.read(path, run.recipe.data, run.encoder)
    metrics = job.measure(run.task, run.encoder, examples, run.recipe.batches)
    return {
        "version": VERSION,
        "recipe": run.record["recipe"],
        "parameters": run.record["parameters"],
        "metrics": metrics,
        "seconds": round(time.monotonic() - started, 1),
        "data": {"job": run.recipe.data.job, "source": path, "notes": list(notes)},
        "run": str(folder),
    }


def prediction(folder: Path, lines: Iterable[str]) -> Iterator[str]:
    """What a run says about lines of text, line by line as they come out. Raises `InputError`."""
    run = open_run(folder)
    yield from jobs.load(run.recipe.data.job).predict(run.task, run.encoder, lines)


def lines_of(file: str, encoding: str) -> Iterator[str]:
    """The lines of a file, or of standard input for `-`, as they come. Raises `InputError` for what is no text."""
    if file != "-":
        yield from (line for _, line in numbered_lines(Path(file), encoding))
        return
    try:
        for line in sys.stdin:
            yield line.rstrip("\r\n")
    except UnicodeDecodeError as fault:
        raise InputError(
            f"standard input: not {fault.encoding} at byte {fault.start}; give a file and --encoding"
        ) from fault
