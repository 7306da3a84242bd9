"""What a training spec takes, and what it refuses and why."""

from __future__ import annotations

import json
from typing import get_args

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


@pytest.mark.parametrize("name", get_args(OptimizerSpec.model_fields["name"].annotation))
def test_plain_data_and_back(name: str) -> None:
    spec = TrainingSpec(tokens=9, optimizer=OptimizerSpec(name=name))  # type: ignore[arg-type]
    assert validate(TrainingSpec, json.loads(spec.model_dump_json())) == spec


def test_an_empty_value_takes_a_budget_back() -> None:
    spec = validate(TrainingSpec, {"steps": "", "tokens": "5000"})
    assert (spec.steps, spec.tokens) == (None, 5000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "exactly one of steps, tokens, epochs, seconds; none of them is given"),
        ({"steps": 5, "seconds": 2}, "exactly one of steps, tokens, epochs, seconds; steps and seconds is given"),
        ({"steps": 0}, "training.steps"),
        ({"steps": 5, "learning_rate": "fast"}, "training.learning_rate"),
        ({"steps": 5, "schedule": "cosin"}, "did you mean 'cosine'?"),
        ({"steps": 5, "optimizer": "adamv"}, "did you mean 'adam'?"),
        ({"steps": 5, "optimizer": {"momentum": 0.9}}, "momentum belongs to sgd, rmsprop, not to adamw"),
        (
            {"steps": 5, "optimizer": {"name": "sgd", "betas": [0.9, 0.9]}},
            "betas belongs to adam, adamw, lamb, not to sgd",
        ),
        ({"steps": 5, "optimizer": {"name": "sgd", "nesterov": True}}, "nesterov needs a momentum above 0"),
        ({"steps": 5, "optimizer": {"betas": [0.9, 1.0]}}, "both betas must lie in [0, 1)"),
        ({"steps": 5, "warmup": 1.0}, "training.warmup"),
        ({"steps": 5, "warm_up": 0.1}, "did you mean 'warmup'?"),
        ({"steps": 5, "precision": "fp16"}, "training.precision"),
        (
            {"steps": 5, "optimizer": {"name": "adam", "weight_decay": 0.1}},
            "adam with a decoupled weight_decay is adamw",
        ),
        (
            {"steps": 5, "optimizer": {"name": "em", "weight_decay": 0.1}},
            "a share of the learning rate, and em has none",
        ),
        ({"steps": 5, "optimizer": {"history": 5}}, "history belongs to lbfgs, not to adamw"),
        ({"steps": 5, "optimizer": {"name": "lbfgs", "smoothing": 1}}, "smoothing belongs to em, not to lbfgs"),
        (
            {"steps": 5, "optimizer": "lbfgs", "learning_rate": 0.1},
            "learning_rate cannot act: lbfgs has no learning rate",
        ),
        ({"steps": 5, "optimizer": "em", "schedule": "cosine"}, "schedule cannot act: em has no learning rate"),
        ({"steps": 5, "optimizer": "em", "warmup": 0}, "warmup cannot act: em has no learning rate"),
        ({"steps": 5, "optimizer": "lbfgs", "clip": 0.5}, "clip cannot act: lbfgs does not step along the gradient"),
        ({"steps": 5, "optimizer": "gd", "accumulate": 2}, "accumulate has nothing to gather: gd takes all batches"),
        ({"steps": 5, "optimizer": "em", "l2": 0.1}, "l1 and l2 cannot act: em's step is the likelihood's maximum"),
        ({"steps": 5, "optimizer": "lbfgs", "mixup": 0.2}, "mixup draws anew at each step, and lbfgs needs the same"),
        ({"steps": 5, "optimizer": "lbfgs", "r_drop": 1}, "r_drop draws anew at each step, and lbfgs needs the same"),
        ({"steps": 5, "optimizer": "em", "token_noise": "swap"}, "token_noise draws anew at each step, and em needs"),
        ({"steps": 5, "optimizer": "lbfgs", "precision": "bf16"}, "precision bf16 is too coarse for lbfgs"),
        (
            {"steps": 5, "schedule": "inverse_sqrt", "warmup": 0},
            "falls from the end of the warm-up; set warmup above 0",
        ),
        ({"steps": 5, "token_noise": {"share": 0.2}}, "share belongs to unknown, random, swap, not to none"),
        (
            {"steps": 5, "patience": 3},
            "patience 3 cannot end training before 0 checks do; set training.checks to at least 5",
        ),
        ({"steps": 5, "patience": 3, "checks": 4}, "set training.checks to at least 5"),
        ({"steps": 5, "l1": -0.1}, "training.l1"),
        ({"steps": 5, "mixup": -0.1}, "training.mixup"),
    ],
)
def test_a_contradiction_or_a_slip_is_refused_by_name(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        validate(TrainingSpec, data, "training")
    assert message in str(refusal.value)


@pytest.mark.parametrize(("budget", "share"), [({"steps": 10}, 0.2), ({"tokens": 50}, 0.6), ({"seconds": 4}, 0.25)])
def test_the_spent_share_is_that_of_the_chosen_budget(budget: dict[str, int], share: float) -> None:
    assert TrainingSpec(**budget).spent(2, 30, 1.0) == pytest.approx(share)  # type: ignore[arg-type]


def test_decay_is_on_only_where_it_is_the_custom() -> None:
    decays = {
        name: OptimizerSpec(name=name).weight_decay for name in get_args(OptimizerSpec.model_fields["name"].annotation)
    }
    assert {name for name, decay in decays.items() if decay} == {"adamw", "lamb"}
    assert OptimizerSpec(name="adamw", weight_decay=0).weight_decay == 0


def test_an_empty_value_takes_back_what_a_recipe_says_of_the_rate() -> None:
    recipe = {"steps": "5", "learning_rate": "6e-3", "schedule": "cosine", "warmup": "0.2", "optimizer": "lbfgs"}
    assert validate(TrainingSpec, {**recipe, "learning_rate": "", "schedule": "", "warmup": ""}) == TrainingSpec(
        steps=5,
        optimizer="lbfgs",  # type: ignore[arg-type]
    )


def test_only_what_steps_along_the_gradient_has_a_rate_to_tune() -> None:
    names = get_args(OptimizerSpec.model_fields["name"].annotation)
    assert {name for name in names if not OptimizerSpec(name=name).has_learning_rate} == {"em", "lbfgs"}
    assert {name for name in names if OptimizerSpec(name=name).full_batch} == {"em", "gd", "lbfgs"}


def test_epochs_become_tokens_or_steps_that_take_all_data() -> None:
    assert TrainingSpec(epochs=2.5).over(101).tokens == 253
    assert TrainingSpec(epochs=3, optimizer="gd").over(101).steps == 3  # type: ignore[arg-type]
    assert TrainingSpec(steps=7).over(101).steps == 7
