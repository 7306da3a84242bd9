"""`Experiment`: a measurement over arms, doses and seeds. A cell (experiment, arm, dose, seed) is the unit of work."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from clearhead.experiments.evidence import Measured, Scalar

Size = Literal["quick", "standard"]
T_co = TypeVar("T_co", covariant=True)
Settings = Mapping[str, Any]

TUNING_SEED = 1_000_000


@dataclass(frozen=True)
class BySize(Generic[T_co]):
    """A setting for each fixed amount of work."""

    quick: T_co
    standard: T_co

    def at(self, size: Size) -> T_co:
        return self.quick if size == "quick" else self.standard


NO_SETTINGS: BySize[Settings] = BySize({}, {})


@dataclass(frozen=True)
class Tune:
    """A small sweep that every arm gets alike: `over` is given each value on seeds of its own, never measured on.

    The value with the least mean `minimise` is what the arm then runs with. With `at` the sweep is made at that one
    level of a dose and serves all levels.
    """

    over: str
    values: tuple[float, ...]
    minimise: str
    seeds: int = 1
    at: Mapping[str, Scalar] = field(default_factory=dict)
    settings: BySize[Settings] | None = None


@dataclass(frozen=True)
class Experiment:
    """`run(arm, seed, **dose, **settings)` -> `{measure: number}` over arms x doses x seeds.

    `arms` maps names to what `run` is given (a tuple: the names themselves); `seeds` are the looks fixed beforehand,
    as growing numbers of seeds; `settings` are the fixed amounts of work. With `needs_text`, `run` is given
    `corpus=`, the user's text; with `needs_checkpoint`, `checkpoint=`, a `Found` one of BERT's kind, and its claims are
    out of scope where there is none. Arms share seeds, so initial weights and data order are paired.

    `transfer`: what is repeated at `standard` to see whether the sign of each measured claim holds, by other settings
    (a second size). Without it what needs the text is repeated on a second one.
    """

    name: str
    run: Callable[..., Measured]
    arms: tuple[str, ...] | Mapping[str, str]
    dose: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    seeds: BySize[tuple[int, ...]] = BySize((4, 8), (8, 16, 32))
    settings: BySize[Settings] = NO_SETTINGS
    tune: Tune | None = None
    needs_text: bool = False
    needs_checkpoint: bool = False
    transfer: Settings | None = None

    def given(self, arm: str) -> str:
        """What `run` is given for the arm of this name."""
        return self.arms[arm] if isinstance(self.arms, Mapping) else arm

    def doses(self) -> Iterator[dict[str, Scalar]]:
        """Every combination of levels, in order; one empty dose where there is none."""
        for levels in itertools.product(*self.dose.values()):
            yield dict(zip(self.dose, levels, strict=True))


@dataclass(frozen=True)
class Cell:
    """One observation to be made: plain data and a function that a worker process can import."""

    experiment: str
    arm: str
    dose: Mapping[str, Scalar]
    seed: int
    run: Callable[..., Measured]
    arguments: Mapping[str, Any]
    tuned: Mapping[str, float] = field(default_factory=dict)

    def measure(self) -> Measured:
        return self.run(seed=self.seed, **self.arguments)


def cell(
    experiment: Experiment, arm: str, dose: Mapping[str, Scalar], seed: int, size: Size, extra: Mapping[str, Any]
) -> Cell:
    """The cell of one arm, dose and seed; `extra` adds what the run is to know besides (the text, a tuned value)."""
    arguments = {"arm": experiment.given(arm), **dose, **experiment.settings.at(size), **extra}
    return Cell(experiment.name, arm, dose, seed, experiment.run, arguments)
