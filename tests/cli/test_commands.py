"""Help, version, the list, an explanation: what the command line says without running anything."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from clearhead import __version__
from clearhead.questions import menu

Command = Callable[..., Any]


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_the_commands(clearhead: Command, arguments: tuple[str, ...]) -> None:
    found = clearhead(*arguments)
    assert (found.code, found.err) == (0, "")
    assert "ask" in found.out and "compare" in found.out


@pytest.mark.parametrize("command", ["ask", "compare"])
def test_help_of_a_command_names_its_options(clearhead: Command, command: str) -> None:
    found = clearhead(command, "--help")
    assert (found.code, found.err) == (0, "")
    assert {"--text", "--seed", "--lang", "--out", "--json"} <= set(found.out.split())


def test_version(clearhead: Command) -> None:
    found = clearhead("--version")
    assert (found.code, found.err) == (0, "")
    assert __version__ in found.out


def test_module_and_command_are_one() -> None:
    done = subprocess.run([sys.executable, "-m", "clearhead", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout


def test_the_list_holds_every_question_in_both_languages(clearhead: Command) -> None:
    found = clearhead("ask")
    assert (found.code, found.err) == (0, "")
    assert "90" in found.out and "Does b lie above a?" in found.out and "b 比 a 高吗？" in found.out


def test_the_list_as_json(clearhead: Command) -> None:
    found = clearhead("ask", "--json")
    assert json.loads(found.out) == [{"question": 90, "title": {"en": "Does b lie above a?", "zh": "b 比 a 高吗？"}}]


def test_explanation_runs_nothing(clearhead: Command, tmp_path: Any) -> None:
    found = clearhead("ask", 90, "--explain", "--out", tmp_path, "--lang", "both")
    assert (found.code, found.err) == (0, "")
    for part in ("Does b lie above a?", "It was put there.", "是放上去的。", "b = a + 1", "Nobody (2024)"):
        assert part in found.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("locale", "said"), [("zh_CN.UTF-8", "是放上去的。"), ("C", "It was put there.")])
def test_the_locale_chooses_the_language(
    clearhead: Command, monkeypatch: pytest.MonkeyPatch, locale: str, said: str
) -> None:
    monkeypatch.setenv("LANG", locale)
    assert said in clearhead("ask", 90, "--explain").out


def test_every_shipped_question_is_on_the_list_and_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    entries = menu.entries()
    assert {1, 5, 12} <= set(entries)
    for number, entry in entries.items():
        question = menu.load(number)
        assert (question.number, question.title) == (number, entry.title)
        assert any("\u4e00" <= character <= "\u9fff" for character in entry.title.zh)
