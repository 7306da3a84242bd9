"""Stretches of characters: within a sentence, in the order of the text, rare characters as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearhead.errors import TooLittleError
from clearhead.text.corpora import open_corpus
from clearhead.text.splits import split_corpus
from clearhead.text.windows import character_windows


def written(folder: Path, sentences: list[str]) -> Path:
    file = folder / "text.txt"
    file.write_text("\n\n".join(sentences), encoding="utf-8")
    return file


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 6), st.integers(3, 30))
def test_windows_read_back_are_stretches_of_the_sentences(tmp_path: Path, width: int, symbols: int) -> None:
    words = ["山高水长", "the quick fox", "jumps", "over 12 dogs", "等一下", "ünïcode"]
    sentences = [f"{a} {b} number {i}." for i in range(20) for a in words for b in words]
    corpus = open_corpus(written(tmp_path, sentences))
    windows = character_windows(corpus, width, symbols=symbols)
    split = split_corpus(corpus, max_characters=500_000)
    assert len(windows.train) == sum(max(0, len(s) - width + 1) for s in split.train)
    assert windows.train.shape[1] == width and windows.symbols <= symbols
    names = [*windows.alphabet, "?"]
    first = "".join(c if c in windows.alphabet else "?" for c in split.train[0])
    assert "".join(names[i] for i in windows.train[0]) == first[:width]


def test_what_validates_is_not_what_trains() -> None:
    windows = character_windows(open_corpus(None), 40, characters=200_000)
    trained = {row.tobytes() for row in np.ascontiguousarray(windows.train)}
    held = [row.tobytes() for row in np.ascontiguousarray(windows.held_out)]
    assert sum(row in trained for row in held) < 0.1 * len(held)


def test_a_text_of_short_sentences_says_what_would_be_enough(tmp_path: Path) -> None:
    corpus = open_corpus(written(tmp_path, [f"number {i} here." for i in range(40)]))
    with pytest.raises(TooLittleError, match="stretches of 100 characters"):
        character_windows(corpus, 100)
