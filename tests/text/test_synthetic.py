"""Synthetic languages against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from clearhead.text.synthetic import MarkovLanguage, associative_recall, modular_hole

SMALL = [
    MarkovLanguage(0, 4),
    MarkovLanguage(1, 3, 0.5, seed=1),
    MarkovLanguage(2, 3, seed=2),
    MarkovLanguage(3, 2, 1.0),
]


def test_recall_asks_for_a_value_that_was_shown() -> None:
    inputs, answers = associative_recall(np.random.default_rng(0), 500, pairs=6, keys=10, values=7)
    assert (inputs.shape, answers.shape, inputs.dtype) == ((500, 13), (500,), np.int64)
    for row, answer in zip(inputs.tolist(), answers.tolist(), strict=True):
        shown = dict(zip(row[0:12:2], row[1:12:2], strict=True))
        assert len(shown) == 6 and shown[row[-1]] == answer
    assert set(inputs[:, 0:13:2].ravel().tolist()) == set(range(10))
    assert set(answers.tolist()) == set(range(10, 17))


def test_recall_is_equal_for_equal_seeds_and_even_over_values() -> None:
    first, second = (associative_recall(np.random.default_rng(3), 8000, pairs=2, keys=4, values=4) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert abs(np.bincount(first[1] - 4) / 8000 - 0.25).max() < 0.025


def test_recall_needs_a_key_for_each_pair() -> None:
    with pytest.raises(ValueError, match="5 pairs of different keys"):
        associative_recall(np.random.default_rng(0), 1, pairs=5, keys=4, values=2)


def test_the_hole_is_fixed_by_both_sides_and_by_neither() -> None:
    inputs, answers = modular_hole(np.random.default_rng(0), 40_000)
    np.testing.assert_array_equal(answers, (inputs[:, 1] + inputs[:, 3]) % 8)
    assert set(inputs[:, 2].tolist()) == {8} and set(inputs[:, [0, 1, 3, 4]].ravel().tolist()) == set(range(8))
    for place in (0, 1, 3, 4):
        joint = np.histogram2d(inputs[:, place], answers, bins=8)[0] / 40_000
        assert abs(joint - 1 / 64).max() < 0.004


@pytest.mark.parametrize("language", SMALL)
def test_the_stationary_distribution_is_where_the_chain_ends(language: MarkovLanguage) -> None:
    symbols, contexts = language.symbols, list(itertools.product(range(language.symbols), repeat=language.order))
    step = np.zeros((len(contexts), len(contexts)))
    for i, context in enumerate(contexts):
        for symbol in range(symbols):
            step[i, contexts.index((*context, symbol)[1:])] += language.transitions[i, symbol]
    np.testing.assert_allclose(step.sum(axis=1), 1)
    np.testing.assert_allclose(language.stationary, np.linalg.matrix_power(step, 100_000)[0], atol=1e-9)


@pytest.mark.parametrize("language", SMALL)
def test_the_entropy_rate_is_the_growth_of_the_entropy_of_words(language: MarkovLanguage) -> None:
    """H(X1..Xn) - H(X1..Xn-1) over all words, n = order + 1, where it has reached its limit."""

    def entropy(length: int) -> float:
        words = np.array(list(itertools.product(range(language.symbols), repeat=length)))
        bits = language.ideal_bits(words).sum(axis=1)
        assert np.exp2(-bits).sum() == pytest.approx(1, abs=1e-9)
        return float((np.exp2(-bits) * bits).sum())

    n = language.order + 1
    assert entropy(n) - (entropy(n - 1) if n > 1 else 0.0) == pytest.approx(language.entropy_rate(), abs=1e-9)
    assert entropy(n + 2) - entropy(n + 1) == pytest.approx(language.entropy_rate(), abs=1e-9)


@pytest.mark.parametrize("language", SMALL)
def test_samples_cost_the_entropy_rate_from_the_first_symbol_on(language: MarkovLanguage) -> None:
    sample = language.sample(np.random.default_rng(5), 2000, 30)
    assert (sample.shape, sample.dtype) == ((2000, 30), np.int64)
    bits = language.ideal_bits(sample)[:, language.order :].mean(axis=1)
    assert abs(bits.mean() - language.entropy_rate()) < 5 * bits.std() / np.sqrt(len(bits))
    first = np.bincount(sample[:, 0], minlength=language.symbols) / 2000
    last = np.bincount(sample[:, -1], minlength=language.symbols) / 2000
    assert abs(first - last).max() < 0.06


def test_transitions_are_counted_as_they_are_said() -> None:
    language = MarkovLanguage(2, 3, 0.5, seed=4)
    sample = language.sample(np.random.default_rng(0), 500, 400)
    context, following = sample[:, :-2] * 3 + sample[:, 1:-1], sample[:, 2:]
    counted = np.zeros((9, 3))
    np.add.at(counted, (context.ravel(), following.ravel()), 1)
    often = counted.sum(axis=1) > 5000
    assert often.sum() >= 3
    assert abs(counted / counted.sum(axis=1, keepdims=True) - language.transitions)[often].max() < 0.03


def test_equal_arguments_give_the_equal_language() -> None:
    one, two, other = MarkovLanguage(2, 5, seed=1), MarkovLanguage(2, 5, seed=1), MarkovLanguage(2, 5, seed=2)
    np.testing.assert_array_equal(one.transitions, two.transitions)
    assert abs(one.transitions - other.transitions).max() > 0.1
    assert 0 < one.entropy_rate() < np.log2(5)
    assert MarkovLanguage(1, 8, 1000.0).entropy_rate() == pytest.approx(3, abs=0.01)
