"""The README tells what the kept answers say, and names only commands and files that are there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from clearhead.cli import app
from clearhead.questions import menu

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def kept() -> ModuleType:
    """docs/evidence.py, which keeps the answers and writes the table."""
    spec = importlib.util.spec_from_file_location("evidence", ROOT / "docs" / "evidence.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_questions_is_that_of_the_kept_answers() -> None:
    assert kept().fill(README) == README, "run: python docs/evidence.py"


def test_the_verdicts_that_ship_are_those_of_the_kept_answers() -> None:
    module = kept()
    assert module.shipped() == module.SHIPPED.read_text(encoding="utf-8"), "run: python docs/evidence.py"
    assert {answer["question"] for answer in module.answers()} == set(menu.entries())


def test_every_file_that_the_documents_link_to_is_there() -> None:
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (ROOT / target).exists(), f"{document}: {target}"


def test_every_command_and_option_in_the_readme_is_there() -> None:
    for line in re.findall(r"^(?:\$ )?clearhead (.+)$", README, flags=re.MULTILINE):
        words = line.split("#")[0].split()
        command = app.commands[words[0]]
        options = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
        for word in words[1:]:
            assert not word.startswith("--") or word in options, line
