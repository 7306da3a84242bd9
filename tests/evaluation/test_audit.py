"""The audit on worlds whose truth is known: bars add up, each cause is found, weights and bounds in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clearhead.errors import InputError
from clearhead.evaluation.audit import (
    CAUSES,
    CONCEPT,
    INPUTS,
    LABELS,
    LEAKAGE,
    METRIC,
    SELECTION,
    SKEW,
    Audit,
    Live,
    Offline,
    accuracy,
    audit,
    bounds,
    estimated_propensity,
    label_weights,
    macro_f1,
    told_apart,
)

CENTRES = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])


def draw(rng: np.random.Generator, n: int, mix: tuple[float, ...] = (0.5, 0.3, 0.2)) -> tuple[np.ndarray, np.ndarray]:
    y = rng.choice(3, size=n, p=mix)
    return CENTRES[y] + rng.standard_normal((n, 2)), y


def says(x: np.ndarray) -> np.ndarray:
    """The nearest centre: what a model says of a row."""
    return ((x[:, None] - CENTRES) ** 2).sum(-1).argmin(1)


def world(seed: int = 0, n: int = 4000) -> tuple[Offline, Live, np.random.Generator]:
    rng = np.random.default_rng(seed)
    x, y = draw(rng, n)
    there, truth = draw(rng, n)
    tested = Offline(x, y, says(x), np.zeros(n, dtype=bool))
    live = Live(there, says(there), says(there), truth, np.zeros(n, dtype=bool), np.ones(n))
    return tested, live, rng


def total(found: Audit) -> float:
    return sum(found.bars[cause].effect for cause in CAUSES)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_wrong_names_no_mechanism_and_adds_up(seed: int) -> None:
    tested, live, _ = world(seed)
    found = audit(tested, live)
    assert found.shifts == frozenset()
    assert total(found) == pytest.approx(found.online - found.offline, abs=1e-12)
    assert set(found.named) <= {CONCEPT}
    assert abs(found.online - found.offline) < 2 * found.noise


def test_repeated_training_rows_are_leakage() -> None:
    tested, live, rng = world()
    repeated = rng.random(4000) < 0.3
    leaked = replace(tested, predictions=np.where(repeated, tested.labels, tested.predictions), repeated=repeated)
    found = audit(leaked, live)
    assert found.named[0] == LEAKAGE
    expected = accuracy(leaked.labels, leaked.predictions, (~repeated).astype(float)) - found.offline
    assert found.bars[LEAKAGE].effect == pytest.approx(expected, abs=1e-12)


def test_repeats_as_frequent_as_in_live_traffic_are_none() -> None:
    tested, live, _ = world()
    half = np.arange(4000) < 2000
    found = audit(replace(tested, repeated=half), replace(live, repeated=half))
    assert found.bars[LEAKAGE].effect == pytest.approx(0.0, abs=1e-12)


def test_two_definitions_of_the_metric() -> None:
    tested, live, _ = world()
    found = audit(tested, live, offline=macro_f1)
    ones = np.ones(4000)
    expected = accuracy(tested.labels, tested.predictions, ones) - macro_f1(tested.labels, tested.predictions, ones)
    assert found.bars[METRIC].effect == pytest.approx(expected, abs=1e-12)
    assert total(found) == pytest.approx(found.online - found.offline, abs=1e-12)


def test_another_mix_of_labels_is_label_shift() -> None:
    tested, _, rng = world()
    x, y = draw(rng, 4000, (0.1, 0.1, 0.8))
    live = Live(x, says(x), says(x), y, np.zeros(4000, dtype=bool), np.ones(4000))
    assert told_apart(tested, live) == {LABELS}
    weights = label_weights(tested.labels, tested.predictions, live.served, 3)
    assert weights == pytest.approx(np.array([0.1, 0.1, 0.8]) / np.array([0.5, 0.3, 0.2]), abs=0.35)
    after = accuracy(tested.labels, tested.predictions, weights[tested.labels])
    assert after == pytest.approx(accuracy(y, says(x), np.ones(4000)), abs=0.03)


def test_other_inputs_under_the_same_rule_are_covariate_shift() -> None:
    tested, _, rng = world()
    x, y = draw(rng, 30_000)
    kept = rng.random(30_000) < 1 / (1 + np.exp(-1.5 * x.sum(1)))
    x, y = x[kept][:4000], y[kept][:4000]
    live = Live(x, says(x), says(x), y, np.zeros(len(y), dtype=bool), np.ones(len(y)))
    assert INPUTS in told_apart(tested, live)
    assert CONCEPT not in told_apart(tested, live)


def test_another_rule_is_concept_change() -> None:
    tested, live, rng = world()
    renamed = (live.labels == 0) & (rng.random(4000) < 0.3)
    changed = replace(live, labels=np.where(renamed, 1, live.labels))
    found = audit(tested, changed)
    assert found.shifts == {CONCEPT}
    assert found.named == [CONCEPT]


def test_other_features_in_serving_are_skew_exactly() -> None:
    tested, live, _ = world()
    broken = replace(live, served=np.zeros(4000, dtype=np.int64))
    found = audit(tested, broken)
    expected = (broken.served == live.labels).mean() - (live.replayed == live.labels).mean()
    assert found.named[0] == SKEW
    assert found.bars[SKEW].effect == pytest.approx(expected, abs=1e-12)


def test_labels_for_the_sure_only_are_weighted_back() -> None:
    tested, live, rng = world(n=20_000)
    right = live.served == live.labels
    chance = np.where(right, 0.6, 0.2)  # as if the choice knew: the worst case
    chosen = rng.random(20_000) < chance
    found = audit(tested, replace(live, labels=np.where(chosen, live.labels, -1), propensity=chance))
    assert found.named[0] == SELECTION
    assert found.online - found.bars[SELECTION].effect == pytest.approx(right.mean(), abs=0.02)


def test_propensity_is_found_where_it_goes_by_the_score() -> None:
    rng = np.random.default_rng(0)
    score = rng.random(40_000)
    truth = np.where(score > 0.5, 0.8, 0.2)
    found = estimated_propensity(score, rng.random(40_000) < truth)
    assert np.abs(found - truth).mean() < 0.02
    assert found.min() > 0


def test_what_is_known_without_any_assumption() -> None:
    assert bounds(0.85, 0.5) == pytest.approx((0.425, 0.925))
    assert bounds(0.85, 1.0) == pytest.approx((0.85, 0.85))


def test_metrics_by_hand() -> None:
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert accuracy(labels, predictions, np.array([1.0, 1.0, 1.0, 1.0])) == 0.75
    assert accuracy(labels, predictions, np.array([3.0, 1.0, 0.0, 0.0])) == 0.75
    assert macro_f1(labels, predictions, np.ones(4)) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert np.isnan(accuracy(labels, predictions, np.zeros(4)))


def test_what_cannot_be_audited_is_said() -> None:
    tested, live, _ = world(n=200)
    with pytest.raises(InputError, match="live labels"):
        audit(tested, replace(live, labels=np.full(200, -1)))
    with pytest.raises(InputError, match="differ in length"):
        audit(replace(tested, predictions=tested.predictions[:5]), live)
    with pytest.raises(InputError, match="propensity"):
        audit(tested, replace(live, propensity=np.zeros(200)))
    with pytest.raises(InputError, match="confusion"):
        label_weights(tested.labels, np.zeros(200, dtype=np.int64), live.served, 3)
