"""Training as a recipe has it: its stages one after the other, scored on held-out data on the way, the best kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from clearhead.batches.sampling import evaluation_batches, training_batches
from clearhead.experiments.recipe import Recipe
from clearhead.jobs.data import Prepared
from clearhead.models import menu as models
from clearhead.objectives import menu as objectives
from clearhead.text.inventory import Inventory
from clearhead.training.checkpoints import start_from
from clearhead.training.early_stopping import looks_since_best
from clearhead.training.loop import Step, fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

STAGE_STRIDE = 7_919  # a prime, so that the seeds of stages and of runs do not meet


@dataclass(frozen=True)
class Staged:
    """A step of one of the stages: `stage` 0 .. `stages` - 1, the last of them the recipe's own objective."""

    stage: int
    stages: int
    step: Step


@dataclass
class Best:
    """The best weights seen on held-out data, by a score of which less is better."""

    score: float = float("inf")
    weights: dict[str, Tensor] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)

    def see(self, score: float, task: nn.Module) -> None:
        self.scores.append(score)
        if score < self.score or not self.weights:
            self.score, self.weights = score, copy.deepcopy(task.state_dict())


def build_task(recipe: Recipe, inventory: Inventory, seed: int, start: tuple[bytes, str] | None = None) -> Task:
    """An untrained task; equal seeds give equal weights wherever names and shapes agree.

    `start` is the weights of an earlier run, and where they lie: its trunk is where this one begins.
    """
    torch.manual_seed(seed)
    trunk = models.load(recipe.model["name"])
    model: nn.Module = trunk.build(trunk.Spec(**_fields(recipe.model)), inventory)
    asked = [recipe.objective, *([recipe.beside] if recipe.beside else [])]
    task = Task(model, *(build_objective(one, model, inventory) for one in asked), turns=recipe.turns)
    if start is not None:
        start_from(model, *start)
    return task


def build_objective(section: dict[str, Any], model: nn.Module, inventory: Inventory) -> Any:
    """The objective that a section of a recipe names, with a fresh head."""
    module = objectives.load(section["name"])
    return module.build(module.Spec(**_fields(section)), model, inventory)


def _fields(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "name"}


def count_parameters(task: nn.Module) -> int:
    """How many numbers are trained; tied ones once."""
    return sum(parameter.numel() for parameter in task.parameters())


def train(
    task: Task, recipe: Recipe, data: Prepared, seed: int, score: Callable[[Task], float] | None = None
) -> Iterator[Staged]:
    """The steps of all stages. At the end the task has the best of the weights that `score` (less is better) saw.

    `training.checks` says how often it looks; with `patience` training ends after that many looks without a better.
    """
    stages = len(recipe.pretrain) + 1
    for number, stage in enumerate(recipe.pretrain):
        torch.manual_seed(seed + number)
        before = Task(task.model, build_objective(stage.objective, task.model, data.encoder.inventory))
        for step in _fitted(before, recipe, stage.training, data, seed + (number + 1) * STAGE_STRIDE):
            yield Staged(number, stages, step)
    best = Best()
    steps = _fitted(task, recipe, recipe.training, data, seed)
    spec = recipe.training.over(_tokens(data))
    for step in steps if score is None else _watched(task, steps, spec, best, score):
        yield Staged(stages - 1, stages, step)
    if best.weights:
        task.load_state_dict(best.weights)


def _fitted(task: Task, recipe: Recipe, spec: TrainingSpec, data: Prepared, seed: int) -> Iterator[Step]:
    inventory = data.encoder.inventory
    pad = inventory.vocabulary.pad
    spec = spec.over(_tokens(data))
    if spec.optimizer.full_batch:
        return fit(task, evaluation_batches(data.train, recipe.batches, pad=pad), spec, seed=seed, inventory=inventory)
    return fit(
        task, training_batches(data.train, recipe.batches, seed=seed, pad=pad), spec, seed=seed, inventory=inventory
    )


def _tokens(data: Prepared) -> int:
    return sum(len(data.train[number]) for number in range(len(data.train)))


def _watched(
    task: Task, steps: Iterator[Step], spec: TrainingSpec, best: Best, score: Callable[[Task], float]
) -> Iterator[Step]:
    """The steps, with a look at held-out data whenever another share of the budget is spent."""
    looked = 0
    for step in steps:
        yield step
        due = int(spec.spent(step.number, step.tokens, step.seconds) * spec.checks + 1e-9)
        if due > looked:
            looked = due
            best.see(score(task), task)
            if spec.patience is not None and looks_since_best(best.scores) >= spec.patience:
                return
