"""`TrainingSpec`: how long, with which optimizer and how large a step."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from clearhead.spec import SpecModel


def _none_where_empty(value: Any) -> Any:
    return None if value in ("", "none", "null") else value


Absent = BeforeValidator(_none_where_empty)
ONLY_FOR = {"betas": "adamw", "momentum": "sgd", "nesterov": "sgd"}


class OptimizerSpec(SpecModel):
    """`adamw` (betas) or `sgd` (momentum, nesterov). `weight_decay` spares biases and the scales of norms."""

    name: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _fields_of_this_one(self) -> OptimizerSpec:
        for field, owner in ONLY_FOR.items():
            if owner != self.name and getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(f"{field} belongs to {owner}, not to {self.name}; take it out")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("both betas must lie in [0, 1)")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class TrainingSpec(SpecModel):
    """One training run. The budget is exactly one of `steps`, `tokens` (real ones) and `seconds` (not repeatable).

    `warmup` is the share of the budget over which the learning rate rises; `clip` bounds the gradient's norm;
    `accumulate` batches make one step, weighted by their tokens: the same step as one batch of them all, except under
    batch norm, which takes its statistics from each part. `precision` bf16 runs matrix products under autocast, which
    is slower on a CPU without the instructions.
    """

    optimizer: OptimizerSpec = OptimizerSpec()
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: float = Field(default=0.1, ge=0, lt=1)
    steps: Annotated[int | None, Absent] = Field(default=None, ge=1)
    tokens: Annotated[int | None, Absent] = Field(default=None, ge=1)
    seconds: Annotated[float | None, Absent] = Field(default=None, gt=0, allow_inf_nan=False)
    clip: Annotated[float | None, Absent] = Field(default=1.0, gt=0, allow_inf_nan=False)
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _one_budget(self) -> TrainingSpec:
        given = [name for name in ("steps", "tokens", "seconds") if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) if given else "none of them"
            raise ValueError(f"a budget is exactly one of steps, tokens and seconds; {got} is given")
        return self

    def spent(self, steps: float, tokens: float, seconds: float) -> float:
        """The share of the budget that these many steps, real tokens and seconds have used up."""
        if self.steps is not None:
            return steps / self.steps
        if self.tokens is not None:
            return tokens / self.tokens
        return seconds / (self.seconds or 1.0)
