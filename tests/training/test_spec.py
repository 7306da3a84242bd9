"""What a training spec takes, and what it refuses and why."""

from __future__ import annotations

import json

import pytest

from clearhead.errors import InputError
from clearhead.spec import validate
from clearhead.training.spec import OptimizerSpec, TrainingSpec


def test_text_is_read_by_the_declared_types() -> None:
    data = {
        "steps": "200",
        "learning_rate": "1e-3",
        "clip": "none",
        "optimizer": {"name": "adamw", "betas": ["0.9", "0.95"]},
    }
    spec = validate(TrainingSpec, data)
    assert (spec.steps, spec.learning_rate, spec.clip, spec.optimizer.betas) == (200, 1e-3, None, (0.9, 0.95))


def test_an_optimizer_may_be_its_name_alone() -> None:
    assert validate(TrainingSpec, {"steps": 1, "optimizer": "sgd"}).optimizer.name == "sgd"


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_plain_data_and_back(name: str) -> None:
    spec = TrainingSpec(tokens=9, optimizer=OptimizerSpec(name=name))  # type: ignore[arg-type]
    assert validate(TrainingSpec, json.loads(spec.model_dump_json())) == spec


def test_an_empty_value_takes_a_budget_back() -> None:
    spec = validate(TrainingSpec, {"steps": "", "tokens": "5000"})
    assert (spec.steps, spec.tokens) == (None, 5000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "exactly one of steps, tokens and seconds; none of them is given"),
        ({"steps": 5, "seconds": 2}, "exactly one of steps, tokens and seconds; steps and seconds is given"),
        ({"steps": 0}, "training.steps"),
        ({"steps": 5, "learning_rate": "fast"}, "training.learning_rate"),
        ({"steps": 5, "schedule": "cosin"}, "did you mean 'cosine'?"),
        ({"steps": 5, "optimizer": "adam"}, "did you mean 'adamw'?"),
        ({"steps": 5, "optimizer": {"momentum": 0.9}}, "momentum belongs to sgd, not to adamw"),
        ({"steps": 5, "optimizer": {"name": "sgd", "betas": [0.9, 0.9]}}, "betas belongs to adamw, not to sgd"),
        ({"steps": 5, "optimizer": {"name": "sgd", "nesterov": True}}, "nesterov needs a momentum above 0"),
        ({"steps": 5, "optimizer": {"betas": [0.9, 1.0]}}, "both betas must lie in [0, 1)"),
        ({"steps": 5, "warmup": 1.0}, "training.warmup"),
        ({"steps": 5, "warm_up": 0.1}, "did you mean 'warmup'?"),
        ({"steps": 5, "precision": "fp16"}, "training.precision"),
    ],
)
def test_a_contradiction_or_a_slip_is_refused_by_name(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        validate(TrainingSpec, data, "training")
    assert message in str(refusal.value)


@pytest.mark.parametrize(("budget", "share"), [({"steps": 10}, 0.2), ({"tokens": 50}, 0.6), ({"seconds": 4}, 0.25)])
def test_the_spent_share_is_that_of_the_chosen_budget(budget: dict[str, int], share: float) -> None:
    assert TrainingSpec(**budget).spent(2, 30, 1.0) == pytest.approx(share)  # type: ignore[arg-type]
