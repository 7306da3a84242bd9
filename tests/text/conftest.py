"""Small texts that several files test with."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = (
    "time",
    "water",
    "night",
    "letter",
    "garden",
    "winter",
    "silence",
    "market",
    "river",
    "story",
    "answer",
    "stone",
)


def prose(sentences: int, seed: int = 0) -> str:
    """Sentences of random words, eight to a paragraph, all different."""
    rng = random.Random(seed)
    made = [f"The {' '.join(rng.choices(WORDS, k=rng.randint(4, 12)))} number {i}." for i in range(sentences)]
    return "\n\n".join(" ".join(made[i : i + 8]) for i in range(0, sentences, 8)) + "\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file below the test's folder: `write("a/b.txt", text_or_bytes)`."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@pytest.fixture
def novel(write: Callable[..., Path]) -> Path:
    return write("novel.txt", prose(600))
