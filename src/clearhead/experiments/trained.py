"""`Trained`: the measurement of an arm that is a recipe with overrides: train it, then measure it on held-out data."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clearhead.errors import InputError
from clearhead.experiments.evidence import Along, Measured, Scalar
from clearhead.experiments.recipe import Recipe, resolve
from clearhead.experiments.staging import build_task, count_parameters, train
from clearhead.jobs import menu as jobs
from clearhead.jobs.answering import scores
from clearhead.jobs.data import DataSpec, Prepared
from clearhead.text.corpora import Corpus
from clearhead.text.tokenized import TextSpec
from clearhead.training.checkpoints import WEIGHTS, read_run
from clearhead.training.loop import Diverged
from clearhead.training.task import Task

CURVE_POINTS = 24
STOP_EVERY = 10  # of the training sequences is set aside for early stopping


@dataclass(frozen=True)
class Workbench:
    """A trained task with all that it was trained on, as a probe sees it."""

    task: Task
    data: Prepared
    recipe: Recipe
    seed: int


Probe = Callable[[Workbench], Measured]


@dataclass(frozen=True)
class Trained:
    """`run(arm, seed, corpus, **dose)`: trains the recipe under the arm's overrides and measures it.

    `recipe` is plain data (`read_recipe`); an arm is dotted overrides with spaces between. `keys` gives the dotted
    key that a dose or setting stands for; `learning_rate` stands for `training.learning_rate`. `probes` add measures.
    Measured always: `held_out` (nats per asked label, whatever loss is trained), `train_loss` along steps,
    `parameters`, `tokens`.
    """

    recipe: Mapping[str, Any]
    keys: Mapping[str, str] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()

    def resolved(self, arm: str, **levels: Scalar) -> Recipe:
        """The recipe of one arm at one dose. Raises `InputError` where a key or value is not known."""
        keys = {"learning_rate": "training.learning_rate", "steps": "training.steps", **self.keys}
        doses = [f"{keys.get(name, name)}={level}" for name, level in levels.items()]
        return resolve(self.recipe, [*arm.split(), *doses])

    def __call__(self, arm: str, seed: int, corpus: Corpus, **levels: Scalar) -> Measured:
        recipe = self.resolved(arm, **levels)
        data = prepared(recipe.data, recipe.text, corpus, recipe.init)
        seed = seed + recipe.seed
        start = _start(recipe.init)
        where = str(Path(recipe.init or "", WEIGHTS))
        task = build_task(recipe, data.encoder.inventory, seed, (start[WEIGHTS], where) if start else None)
        try:
            curve, tokens = _train(task, recipe, data, seed)
        except Diverged:
            return {"held_out": float("nan"), "parameters": float(count_parameters(task)), "tokens": 0.0}
        pad = data.encoder.inventory.vocabulary.pad
        measured: dict[str, float | Along] = {
            "held_out": scores(task, data.dev, recipe.batches, pad).mean,
            "train_loss": Along("step", curve),
            "parameters": float(count_parameters(task)),
            "tokens": float(tokens),
        }
        for probe in self.probes:
            measured.update(probe(Workbench(task, data, recipe, seed)))
        return measured


def _train(task: Task, recipe: Recipe, data: Prepared, seed: int) -> tuple[dict[Scalar, float], int]:
    """The training loss, averaged over the steps between a few points, and the tokens seen, of the last stage."""
    losses: list[float] = []
    tokens = 0
    data, score = _stopping(recipe, data)
    for staged in train(task, recipe, data, seed, score):
        if staged.stage == staged.stages - 1:
            losses.append(staged.step.loss)
            tokens = staged.step.tokens
    return dict(_thinned(losses)), tokens


def _stopping(recipe: Recipe, data: Prepared) -> tuple[Prepared, Callable[[Task], float] | None]:
    """What is left to train on, and the score that early stopping goes by: never of what an arm is measured on."""
    if not recipe.training.checks:
        return data, None
    kept = range(len(data.train))
    stop = [data.train[number] for number in kept if number % STOP_EVERY == 0]
    rest = [data.train[number] for number in kept if number % STOP_EVERY]
    pad = data.encoder.inventory.vocabulary.pad

    def score(task: Task) -> float:
        return scores(task, stop, recipe.batches, pad).mean

    return replace(data, train=rest), score


def _thinned(losses: list[float]) -> Iterator[tuple[Scalar, float]]:
    width = max(1, len(losses) // CURVE_POINTS)
    for start in range(0, len(losses) - width + 1, width):
        yield start + width, sum(losses[start : start + width]) / width


@functools.lru_cache(maxsize=4)
def prepared(data: DataSpec, text: TextSpec, corpus: Corpus, init: str | None = None) -> Prepared:
    """The items of a recipe; a text that is asked about takes the place of the recipe's own."""
    given = data if data.job != "language" else data.model_copy(update={"train": None, "dev": None})
    made: Prepared = jobs.load(data.job).prepare(given, text, corpus, _start(init))
    return made


@functools.lru_cache(maxsize=2)
def _start(init: str | None) -> dict[str, bytes]:
    if init is None:
        return {}
    files = read_run(Path(init))
    if WEIGHTS not in files:
        raise InputError(f"init: {init} holds no {WEIGHTS}; give the --out folder of clearhead train")
    return files
