"""The list of questions, read off the folder's files: no question (and no torch) is imported to list them."""

from __future__ import annotations

import ast
import importlib
import json
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
    """A question that can be asked: its file and its title; `number` is 0 for a file of the user's own."""

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


def chosen(word: str) -> Entry:
    """The question that a user wrote: a number, or the path of a .py file of their own. Raises `InputError`."""
    if word.isascii() and word.isdigit():
        return entry(int(word))
    if not word.endswith(".py"):
        raise InputError(
            f"question {word!r}: expected a number, all, or a .py file of your own; `clearhead ask` lists the questions"
        )
    try:
        docstring = ast.get_docstring(ast.parse(Path(word).read_text(encoding="utf-8")))
    except OSError as fault:
        raise InputError(f"{word}: cannot read it ({fault.strerror}); give a .py file with a QUESTION in it") from fault
    except (SyntaxError, ValueError) as fault:
        line = getattr(fault, "lineno", None)
        raise InputError(f"{word}{f' (line {line})' if line else ''}: not Python: {fault}") from fault
    if len([line for line in (docstring or "").splitlines() if line.strip()]) < 2:
        raise InputError(f"{word}: its docstring must hold the question in English and, on a second line, in Chinese")
    return Entry(0, title_of(docstring), Path(word))


def load(number: int) -> Question:
    """The question of this number: imports its file."""
    return question_of(entry(number))


def question_of(one: Entry) -> Question:
    """The question itself: imports its file. Raises `InputError` for a file of the user's that holds none."""
    if one.number:
        question: Question = importlib.import_module(f"clearhead.questions.{one.file.stem}").QUESTION
        return question
    from clearhead.experiments.own_file import module_from
    from clearhead.experiments.question import Question as Kind

    own = getattr(module_from(one.file), "QUESTION", None)
    if not isinstance(own, Kind):
        raise InputError(f"{one.file}: no QUESTION = Question(...) in it; see docs/own-question.md")
    return own


def shipped(number: int) -> Mapping[str, str]:
    """`{claim: verdict}` of the run that ships, on the embedded text."""
    try:
        kept: dict[str, dict[str, str]] = json.loads((FOLDER / "shipped.json").read_text(encoding="utf-8"))
    except OSError:
        return {}
    return kept.get(str(number), {})
