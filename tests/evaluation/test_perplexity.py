"""Perplexity of an even guess is the number of choices; nothing and too much are defined."""

from __future__ import annotations

import math

import pytest

from clearhead.evaluation.perplexity import bits_per_character, perplexity


def test_an_even_guess() -> None:
    assert perplexity(7 * math.log(50), 7) == pytest.approx(50, rel=1e-12)
    assert bits_per_character(10 * math.log(32), 10) == pytest.approx(5, rel=1e-12)


def test_the_ends() -> None:
    assert perplexity(0.0, 3) == 1.0
    assert perplexity(1e6, 1) == math.inf
    assert math.isnan(perplexity(0.0, 0)) and math.isnan(bits_per_character(0.0, 0))
