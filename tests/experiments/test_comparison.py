"""Comparisons: which arms there are, how often an arm is falsely found better, and small real ones from end to end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from clearhead import comparing
from clearhead.cli import run
from clearhead.comparing import Comparing
from clearhead.errors import InputError
from clearhead.experiments.comparison import (
    ANOTHER_SEED,
    METRIC,
    NAME,
    SWEEP,
    Comparison,
    Judged,
    Variation,
    arms_of,
    experiment_of,
    judge_arms,
)
from clearhead.experiments.evidence import Evidence, Row
from clearhead.experiments.recipe import read_recipe, recipe_names, resolve
from clearhead.experiments.trained import Trained

Compare = Callable[..., dict[str, Any]]
RUNS = 400
ALLOWED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / RUNS)
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "comparison-v1.json"
TINY = ("model.hidden_size=16", "model.num_hidden_layers=1", "model.num_attention_heads=2", "batches.tokens=512")
ARM_FIELDS = {
    *("name", "changes", "parameters", "tokens", "learning_rate", "value", "low", "high", "difference"),
    *("difference_low", "difference_high", "p_holm", "outcome", "seconds"),
}


def judged(values: Mapping[str, Sequence[float]], margin: float = 0.02) -> dict[str, Judged]:
    rows = [Row(NAME, arm, {}, seed, METRIC, float(x)) for arm, found in values.items() for seed, x in enumerate(found)]
    return judge_arms(Evidence(tuple(rows)), list(values), margin)


def variation(*vary: str, tune: bool = True, overrides: tuple[str, ...] = ()) -> Variation:
    return Variation("lm-transformer", read_recipe("lm-transformer"), arms_of(vary, False), 3, 0.02, tune, overrides)


def test_one_switch_names_its_arms_by_value() -> None:
    assert arms_of(["model.norm=layer,rms"], False) == {"layer": "model.norm=layer", "rms": "model.norm=rms"}


def test_two_switches_give_every_combination() -> None:
    arms = arms_of(["model.norm=layer,rms", "model.positions=rotary,none"], False)
    assert list(arms) == [
        "norm=layer positions=rotary",
        "norm=layer positions=none",
        "norm=rms positions=rotary",
        "norm=rms positions=none",
    ]
    assert arms["norm=rms positions=none"] == "model.norm=rms model.positions=none"


def test_an_arm_against_itself_keeps_both() -> None:
    arms = arms_of(["model.norm=layer,layer,layer"], False)
    assert list(arms) == ["layer", "layer (2)", "layer (3)"]
    assert set(arms.values()) == {"model.norm=layer"}


def test_the_noise_floor_is_the_recipe_twice_under_other_seeds() -> None:
    assert arms_of([], True) == {"A": "", "A again": f"seed={ANOTHER_SEED}"}


def test_every_arm_gets_the_same_sweep_around_the_recipe_s_learning_rate() -> None:
    experiment = experiment_of(variation("model.norm=layer,rms", overrides=("training.learning_rate=0.03",)))
    assert experiment.tune is not None
    assert experiment.tune.values == pytest.approx([0.03 * factor for factor in SWEEP])
    assert experiment.seeds.quick == experiment.seeds.standard == (3,)
    assert experiment.arms == {
        "layer": "training.learning_rate=0.03 model.norm=layer",
        "rms": "training.learning_rate=0.03 model.norm=rms",
    }
    assert experiment_of(variation("model.norm=layer,rms", tune=False)).tune is None


def test_a_learning_rate_is_not_varied_and_tuned_at_once() -> None:
    with pytest.raises(InputError, match="--no-tune"):
        experiment_of(variation("training.learning_rate=1e-3,1e-2"))


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_budget_takes_the_place_of_the_recipe_s_own(recipe: str) -> None:
    for assignment in ("training.tokens=5000", "training.seconds=2.5", "training.steps=3000000"):
        training = resolve(read_recipe(recipe), [assignment]).training
        given = {name: amount for name in ("steps", "tokens", "seconds") if (amount := getattr(training, name))}
        name, _, amount = assignment.removeprefix("training.").partition("=")
        assert given == {name: float(amount)}
        assert training.warmup == resolve(read_recipe(recipe)).training.warmup


def test_a_recipe_file_is_the_same_as_the_shipped_recipe(tmp_path: Path) -> None:
    file = tmp_path / "lm-transformer.yaml"
    file.write_text((resources.files("clearhead.recipes") / file.name).read_text(encoding="utf-8"), encoding="utf-8")
    assert read_recipe(str(file)) == read_recipe("lm-transformer")


@pytest.mark.parametrize("amount", [7, 300, 1_234_567, 30_000_000])
def test_a_budget_is_passed_on_to_the_last_digit(amount: int) -> None:
    asked = Comparing("lm-transformer", ("model.norm=layer,rms",), budget={"tokens": amount})
    assert f"--tokens {amount} " in asked.command()
    made = asked.variation()
    assert Trained(made.recipe).resolved(" ".join(made.overrides)).training.tokens == amount


def test_the_command_holds_all_that_was_asked() -> None:
    asked = Comparing(
        "my recipe.yaml",
        ("model.norm=layer,rms",),
        ("text.unit=line",),
        seeds=7,
        budget={"steps": 9},
        margin=0.05,
        tune=False,
        text="a text.txt",
        seed=3,
        encoding="gb18030",
    )
    assert asked.command() == (
        "clearhead compare 'my recipe.yaml' --vary model.norm=layer,rms --set text.unit=line --steps 9 --no-tune "
        "--text 'a text.txt' --encoding gb18030 --seeds 7 --margin 0.05 --seed 3"
    )


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_false_wins_among_equal_arms(margin: float) -> None:
    """Three arms of equal means at five seeds: any better or worse is false; one comparison in twenty may have one."""
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(RUNS):
        shared = rng.normal(0, 0.5, 5)
        found = judged({arm: shared + rng.normal(3, 0.1, 5) for arm in "abc"}, margin / 1000)
        wrong += any(one.outcome in {"better", "worse"} for one in found.values())
    assert 0 < wrong / RUNS <= ALLOWED


def test_false_equivalence_at_the_edge_of_the_margin() -> None:
    """A true difference of just the margin is not equivalent; one comparison in twenty may say so."""
    rng = np.random.default_rng(12)
    wrong = sum(
        judged({"a": np.zeros(5), "b": rng.normal(0.05, 0.01, 5)}, 0.05)["b"].outcome == "equivalent"
        for _ in range(RUNS)
    )
    assert wrong / RUNS <= ALLOWED


def test_planted_differences_are_found() -> None:
    rng = np.random.default_rng(13)
    shared = rng.normal(3, 0.5, 5)
    found = judged({name: shared + rng.normal(by, 0.02, 5) for name, by in {"a": 0, "w": 0.3, "b": -0.3}.items()})
    assert {arm: one.outcome for arm, one in found.items()} == {"w": "worse", "b": "better"}
    for one in found.values():
        assert one.p_holm < 0.05 and one.detectable < 0.3
        assert one.low <= one.sample.mean <= one.high and not one.low <= 0 <= one.high


def test_outcome_and_p_agree() -> None:
    rng = np.random.default_rng(14)
    for _ in range(100):
        for one in judged({arm: rng.normal(0.05 * i, 0.05, 5) for i, arm in enumerate("abcd")}, 0.0).values():
            assert (one.outcome in {"better", "worse"}) == (one.p_holm <= 0.05)


def test_identical_numbers_are_equivalent() -> None:
    for margin in (0.02, 0.0):
        one = judged({"a": [3.0, 3.1, 2.9], "b": [3.0, 3.1, 2.9]}, margin)["b"]
        assert (one.outcome, one.p_holm, one.low, one.high) == ("equivalent", 1.0, 0.0, 0.0)


def test_a_small_sure_difference_is_equivalent_within_the_margin() -> None:
    values = {"a": [3.0, 3.1, 2.9], "b": [3.011, 3.109, 2.91]}
    assert judged(values, 0.02)["b"].outcome == "equivalent"
    assert judged(values, 0.001)["b"].outcome == "worse"


@pytest.mark.parametrize("broken", ["a", "b"])
def test_an_arm_that_diverged_decides_nothing(broken: str) -> None:
    values = {"a": [3.0, 3.1, 2.9], "b": [4.0, 4.1, 3.9]}
    one = judged({**values, broken: [3.0, math.nan, 2.9]})["b"]
    assert (one.outcome, one.p_holm, one.reason) == ("undecided", 1.0, "1 of 3 seeds diverged")


def test_a_diverged_arm_takes_nothing_from_the_others() -> None:
    found = judged({"a": [3.0, 3.1, 2.9], "b": [math.nan] * 3, "c": [4.0, 4.11, 3.9]})
    assert (found["b"].outcome, found["c"].outcome) == ("undecided", "worse")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def compare(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> Compare:
    """A tiny comparison on the embedded text, in one worker."""
    monkeypatch.setenv("CLEARHEAD_CACHE", str(cache))
    monkeypatch.setattr(comparing, "available_cores", lambda: 1)

    def command(*options: object) -> dict[str, Any]:
        tiny = [part for change in TINY for part in ("--set", change)]
        arguments = ["compare", "lm-transformer", "--json", "--out", tmp_path, *tiny, *options]
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert (code, err, out.count("\n")) == (0, "", 1)
        record: dict[str, Any] = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        jsonschema.validate(record, json.loads(SCHEMA.read_text(encoding="utf-8")))
        assert Comparison.model_validate(record).model_dump(mode="json") == record
        return record

    return command


def test_an_arm_against_itself_is_never_a_win(compare: Compare) -> None:
    record = compare("--vary", "model.norm=layer,layer", "--no-tune", "--steps", 5, "--seeds", 2)
    assert set(record) >= {"recipe", "metric", "margin", "arms"}
    assert (record["recipe"], record["margin"], record["seeds"]) == ("lm-transformer", 0.02, 2)
    assert record["budget"] == {"steps": 5}
    first, second = record["arms"]
    assert set(first) >= ARM_FIELDS and set(second) >= ARM_FIELDS
    assert (first["outcome"], second["outcome"]) == ("baseline", "equivalent")
    assert (second["difference"], second["p_holm"]) == (0.0, 1.0)
    assert first["value"] == second["value"] and first["low"] <= first["value"] <= first["high"]
    assert first["difference"] is None and first["p_holm"] is None
    assert first["parameters"] > 10_000 and first["tokens"] > 1000
    assert all(Path(place).is_file() for place in (record["evidence"], record["report"], *record["figures"]))


def test_a_crippled_arm_is_found_worse_and_of_one_that_diverges_no_number_is_made_up(compare: Compare) -> None:
    switch = "training.learning_rate=6e-3,1e-9,1e30"
    record = compare("--vary", switch, "--no-tune", "--steps", 40, "--seeds", 3)
    whole, crippled, diverged = record["arms"]
    assert [arm["learning_rate"] for arm in record["arms"]] == [6e-3, 1e-9, 1e30]
    assert crippled["outcome"] == "worse" and crippled["p_holm"] < 0.05
    assert 0 < crippled["difference_low"] < crippled["difference"] < crippled["difference_high"]
    assert crippled["difference"] == pytest.approx(crippled["value"] - whole["value"])
    assert (diverged["outcome"], diverged["reason"]) == ("undecided", "3 of 3 seeds diverged")
    assert (diverged["value"], diverged["low"], diverged["high"], diverged["difference"]) == (None,) * 4
    assert 0 < record["smallest_detectable"] < crippled["difference"]


def test_the_noise_floor_and_an_equal_sweep(compare: Compare) -> None:
    record = compare("--noise-floor", "--steps", 3, "--seeds", 2)
    assert [arm["name"] for arm in record["arms"]] == ["A", "A again"]
    first, again = record["arms"]
    assert first["parameters"] == again["parameters"] and first["value"] != again["value"], "only the seeds differ"
    assert again["difference_low"] <= again["difference"] <= again["difference_high"]
    swept = [row for row in _rows(record) if row["experiment"] == f"{NAME}.sweep" and row["measure"] == METRIC]
    assert sorted(row["arm"] for row in swept) == ["A"] * len(SWEEP) + ["A again"] * len(SWEEP)
    assert {arm["learning_rate"] for arm in record["arms"]} <= {row["learning_rate"] for row in swept}
    assert record["tuning_seconds"] > 0


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(record["evidence"]).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("switch", ["text.tokenizer=bpe,character", "objective.name=causal_lm,masked_lm"])
def test_arms_that_are_scored_on_other_tokens_or_asked_otherwise_are_refused(switch: str) -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        experiment_of(variation(switch))
