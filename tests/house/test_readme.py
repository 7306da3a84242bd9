"""The README tells what the kept answers say, and names only commands and files that are there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from clearhead.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_questions_is_that_of_the_kept_answers() -> None:
    spec = importlib.util.spec_from_file_location("evidence", ROOT / "docs" / "evidence.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.fill(README) == README, "run: python docs/evidence.py"


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
