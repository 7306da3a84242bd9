"""The list of questions, read off the folder's files: no question (and no torch) is imported to list them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clearhead.bilingual import Bilingual, title_of
from clearhead.errors import InputError

if TYPE_CHECKING:
    from clearhead.experiments.question import Question

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """A question that can be asked: its file `q<nn>_<word>.py` and its title."""

    number: int
    title: Bilingual
    file: Path


def entries() -> Mapping[int, Entry]:
    """`{number: entry}` in order."""
    files = sorted(FOLDER.glob("q[0-9][0-9]_*.py"))
    docstrings = {file: file.read_text(encoding="utf-8").split('"""', 2)[1] for file in files}
    return {int(file.stem[1:3]): Entry(int(file.stem[1:3]), title_of(docstrings[file]), file) for file in files}


def entry(number: int) -> Entry:
    """The entry of one question. Raises `InputError` with the numbers that are there."""
    known = entries()
    if number not in known:
        offered = ", ".join(map(str, known))
        raise InputError(f"question {number}: there is no such question; `clearhead ask` lists them: {offered}")
    return known[number]


def number_of(word: str) -> int:
    """The question's number that a user wrote. Raises `InputError` for what is none, or not there."""
    try:
        return entry(int(word)).number
    except ValueError as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(f"question {word!r}: expected a number; `clearhead ask` lists the questions") from fault


def load(number: int) -> Question:
    """The question itself: imports its file."""
    module = importlib.import_module(f"clearhead.questions.{entry(number).file.stem}")
    question: Question = module.QUESTION
    return question
