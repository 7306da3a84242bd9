"""Why a metric differs between a test set and live traffic: the gap as a sum of bars, one for each cause.

The bars are the steps of a telescoping sum, so they add up to the gap exactly, in this order: test rows that repeat
training rows | another definition of the metric | another mix of labels, p(x | y) as before | other inputs, p(y | x)
as before | another rule p(y | x), and all that is left unexplained | other features in serving than offline | labels
only for some rows. A share depends on this order; the sum does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from clearhead.errors import InputError

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]
Metric = Callable[[Ids, Ids, Floats], float]

LEAKAGE, METRIC, LABELS, INPUTS = "leakage", "metric", "label shift", "covariate shift"
CONCEPT, SKEW, SELECTION = "concept change", "serving skew", "label selection"
CAUSES = (LEAKAGE, METRIC, LABELS, INPUTS, CONCEPT, SKEW, SELECTION)

UNLABELLED = -1
LEAST_EFFECT = 0.005
QUANTILE = 0.995  # of the chi-square that a mechanism's likelihood must beat
PROPENSITY_BINS = 20
FEWEST_LABELS = 20


def accuracy(labels: Ids, predictions: Ids, weights: Floats) -> float:
    """The weighted share of rows whose prediction is the label; all (n,). NaN where no weight is positive."""
    total = weights.sum()
    return float((weights * (labels == predictions)).sum() / total) if total > 0 else float("nan")


def macro_f1(labels: Ids, predictions: Ids, weights: Floats) -> float:
    """The mean over the classes that occur of F1 = 2 TP / (predicted + true), rows weighted; all (n,)."""
    scores = []
    for one in np.unique(np.concatenate([labels[weights > 0], predictions[weights > 0]])):
        right = weights[(labels == one) & (predictions == one)].sum()
        scores.append(2 * right / (weights[labels == one].sum() + weights[predictions == one].sum()))
    return float(np.mean(scores)) if scores else float("nan")


@dataclass(frozen=True)
class Offline:
    """The test set: a few `features` (n, D) in which inputs may shift, `labels` and `predictions` (n,), classes from 0,
    and which rows are `repeated` from training (n,)."""

    features: Floats
    labels: Ids
    predictions: Ids
    repeated: Flags

    def rows(self, chosen: Ids) -> Offline:
        return Offline(self.features[chosen], self.labels[chosen], self.predictions[chosen], self.repeated[chosen])


@dataclass(frozen=True)
class Live:
    """Live traffic: `features` (m, D) as the offline pipeline sees it, the predictions that were `served` and those of
    the same inputs `replayed` offline (m,), `labels` (m,), -1 where there is none, and which rows are `repeated` from
    training (m,). `propensity` (m,) is the probability, in (0, 1], that a row gets its label: logged, or estimated."""

    features: Floats
    served: Ids
    replayed: Ids
    labels: Ids
    repeated: Flags
    propensity: Floats

    def rows(self, chosen: Ids) -> Live:
        fields = ("features", "served", "replayed", "labels", "repeated", "propensity")
        return replace(self, **{name: getattr(self, name)[chosen] for name in fields})

    @property
    def labelled(self) -> Flags:
        known: Flags = self.labels != UNLABELLED
        return known

    @property
    def inverse(self) -> Floats:
        """1 / propensity of the labelled rows, of mean 1 (Horvitz & Thompson 1952)."""
        weights = 1 / self.propensity[self.labelled]
        scaled: Floats = weights / weights.mean()
        return scaled


@dataclass(frozen=True)
class Bar:
    """What one cause adds to the metric on the way from offline to online, and its 95 % interval."""

    effect: float
    low: float
    high: float

    @property
    def named(self) -> bool:
        """Whether the interval leaves 0 out and the bar is not tiny."""
        return (self.low > 0 or self.high < 0) and abs(self.effect) > LEAST_EFFECT


@dataclass(frozen=True)
class Audit:
    """The gap taken apart: `online - offline` is the sum of the `bars`. `noise` is the half-width of the gap's own 95 %
    interval, `shifts` the shifts that the likelihood chose."""

    offline: float
    online: float
    bars: Mapping[str, Bar]
    noise: float
    shifts: frozenset[str]

    @property
    def named(self) -> list[str]:
        """The causes whose bar can be told from 0, the largest first."""
        found = [cause for cause in CAUSES if self.bars[cause].named]
        return sorted(found, key=lambda cause: -abs(self.bars[cause].effect))


def audit(
    tested: Offline,
    live: Live,
    *,
    offline: Metric = accuracy,
    online: Metric = accuracy,
    resamples: int = 25,
    seed: int = 0,
) -> Audit:
    """The gap between `offline` on the test set and `online` on the labelled live rows, by cause.

    Shifts are told apart by a classifier of the rows' origin on nested designs (label, features, both, their products):
    log p_live / p_test of (x, y) is a function of y alone under label shift, of x alone under covariate shift, and of
    both together under a change of rule. Intervals are normal, by a bootstrap of the rows with the shifts held fixed.
    Compare Zhang, Singh & Joshi 2022, arXiv:2210.10769, who use Shapley values in place of an order.
    Raises `InputError` where rows do not match, or where too few carry a label.
    """
    _check(tested, live)
    shifts = told_apart(tested, live)
    effects = _bars(tested, live, shifts, offline, online)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = rng.integers(len(tested.labels), size=len(tested.labels))
        live_rows = rng.integers(len(live.labels), size=len(live.labels))
        drawn.append(_bars(tested.rows(rows), live.rows(live_rows), shifts, offline, online))
    spread = 1.96 * np.std(drawn, axis=0, ddof=1)
    bars = {
        cause: Bar(float(effect), float(effect - half), float(effect + half))
        for cause, effect, half in zip(CAUSES, effects, spread, strict=True)
    }
    known = live.labelled
    before = offline(tested.labels, tested.predictions, np.ones(len(tested.labels)))
    after = online(live.labels[known], live.served[known], np.ones(known.sum()))
    noise = 1.96 * float(np.std(np.sum(drawn, axis=1), ddof=1))
    return Audit(before, after, bars, noise, shifts)


def told_apart(tested: Offline, live: Live) -> frozenset[str]:
    """Which of label shift, covariate shift and concept change the likelihood asks for; see `audit`."""
    kept, known = _without_repeats(tested, live), live.labelled
    x, scale = _standard(tested.features, live.features)
    there = (live.features - scale[0]) / scale[1]
    joint = _Origin((x, there[known]), (tested.labels, live.labels[known]), (kept, live.inverse))
    scores = {shifts: joint.score(shifts) for shifts in DESIGNS}
    best = max(scores, key=lambda shifts: scores[shifts])
    if CONCEPT not in best:
        return best
    inputs = _Origin((x, there), None, (kept, np.ones(len(there))))
    moved = inputs.score(frozenset({INPUTS})) > inputs.score(frozenset())
    return frozenset({CONCEPT, INPUTS}) if moved else frozenset({CONCEPT})


def label_weights(labels: Ids, predictions: Ids, live_predictions: Ids, classes: int) -> Floats:
    """p_live(y) / p_test(y) (K,) from predictions alone, if p(x | y) is as before: black-box shift estimation.

    Solves C w = q with C[i, j] = P(predicted i, label j) on the test set, q[i] = P(predicted i) live (Lipton, Wang &
    Smola 2018, arXiv:1802.03916); negative weights are set to 0. Raises `InputError` where C cannot be inverted.
    """
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (predictions, labels), 1 / len(labels))
    predicted = np.bincount(live_predictions, minlength=classes) / len(live_predictions)
    if np.linalg.matrix_rank(confusion) < classes:
        raise InputError(
            "label shift: the confusion matrix cannot be inverted; a class is never predicted or never there"
        )
    solved: Floats = np.linalg.solve(confusion, predicted).clip(min=0)
    return solved


def bounds(score: float, labelled: float) -> tuple[float, float]:
    """What accuracy over all rows can be when a share `labelled` of them scores `score` and nothing is assumed of the
    rest (Manski 1989)."""
    return score * labelled, score * labelled + 1 - labelled


def estimated_propensity(scores: Floats, labelled: Flags) -> Floats:
    """The probability that a row gets its label, from `scores` (m,) that the choice went by: the share of labelled rows
    in each of 20 equally full bins (Rosenbaum & Rubin 1984), at least one row's worth."""
    edges = np.quantile(scores, np.linspace(0, 1, PROPENSITY_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, scores, side="right")
    rows = np.bincount(bins, minlength=PROPENSITY_BINS)
    share = np.maximum(np.bincount(bins, labelled, PROPENSITY_BINS), 1) / np.maximum(rows, 1)
    found: Floats = share[bins].clip(max=1.0)
    return found


DESIGNS: tuple[frozenset[str], ...] = tuple(
    frozenset(shifts) for shifts in ((), (LABELS,), (INPUTS,), (LABELS, INPUTS), (LABELS, INPUTS, CONCEPT))
)


class _Origin:
    """Rows of the test set and live ones, and the logistic regressions that tell where a row comes from."""

    def __init__(self, x: tuple[Floats, Floats], y: tuple[Ids, Ids] | None, weights: tuple[Floats, Floats]) -> None:
        """Of the test set and of live traffic: features (n, D), labels (n,) or None, and weights (n,)."""
        self.x, self.weights = np.concatenate(x), np.concatenate(weights)
        self.is_live = np.repeat([0.0, 1.0], [len(x[0]), len(x[1])])
        labels = np.zeros(len(self.x), dtype=np.int64) if y is None else np.concatenate(y)
        self.one_hot = np.eye(int(labels.max()) + 1)[labels][:, 1:]

    def design(self, shifts: frozenset[str]) -> tuple[Floats, int, int]:
        """The columns (n, P): a constant, the label's, the features' up to degree 2 (so that a bent covariate shift is
        not taken for a change of rule), label times feature; and where the second and third of these groups end."""
        labels = self.one_hot if LABELS in shifts else self.one_hot[:, :0]
        inputs = _curved(self.x) if INPUTS in shifts else self.x[:, :0]
        products = (self.one_hot[:, :, None] * self.x[:, None]).reshape(len(self.x), -1)
        products = products if CONCEPT in shifts else products[:, :0]
        columns = np.concatenate([np.ones((len(self.x), 1)), labels, inputs, products], axis=1)
        return columns, 1 + labels.shape[1], 1 + labels.shape[1] + inputs.shape[1]

    def fit(self, columns: Floats) -> tuple[Floats, float]:
        """The coefficients (P,) and the log-likelihood, by Newton's method."""
        w = np.zeros(columns.shape[1])
        for _ in range(25):
            p = 1 / (1 + np.exp(-(columns @ w).clip(-30, 30)))
            slope = columns.T @ (self.weights * (self.is_live - p)) - 1e-6 * w
            bend = (columns * (self.weights * p * (1 - p))[:, None]).T @ columns + 1e-6 * np.eye(len(w))
            change = np.linalg.solve(bend, slope)
            w = w + change * min(1.0, 5 / max(np.abs(change).max(), 1e-12))
            if np.abs(change).max() < 1e-6:
                break
        z = (columns @ w).clip(-30, 30)
        return w, float((self.weights * (self.is_live * z - np.logaddexp(0, z))).sum())

    def score(self, shifts: frozenset[str]) -> float:
        """Twice the log-likelihood, less the chi-square quantile of as many degrees of freedom as columns."""
        columns, _, _ = self.design(shifts)
        free = columns.shape[1] - 1
        return 2 * self.fit(columns)[1] - (float(stats.chi2.ppf(QUANTILE, free)) if free else 0.0)


def _bars(tested: Offline, live: Live, shifts: frozenset[str], offline: Metric, online: Metric) -> Floats:
    """The seven steps (7,) from the offline metric to the online one."""
    known = live.labelled
    kept = _without_repeats(tested, live)
    by_label, by_input = _shift_weights(tested, live, kept, shifts)
    labels, predictions = tested.labels, tested.predictions
    seen, ones, inverse = live.labels[known], np.ones(len(labels)), live.inverse
    stations = [
        offline(labels, predictions, ones),
        offline(labels, predictions, kept),
        online(labels, predictions, kept),
        online(labels, predictions, kept * by_label),
        online(labels, predictions, kept * by_label * by_input),
        online(seen, live.replayed[known], inverse),
        online(seen, live.served[known], inverse),
        online(seen, live.served[known], np.ones(len(seen))),
    ]
    return np.diff(stations)


def _shift_weights(tested: Offline, live: Live, kept: Floats, shifts: frozenset[str]) -> tuple[Floats, Floats]:
    """p_live / p_test of the test rows, (n,) each: the factor of the label and that of the features."""
    ones, known = np.ones(len(tested.labels)), live.labelled
    asked = shifts - {CONCEPT}
    if not asked:
        return ones, ones
    x, (centre, size) = _standard(tested.features, live.features)
    there = (live.features - centre) / size
    if LABELS in asked:
        origin = _Origin((x, there[known]), (tested.labels, live.labels[known]), (kept, live.inverse))
    else:
        origin = _Origin((x, there), None, (kept, np.ones(len(there))))
    columns, labels_end, inputs_end = origin.design(asked)
    w, _ = origin.fit(columns)
    here = columns[: len(ones)]
    by_label, by_input = slice(1, labels_end), slice(labels_end, inputs_end)
    return np.exp(here[:, by_label] @ w[by_label]), np.exp(here[:, by_input] @ w[by_input])


def _without_repeats(tested: Offline, live: Live) -> Floats:
    """Weights (n,) under which training rows are as frequent in the test set as in live traffic."""
    repeats, share = tested.repeated.sum(), min(live.repeated.mean(), 0.99)
    weights = np.ones(len(tested.labels))
    if 0 < repeats < len(weights):
        weights[tested.repeated] = share / (1 - share) * (len(weights) - repeats) / repeats
    return weights


def _curved(x: Floats) -> Floats:
    """The features (n, D) and all products of two of them, (n, D + D (D + 1) / 2)."""
    first, second = np.triu_indices(x.shape[1])
    return np.concatenate([x, x[:, first] * x[:, second]], axis=1)


def _standard(features: Floats, live: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
    both = np.concatenate([features, live])
    centre, size = both.mean(0), both.std(0)
    size = np.where(size > 0, size, 1.0)
    return (features - centre) / size, (centre, size)


def _check(tested: Offline, live: Live) -> None:
    n, m = len(tested.labels), len(live.labels)
    sizes = {len(tested.features), len(tested.predictions), len(tested.repeated)}
    live_sizes = {len(live.features), len(live.served), len(live.replayed), len(live.repeated), len(live.propensity)}
    if sizes != {n} or live_sizes != {m} or tested.features.shape[1:] != live.features.shape[1:]:
        raise InputError("audit: the columns of a table differ in length, or the two tables in their features")
    if live.labelled.sum() < FEWEST_LABELS or n < FEWEST_LABELS:
        raise InputError(
            f"audit: {live.labelled.sum()} live labels and {n} test rows; {FEWEST_LABELS} of each are the least"
        )
    if not ((live.propensity[live.labelled] > 0) & (live.propensity[live.labelled] <= 1)).all():
        raise InputError("audit: the propensity of a labelled row must lie in (0, 1]")
