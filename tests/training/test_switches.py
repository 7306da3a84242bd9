"""Every pair of the training switches is trained two steps with a finite loss, or refused with a reason."""

from __future__ import annotations

import itertools
import math
import sys
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.objectives import masked_lm
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.loop import fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

sys.path.insert(0, str(Path(__file__).parent))
from classifying import Bag, Whole, classifier, texts

INVENTORY = Inventory(Vocabulary(size=20), 16)
SWITCHES: dict[str, list[Any]] = {
    "task": ["classes", "whole", "words"],
    "dropout": [0.1, 0.0],
    "optimizer": [
        *("adamw", "gd", "sgd", "adagrad", "rmsprop", "adam", "lamb", "lbfgs", "em"),
        {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ],
    "schedule": ["linear", "cosine", "inverse_sqrt", {"name": "step", "drops": 1}],
    "warmup": [0.1, 0.0],
    "clip": [1.0, None, 0.01],
    "accumulate": [1, 3],
    "precision": ["fp32", "bf16"],
    "l1": [0.0, 0.01],
    "l2": [0.0, 0.01],
    "token_noise": ["none", "unknown", "random", "swap"],
    "mixup": [0.0, 0.2],
    "r_drop": [0.0, 1.0],
    "checks": [0, 5],
    "patience": [None, 2],
}
PLAIN = {name: values[0] for name, values in SWITCHES.items()}
OTHERS = [(name, value) for name, values in SWITCHES.items() for value in values[1:]]
PAIRS = [(one, other) for one, other in itertools.combinations(OTHERS, 2) if one[0] != other[0]]
REASONS = {  # how a refusal names a switch, where it is not by its own name
    "task": ("word by word", "whole sequences"),
    "dropout": ("dropout", "dropped"),
    "optimizer": ("lbfgs", "em counts"),
}


def make(kind: str, dropout: float) -> tuple[Task, list[Batch]]:
    if kind != "words":
        return classifier(dropout, Whole() if kind == "whole" else None).float(), [texts([4, 7, 3]) for _ in range(3)]
    torch.manual_seed(0)
    trunk = Bag(dropout)
    rng = np.random.default_rng(0)
    batches = [collate([rng.integers(5, 20, length) for length in (6, 9, 4)], packed=True) for _ in range(3)]
    return Task(trunk, masked_lm.build(masked_lm.Spec(probability=0.4), trunk, INVENTORY)), batches


def outcome(values: dict[str, Any]) -> str:
    """ "trained", or the reason of the refusal."""
    fields = {name: value for name, value in values.items() if name not in ("task", "dropout")}
    try:
        spec = TrainingSpec(steps=2, **fields)
    except ValueError as refusal:
        return str(refusal)
    task, batches = make(values["task"], values["dropout"])
    stream = iter(batches) if spec.optimizer.full_batch else islice(cycle(batches), 9)
    try:
        steps = list(fit(task, stream, spec, seed=0, inventory=INVENTORY))
    except InputError as refusal:
        return str(refusal)
    assert 1 <= len(steps) <= 2
    assert all(math.isfinite(step.loss) and math.isfinite(step.gradient_norm) for step in steps)
    assert all(bool(torch.isfinite(parameter).all()) for parameter in task.parameters())
    return "trained"


def with_these(*chosen: tuple[str, Any]) -> dict[str, Any]:
    """All switches as they come but `chosen`; lbfgs without the dropout that it cannot have, unless that is chosen."""
    values = {**PLAIN, **dict(chosen)}
    return {**values, "dropout": 0.0} if values["optimizer"] == "lbfgs" and "dropout" not in dict(chosen) else values


def test_every_pair_is_trained_or_refused_with_a_reason() -> None:
    trained = 0
    for one, other in PAIRS:
        result = outcome(with_these(one, other))
        names = [word for name, _ in (one, other) for word in (name, *REASONS.get(name, ()))]
        assert result == "trained" or any(name in result for name in names), (one, other, result)
        trained += result == "trained"
    assert trained > 0.7 * len(PAIRS)


def test_each_switch_alone_trains_but_those_that_need_another() -> None:
    refused = [(name, value) for name, value in OTHERS if outcome(with_these((name, value))) != "trained"]
    assert refused == [("optimizer", "em"), ("patience", 2)]
