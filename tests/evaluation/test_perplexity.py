"""Perplexity of an even guess is the number of choices; nothing and too much are defined."""

from __future__ import annotations

import math

import pytest

from clearhead.evaluation.perplexity import perplexity


def test_an_even_guess() -> None:
    assert perplexity(7 * math.log(50), 7) == pytest.approx(50, rel=1e-12)


def test_the_ends() -> None:
    assert perplexity(0.0, 3) == 1.0
    assert perplexity(1e6, 1) == math.inf
    assert math.isnan(perplexity(0.0, 0))
