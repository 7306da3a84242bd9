"""`compare`: any switch of any recipe as an experiment: equal budgets, paired seeds, an equal sweep for every arm."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clearhead.bilingual import Bilingual, same
from clearhead.errors import InputError
from clearhead.evaluation.statistics import Sample, holm, holm_shares, interval, smallest_detectable, tail
from clearhead.experiments.answer import CorpusRecord
from clearhead.experiments.evidence import Evidence
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.recipe import Recipe
from clearhead.experiments.trained import Trained
from clearhead.experiments.verdict import ALPHA
from clearhead.experiments.views import Axis, View
from clearhead.jobs.data import Job
from clearhead.objectives import menu as objectives

NAME = "compare"
METRIC = "held_out"
SWEEP = (1 / 3, 1.0, 3.0)
ANOTHER_SEED = 500_000


@dataclass(frozen=True)
class Variation:
    """What is compared: `arms` gives each arm's dotted overrides, the first being the one that others are held to."""

    recipe_name: str
    recipe: Mapping[str, Any]
    arms: Mapping[str, str]
    seeds: int
    margin: float
    tune: bool
    overrides: tuple[str, ...] = field(default=())


def arms_of(vary: Sequence[str], noise_floor: bool) -> dict[str, str]:
    """`{name: overrides}` for every combination of the varied switches; an A/A pair for the noise floor.

    Raises `InputError` where there is nothing to compare or a switch is not of the form key=a,b.
    """
    if noise_floor:
        if vary:
            raise InputError("--noise-floor compares a recipe with itself: leave --vary out")
        return {"A": "", "A again": f"seed={ANOTHER_SEED}"}
    switches = [_switch(assignment) for assignment in vary]
    combinations = list(itertools.product(*switches))
    if len(combinations) < 2:
        raise InputError("nothing to compare: give --vary key=a,b with two values or more, or --noise-floor")
    named: dict[str, str] = {}
    for chosen in combinations:
        short = [f"{key.rpartition('.')[2]}={value}" for key, value in chosen]
        name = " ".join(short) if len(short) > 1 else chosen[0][1]
        twins = sum(existing == name or existing.startswith(f"{name} (") for existing in named)
        named[f"{name} ({twins + 1})" if twins else name] = " ".join(f"{key}={value}" for key, value in chosen)
    return named


def _switch(assignment: str) -> list[tuple[str, str]]:
    key, equals, values = assignment.partition("=")
    if not (equals and key and all(values.split(","))):
        raise InputError(f"--vary {assignment}: expected key=a,b such as model.norm=layer,batch")
    return [(key, value.strip()) for value in values.split(",")]


def experiment_of(variation: Variation) -> Experiment:
    """The experiment that the comparison is. Raises `InputError` where an arm's recipe is not valid."""
    run = Trained(variation.recipe)
    recipes = [run.resolved(_joined(arm, variation)) for arm in variation.arms.values()]
    _check_comparable(recipes)
    tune = _tuned(recipes) if variation.tune else None
    looks = (variation.seeds,)
    arms = {name: _joined(arm, variation) for name, arm in variation.arms.items()}
    return Experiment(NAME, run, arms, seeds=BySize(looks, looks), tune=tune, needs_text=True)


def _tuned(recipes: Sequence[Recipe]) -> Tune | None:
    """The equal sweep of the learning rate; None where no optimizer has one."""
    having = [recipe.training.optimizer.has_learning_rate for recipe in recipes]
    if not any(having):
        return None
    if not all(having):
        raise InputError("one arm's optimizer has a learning rate to tune and another's has none: add --no-tune")
    rates = [recipe.training.learning_rate for recipe in recipes]
    if len(set(rates)) > 1:
        raise InputError("the learning rate is varied and tuned at once: add --no-tune")
    return Tune("learning_rate", tuple(rates[0] * factor for factor in SWEEP), METRIC)


def _check_comparable(recipes: Sequence[Recipe]) -> None:
    """Raises `InputError` where arms would be scored on other tokens or asked something else."""
    if any(recipe.text != recipes[0].text for recipe in recipes):
        raise InputError("text is varied: losses on other tokens cannot be compared; use --set text... for all arms")
    if any(recipe.data != recipes[0].data for recipe in recipes):
        raise InputError("data is varied: losses on other examples cannot be compared; use --set data... for all arms")
    first = _asked(recipes[0])
    for asked in map(_asked, recipes):
        differing = [key for key in {**first, **asked} if first.get(key) != asked.get(key)]
        if differing:
            raise InputError(
                f"objective.{differing[0]} is varied: what is asked differs, so losses cannot be compared; "
                "use --set for all arms"
            )


def _asked(recipe: Recipe) -> dict[str, Any]:
    """What is asked of the trunk: the objective without the fields that only say how it is learnt."""
    asking: frozenset[str] = objectives.load(recipe.objective["name"]).ASKING
    return {key: value for key, value in recipe.objective.items() if key == "name" or key in asking}


def _joined(arm: str, variation: Variation) -> str:
    return " ".join(filter(None, [*variation.overrides, arm]))


class Arm(BaseModel):
    """One arm: its cost, its held-out loss, and its paired difference to the first arm.

    [low, high] is a 95 % interval of the value; [difference_low, difference_high] is at the level that Holm's
    procedure gives this arm, so that it agrees with the outcome.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    changes: str
    parameters: int
    tokens: int
    learning_rate: float
    value: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p_holm: float | None
    outcome: Literal["baseline", "better", "worse", "equivalent", "undecided"]
    reason: str
    seconds: float


class Comparison(BaseModel):
    """What `clearhead compare --json` prints and `comparison.json` holds. Lower values of the metric are better."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    recipe: str
    metric: str
    unit: str
    margin: float
    budget: dict[str, float]
    seeds: int
    arms: list[Arm]
    smallest_detectable: float | None = Field(description="the smallest difference that these seeds show, power 0.8")
    tuning_seconds: float
    corpus: CorpusRecord
    facts: dict[str, Any]
    figures: list[str]
    evidence: str
    report: str
    seconds: float


@dataclass(frozen=True)
class Judged:
    """The paired differences of one arm to the first, and what they say."""

    sample: Sample
    low: float
    high: float
    p_holm: float
    outcome: Literal["better", "worse", "equivalent", "undecided"]
    reason: str
    detectable: float


def judge_arms(evidence: Evidence, arms: Sequence[str], margin: float) -> dict[str, Judged]:
    """`{arm: Judged}` for all arms but the first. Equivalent: all of the interval within the margin, written before."""
    first, *others = arms
    baseline = evidence.by_seed(NAME, METRIC, first)
    samples = {}
    for arm in others:
        ours = evidence.by_seed(NAME, METRIC, arm)
        samples[arm] = Sample(tuple(ours[seed] - baseline[seed] for seed in ours if seed in baseline))
    p_values = [tail(sample, 0.0) if _finite(sample) else 1.0 for sample in samples.values()]
    adjusted, shares = holm(p_values), holm_shares(p_values, ALPHA)
    return {arm: _judge(sample, margin, adjusted[i], shares[i]) for i, (arm, sample) in enumerate(samples.items())}


def _finite(sample: Sample) -> bool:
    return all(map(math.isfinite, sample.values))


def _judge(sample: Sample, margin: float, p_holm: float, alpha: float) -> Judged:
    if sample.n < 2 or not _finite(sample):
        broken = sum(not math.isfinite(number) for number in sample.values)
        reason = f"{broken} of {sample.n} seeds diverged" if broken else "fewer than two seeds: no interval"
        return Judged(sample, -math.inf, math.inf, 1.0, "undecided", reason, math.inf)
    low, high = interval(sample, alpha)
    least = smallest_detectable(sample.sd, sample.n, alpha)
    if -margin <= low and high <= margin:
        return Judged(sample, low, high, p_holm, "equivalent", "", least)
    if high < 0 or low > 0:
        return Judged(sample, low, high, p_holm, "better" if high < 0 else "worse", "", least)
    reason = f"the interval holds 0 and reaches beyond the margin of {margin:g}"
    return Judged(sample, low, high, p_holm, "undecided", reason, least)


UNITS: dict[Job, Bilingual] = {
    "language": Bilingual("nats a token", "nat／token"),
    "tagging": Bilingual("nats a token", "nat／token"),
    "classification": Bilingual("nats a text", "nat／文本"),
    "translation": Bilingual("nats a token", "nat／token"),
}


def views_of(job: Job) -> list[View]:
    """Held-out loss by arm, and training loss along steps."""
    unit = UNITS[job]
    curves = View(
        "learning_curves",
        "lines",
        NAME,
        ("train_loss",),
        Axis("step", Bilingual("step", "步")),
        Axis("value", Bilingual("training loss", "训练损失")),
        Bilingual("Training loss", "训练损失"),
        Bilingual(
            "What each arm itself minimises: arms of unlike losses differ in unit. "
            "Each point is the mean over the steps since the one before.",
            "各组各自最小化的量：损失不同的组单位不同。每点为与前一点之间各步的平均。",
        ),
    )
    scores = View(
        "held_out",
        "bars",
        NAME,
        (METRIC,),
        Axis("arm", same("")),
        Axis("value", Bilingual(f"held-out loss, {unit.en}", f"留出集损失，{unit.zh}")),
        Bilingual("Held-out loss after training", "训练后的留出集损失"),
        Bilingual("The same held-out examples for every arm.", "各组用同样的留出样本。"),
    )
    return [scores, curves]
