"""`Windows`: a text as stretches of a few characters, for models that look at a fixed number of them."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import TooLittleError
from clearhead.text.corpora import Corpus
from clearhead.text.splits import split_corpus

LEAST = 200


@dataclass(frozen=True)
class Windows:
    """`train` and `held_out` are ids `(n, width)`: `symbols` of them stand for a character of `alphabet`, and the id
    `symbols - 1` for all rarer characters. Windows lie within a sentence and follow the order of the text."""

    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    alphabet: str

    @property
    def symbols(self) -> int:
        return len(self.alphabet) + 1


@functools.lru_cache(maxsize=4)
def character_windows(corpus: Corpus, width: int, *, symbols: int = 49, characters: int = 500_000) -> Windows:
    """All stretches of `width` characters of up to `characters` of the text; its `symbols` - 1 common ones told apart.

    The held-out sentences are those of `split_corpus`. Raises `TooLittleError` where there are too few such stretches.
    """
    split = split_corpus(corpus, max_characters=characters)
    alphabet = "".join(c for c, _ in Counter("".join(split.train)).most_common(symbols - 1))
    code = {c: i for i, c in enumerate(alphabet)}
    train, held_out = (_stretches(part, code, width) for part in (split.train, split.validation))
    if min(len(train), len(held_out)) < LEAST:
        raise TooLittleError(
            f"{corpus.source}: {len(train)} stretches of {width} characters to train on and {len(held_out)} to hold "
            f"out, where {LEAST} are the least; give a longer text"
        )
    return Windows(train, held_out, alphabet)


def _stretches(sentences: tuple[str, ...], code: dict[str, int], width: int) -> NDArray[np.int64]:
    rows = [np.array([code.get(c, len(code)) for c in s], dtype=np.int64) for s in sentences if len(s) >= width]
    if not rows:
        return np.empty((0, width), dtype=np.int64)
    return np.concatenate([np.lib.stride_tricks.sliding_window_view(row, width) for row in rows])
