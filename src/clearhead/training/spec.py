"""`TrainingSpec`: how long, with which optimizer, how large a step, and what keeps it from learning by heart."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from clearhead.spec import SpecModel
from clearhead.training.fields import Absent, changed, check_owned
from clearhead.training.schedules import ScheduleSpec

DECAY = {"adamw": 0.01, "lamb": 0.01}  # what `weight_decay` is unless it is given; 0 for the others
FULL_BATCH = {"gd", "lbfgs", "em"}
NO_RATE = {"lbfgs": "its line search finds the length of each step", "em": "each of its steps goes all the way"}
ONLY_FOR = {
    "betas": ("adam", "adamw", "lamb"),
    "momentum": ("sgd", "rmsprop"),
    "nesterov": ("sgd",),
    "alpha": ("rmsprop",),
    "history": ("lbfgs",),
    "tolerance": ("lbfgs",),
    "smoothing": ("em",),
}
OF_THE_RATE = ("learning_rate", "schedule", "warmup")
BUDGETS = ("steps", "tokens", "epochs", "seconds")
DRAWN = ("token_noise", "mixup", "r_drop")


class OptimizerSpec(SpecModel):
    """How a gradient becomes a step; a name alone will do. `gd`, `lbfgs` and `em` take all data for every step.

    `weight_decay` is decoupled: each step also shrinks every matrix by that share times the learning rate. It spares
    biases and the scales of norms. What it does to `adam` is `adamw`; a penalty in the loss is `training.l2`.
    `alpha` is how slowly `rmsprop` forgets; `history` how many steps `lbfgs` remembers, and `tolerance` how small the
    gradient's norm is at which it ends; `smoothing` is added to every count by `em`.
    """

    name: Literal["gd", "sgd", "adagrad", "rmsprop", "adam", "adamw", "lamb", "lbfgs", "em"] = "adamw"
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False
    alpha: float = Field(default=0.99, ge=0, lt=1)
    history: int = Field(default=10, ge=1)
    tolerance: float = Field(default=1e-6, ge=0, allow_inf_nan=False)
    smoothing: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        fields = {"name": data} if isinstance(data, str) else data
        if not isinstance(fields, dict):
            return fields
        name = fields.get("name", cls.model_fields["name"].default)
        return {"weight_decay": DECAY.get(name, 0.0) if isinstance(name, str) else 0.0, **fields}

    @model_validator(mode="after")
    def _fields_of_this_one(self) -> OptimizerSpec:
        check_owned(self, self.name, ONLY_FOR)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("both betas must lie in [0, 1)")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if self.weight_decay and self.name == "adam":
            raise ValueError("adam with a decoupled weight_decay is adamw; for a penalty in the loss set training.l2")
        if self.weight_decay and self.name in NO_RATE:
            raise ValueError(f"weight_decay shrinks by a share of the learning rate, and {self.name} has none")
        return self

    @property
    def has_learning_rate(self) -> bool:
        """False where a step has no length to choose, and so nothing to tune."""
        return self.name not in NO_RATE

    @property
    def full_batch(self) -> bool:
        """Whether every step takes all data: `fit` then reads its batches to their end, once, and keeps them."""
        return self.name in FULL_BATCH


class TokenNoiseSpec(SpecModel):
    """What happens to the words that are read, in training alone: `share` of them become [UNK] (`unknown`) or another
    word (`random`), or change places with their neighbour (`swap`). A name alone will do."""

    name: Literal["none", "unknown", "random", "swap"] = "none"
    share: float = Field(default=0.1, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _share_of_something(self) -> TokenNoiseSpec:
        check_owned(self, self.name, {"share": ("unknown", "random", "swap")})
        return self


class TrainingSpec(SpecModel):
    """One training run. The budget is exactly one of `steps`, `tokens` (real ones), `epochs` (passes over the data) and
    `seconds` (not repeatable).

    `warmup` is the share of the budget over which the learning rate rises; `clip` bounds the gradient's norm;
    `accumulate` batches make one step, weighted by their tokens: the same step as one batch of them all, except under
    batch norm, which takes its statistics from each part. `precision` bf16 runs matrix products under autocast, which
    is slower on a CPU without the instructions.

    What is minimised is the mean loss of the asked labels + l1 |w| + l2 / 2 |w|^2, over the matrices w: with plain SGD,
    `l2` is weight decay. To match a penalty against a *summed* loss, divide by the asked labels: CRFsuite's c1 is `l1`
    times their number, its c2 half of `l2` times their number.

    `mixup` is the alpha of Beta(alpha, alpha), `r_drop` the weight of the disagreement between two passes. `checks`
    looks at held-out data are spread evenly over the budget, and the best weights seen are kept; with `patience`,
    training ends after that many looks in a row without a better one.
    """

    optimizer: OptimizerSpec = OptimizerSpec()
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    schedule: ScheduleSpec = ScheduleSpec()
    warmup: float = Field(default=0.1, ge=0, lt=1)
    steps: Annotated[int | None, Absent] = Field(default=None, ge=1)
    tokens: Annotated[int | None, Absent] = Field(default=None, ge=1)
    seconds: Annotated[float | None, Absent] = Field(default=None, gt=0, allow_inf_nan=False)
    epochs: Annotated[float | None, Absent] = Field(default=None, gt=0, allow_inf_nan=False)
    clip: Annotated[float | None, Absent] = Field(default=1.0, gt=0, allow_inf_nan=False)
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    l1: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    l2: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    token_noise: TokenNoiseSpec = TokenNoiseSpec()
    mixup: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    r_drop: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    checks: int = Field(default=0, ge=0)
    patience: Annotated[int | None, Absent] = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _defaults_where_empty(cls, data: Any) -> Any:
        """An empty value takes back what a recipe says of the learning rate, for an optimizer that has none."""
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if not (key in OF_THE_RATE and value == "")}

    @model_validator(mode="after")
    def _one_budget(self) -> TrainingSpec:
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) if given else "none of them"
            raise ValueError(f"a budget is exactly one of {', '.join(BUDGETS)}; {got} is given")
        return self

    @model_validator(mode="after")
    def _what_can_act(self) -> TrainingSpec:
        for check in (_check_rate, _check_full_batch, _check_fixed, _check_looks):
            check(self)
        return self

    def over(self, tokens: int) -> TrainingSpec:
        """The same budget in tokens (or in steps, where each takes all data), if it is epochs of data of so many."""
        if self.epochs is None:
            return self
        if self.optimizer.full_batch:
            return self.model_copy(update={"epochs": None, "steps": math.ceil(self.epochs)})
        return self.model_copy(update={"epochs": None, "tokens": math.ceil(self.epochs * tokens)})

    def spent(self, steps: float, tokens: float, seconds: float) -> float:
        """The share of the budget that these many steps, real tokens and seconds have used up."""
        if self.steps is not None:
            return steps / self.steps
        if self.tokens is not None:
            return tokens / self.tokens
        if self.epochs is not None:
            raise ValueError("a budget of epochs is none before it is known how many tokens one has: see `over`")
        return seconds / (self.seconds or 1.0)


def _check_rate(spec: TrainingSpec) -> None:
    name = spec.optimizer.name
    for field in OF_THE_RATE:
        if name in NO_RATE and changed(spec, field):
            raise ValueError(f"{field} cannot act: {name} has no learning rate, {NO_RATE[name]}; set it to ''")
    if name in NO_RATE and spec.clip is not None and changed(spec, "clip"):
        raise ValueError(f"clip cannot act: {name} does not step along the gradient; take it out")
    if spec.schedule.name == "inverse_sqrt" and spec.warmup == 0:
        raise ValueError("schedule inverse_sqrt falls from the end of the warm-up; set warmup above 0")


def _check_full_batch(spec: TrainingSpec) -> None:
    name = spec.optimizer.name
    if spec.optimizer.full_batch and spec.accumulate > 1:
        raise ValueError(f"accumulate has nothing to gather: {name} takes all batches for every step; take it out")
    if name == "em" and (spec.l1 or spec.l2):
        raise ValueError(
            "l1 and l2 cannot act: em's step is the likelihood's maximum; set training.optimizer.smoothing"
        )


def _check_fixed(spec: TrainingSpec) -> None:
    """`lbfgs` and `em` climb one fixed function of all data."""
    name = spec.optimizer.name
    if name not in NO_RATE:
        return
    for field in DRAWN:
        if changed(spec, field):
            raise ValueError(f"{field} draws anew at each step, and {name} needs the same loss throughout; take it out")
    if spec.precision == "bf16":
        raise ValueError(f"precision bf16 is too coarse for {name}, which needs exact sums; set it to fp32")


def _check_looks(spec: TrainingSpec) -> None:
    if spec.patience is not None and spec.patience + 2 > spec.checks:
        raise ValueError(
            f"patience {spec.patience} cannot end training before {spec.checks} checks do; set training.checks to at "
            f"least {spec.patience + 2}"
        )
