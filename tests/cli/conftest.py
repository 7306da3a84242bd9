"""The command line as a function of its arguments, with a tiny question on its menu and a cache of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from clearhead import questions
from clearhead.cli import run
from clearhead.questions import menu

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
PROSE = "".join(
    f"{who} {does} the {how} {what}.\n"
    for who in ("A fox", "The cat", "Nobody", "My aunt", "One of them")
    for does in ("sees", "paints", "carries", "has lost")
    for how, what in (("red", "house"), ("old", "boat"), ("quiet", "lamp"), ("blue", "river"))
)


@dataclass(frozen=True)
class Outcome:
    """What one command gave back."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the whole test run: tokenized text, and answers that several tests look at."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(autouse=True)
def tiny_question(monkeypatch: pytest.MonkeyPatch, shared_folder: Path) -> None:
    monkeypatch.setattr(menu, "FOLDER", HERE / "questions")
    monkeypatch.setattr(questions, "__path__", [*questions.__path__, str(HERE / "questions")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("CLEARHEAD_CACHE", str(shared_folder / "cache"))
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)


@pytest.fixture
def prose(shared_folder: Path) -> Path:
    """A text just long enough to ask about."""
    file = shared_folder / "prose.txt"
    file.write_text(PROSE, encoding="utf-8")
    return file


@pytest.fixture
def clearhead(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command in this process."""

    def command(*arguments: object) -> Outcome:
        code = run([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return command
