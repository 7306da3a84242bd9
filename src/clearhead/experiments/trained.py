"""`Trained`: the measurement of an arm that is a recipe with overrides: train it, then measure it on held-out text."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from clearhead.batches.sampling import BatchSpec, evaluation_batches, training_batches
from clearhead.evaluation.metrics import held_out
from clearhead.experiments.evidence import Along, Measured, Scalar
from clearhead.experiments.recipe import Recipe, resolve
from clearhead.models import menu as models
from clearhead.objectives import menu as objectives
from clearhead.text.corpora import Corpus
from clearhead.text.inventory import Inventory
from clearhead.text.tokenized import TextSpec, TokenizedText, tokenize_corpus
from clearhead.training.loop import Diverged, fit
from clearhead.training.task import Task

EVALUATION_SEED = 7
EVALUATION_TOKENS = 4096  # in a batch, whatever the training batch
CURVE_POINTS = 24


@dataclass(frozen=True)
class Workbench:
    """A trained task with all that it was trained on, as a probe sees it."""

    task: Task
    text: TokenizedText
    recipe: Recipe
    seed: int


Probe = Callable[[Workbench], Measured]


@dataclass(frozen=True)
class Trained:
    """`run(arm, seed, corpus, **dose)`: trains the recipe under the arm's overrides and measures it.

    `recipe` is plain data (`read_recipe`); an arm is dotted overrides with spaces between. `keys` gives the dotted
    key that a dose or setting stands for; `learning_rate` stands for `training.learning_rate`. `probes` add measures.
    Measured always: `held_out` (nats per asked token), `train_loss` along steps, `parameters`, `tokens`.
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
        text = tokenized(corpus, recipe.text)
        seed = seed + recipe.seed
        task = build_task(recipe, text, seed)
        try:
            curve, tokens = _train(task, recipe, text, seed)
        except Diverged:
            return {"held_out": float("nan"), "parameters": float(count_parameters(task)), "tokens": 0.0}
        spec = BatchSpec(layout=recipe.batches.layout, tokens=EVALUATION_TOKENS)
        batches = evaluation_batches(text.validation, spec, pad=text.tokenizer.vocabulary.pad)
        measured: dict[str, float | Along] = {
            "held_out": held_out(task, batches, seed=EVALUATION_SEED).mean,
            "train_loss": Along("step", curve),
            "parameters": float(count_parameters(task)),
            "tokens": float(tokens),
        }
        for probe in self.probes:
            measured.update(probe(Workbench(task, text, recipe, seed)))
        return measured


def build_task(recipe: Recipe, text: TokenizedText, seed: int) -> Task:
    """An untrained task; equal seeds give equal weights wherever names and shapes agree."""
    torch.manual_seed(seed)
    inventory = Inventory(text.tokenizer.vocabulary, recipe.text.max_length)
    trunk = models.load(recipe.model["name"])
    model = trunk.build(trunk.Spec(**_fields(recipe.model)), inventory)
    asked = objectives.load(recipe.objective["name"])
    return Task(model, asked.build(asked.Spec(**_fields(recipe.objective)), model, inventory))


def _fields(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "name"}


def count_parameters(task: Task) -> int:
    return sum(parameter.numel() for parameter in task.parameters())


def _train(task: Task, recipe: Recipe, text: TokenizedText, seed: int) -> tuple[dict[Scalar, float], int]:
    """The training loss, averaged over the steps between a few points, and the tokens seen."""
    batches = training_batches(text.train, recipe.batches, seed=seed, pad=text.tokenizer.vocabulary.pad)
    losses: list[float] = []
    tokens = 0
    for step in fit(task, batches, recipe.training, seed=seed):
        losses.append(step.loss)
        tokens = step.tokens
    return dict(_thinned(losses)), tokens


def _thinned(losses: list[float]) -> Iterator[tuple[Scalar, float]]:
    width = max(1, len(losses) // CURVE_POINTS)
    for start in range(0, len(losses) - width + 1, width):
        yield start + width, sum(losses[start : start + width]) / width


@functools.lru_cache(maxsize=4)
def tokenized(corpus: Corpus, spec: TextSpec) -> TokenizedText:
    """The tokenized text, from the cache on disk where there is one."""
    return tokenize_corpus(corpus, spec, cache_folder())


def cache_folder() -> Path:
    """Where tokenized text is kept: $CLEARHEAD_CACHE, else the user's cache folder, else the temporary folder."""
    named = os.environ.get("CLEARHEAD_CACHE") or os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(named) if named else Path.home() / ".cache"
        (folder / "clearhead").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder / "clearhead"):
            return folder / "clearhead"
    except (OSError, RuntimeError):
        return Path(tempfile.gettempdir()) / "clearhead"
