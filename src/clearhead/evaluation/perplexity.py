"""Nats that a language model spent on a text -> perplexity and bits, by token, word or character."""

from __future__ import annotations

import math


def perplexity(nats: float, count: int) -> float:
    """exp(nats / count): among how many equally likely ones the model chose, on average (Jelinek et al. 1977).

    `count` is that of the tokens predicted, or of words, whatever the tokens: only then do models of unlike tokenizers
    compare. Infinite where it is beyond all floating-point numbers, NaN where nothing was predicted.
    """
    if not count:
        return math.nan
    try:
        return math.exp(nats / count)
    except OverflowError:
        return math.inf
