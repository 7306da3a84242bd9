"""A language of hidden states: its posteriors are Bayes' rule over all taggings, its samples follow its rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from clearhead.text.synthetic import HiddenMarkovLanguage, hidden_markov_language, rib_rob


def joint(language: HiddenMarkovLanguage, states: tuple[int, ...], symbols: tuple[int, ...]) -> float:
    """P(states, symbols), factor by factor."""
    probability = 1.0
    for place, (state, symbol) in enumerate(zip(states, symbols, strict=True)):
        row = language.start if place == 0 else language.transitions[states[place - 1]]
        written = language.emissions[state, symbol]
        if place:
            same = float(symbol == symbols[place - 1])
            written = (1 - language.repeats) * written + language.repeats * same
        probability *= row[state] * written
    return float(probability)


@pytest.mark.parametrize("repeats", [0.0, 0.5])
def test_posteriors_and_the_best_accuracy_by_enumeration(repeats: float) -> None:
    language = hidden_markov_language(3, 4, repeats=repeats, seed=1)
    for rows in (language.start, *language.transitions, *language.emissions):
        assert rows.min() > 0 and rows.sum() == pytest.approx(1, abs=1e-12)
    total = 0.0
    for symbols in itertools.product(range(4), repeat=3):
        each = np.zeros((3, 3))
        for states in itertools.product(range(3), repeat=3):
            for place, state in enumerate(states):
                each[place, state] += joint(language, states, symbols)
        np.testing.assert_allclose(
            language.posteriors(np.array([symbols]))[0], each / each.sum(1, keepdims=True), atol=1e-12
        )
        total += each[0].sum()
        assert language.best_accuracy(np.array([symbols])) == pytest.approx(
            (each.max(1) / each.sum(1)).mean(), abs=1e-12
        )
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("repeats", [0.0, 0.5])
def test_the_best_guess_is_right_as_often_as_is_said(repeats: float) -> None:
    language = hidden_markov_language(4, 12, repeats=repeats, seed=0)
    states, symbols = language.sample(np.random.default_rng(2), 4000, 8)
    right = (language.posteriors(symbols).argmax(-1) == states).mean(axis=1)
    expected = language.best_accuracy(symbols)
    assert abs(right.mean() - expected) < 4 * right.std() / np.sqrt(len(right))
    assert np.bincount(states[:, 0], minlength=4) / 4000 == pytest.approx(language.start, abs=0.04)


def test_rib_and_rob() -> None:
    language = rib_rob()
    words = np.array(list(itertools.product(range(4), repeat=3)))
    ways = {(0, 1, 2): 0.5, (3, 4, 2): 0.5}
    chances = np.array([[joint(language, way, tuple(word)) for way in ways] for word in words])
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    assert 1 - chances.max(axis=1).sum() == pytest.approx(1 / 16, abs=1e-12)
    expected = (chances.sum(axis=1) * [language.best_accuracy(word[None]) for word in words]).sum()
    assert expected == pytest.approx(1 - 2 / 3 / 16, abs=1e-12)
    states, _ = language.sample(np.random.default_rng(0), 400, 3)
    assert {tuple(way) for way in states.tolist()} == set(ways)


def test_what_the_language_cannot_write_is_named() -> None:
    with pytest.raises(ValueError, match="symbol 1 of sequence 1 cannot stand there"):
        rib_rob(noise=0.0).posteriors(np.array([[0, 1, 3], [0, 3, 3]]))


def test_equal_arguments_give_the_equal_language() -> None:
    one, two = hidden_markov_language(3, 5, seed=4), hidden_markov_language(3, 5, seed=4)
    np.testing.assert_array_equal(one.emissions, two.emissions)
    assert abs(one.emissions - hidden_markov_language(3, 5, seed=5).emissions).max() > 0.05
