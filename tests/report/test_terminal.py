from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from clearhead.bilingual import LANGUAGES, Bilingual, Language
from clearhead.experiments.question import Question
from clearhead.report.terminal import (
    console_on,
    show_answer,
    show_comparison,
    show_explanation,
    show_questions,
)

CHOICES: list[list[Language]] = [["en"], ["zh"], ["en", "zh"]]


def lines_of(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def narrow() -> Console:
    return console_on(io.StringIO(), width=80)


@pytest.mark.parametrize("languages", CHOICES)
def test_an_answer_fits_eighty_columns_and_says_all(languages: list[Language], record: dict[str, Any]) -> None:
    console = narrow()
    show_answer(record, console, languages)
    lines = lines_of(console)
    assert all(cell_len(line) <= 80 for line in lines)
    assert not any(line.endswith(" ") for line in lines)
    words = "\n".join(lines)
    for language in languages:
        assert record["title"][language] in words
    for said in ("✔", "✘", "?", "1.14 nats [0.69, 1.59]", "1 ± 0.02", "118,204", record["report"], "--seed 0"):
        assert said in words


def test_a_pipe_gets_plain_lines(record: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    console = narrow()
    show_answer(record, console)
    assert "\x1b" not in "\n".join(lines_of(console))


def test_no_color_is_kept_where_there_is_a_terminal(record: dict[str, Any]) -> None:
    stream = io.StringIO()
    show_answer(record, Console(file=stream, force_terminal=True, no_color=True, width=80))
    assert "\x1b[3" not in stream.getvalue() and "\x1b[9" not in stream.getvalue()
    coloured = io.StringIO()
    show_answer(record, Console(file=coloured, force_terminal=True, color_system="standard", width=80))
    assert "\x1b[32m" in coloured.getvalue()


def test_an_answer_from_disk_says_so(record: dict[str, Any]) -> None:
    console = narrow()
    show_answer(record, console, from_disk=True)
    assert any("--fresh" in line for line in lines_of(console))


@pytest.mark.parametrize(("language", "said"), [("en", "recall (7)"), ("zh", "未做的单元：recall (7)")])
def test_what_the_clock_left_out_is_said(record: dict[str, Any], language: Language, said: str) -> None:
    console = narrow()
    show_answer({**record, "facts": {**record["facts"], "left_out": {"recall": 7}}}, console, [language])
    assert said in "\n".join(lines_of(console))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_comparison_fits_eighty_columns(language: Language, comparison: dict[str, Any]) -> None:
    console = narrow()
    show_comparison(comparison, console, [language])
    lines = lines_of(console)
    command = comparison["facts"]["command"]
    assert all(cell_len(line) <= 80 for line in lines if command not in line)
    words = "\n".join(lines)
    for said in ("norm=batch", "+0.390 [0.340, 0.440]", "0.0004", "1.2M", "0.031", command, "± 0.02"):
        assert said in words
    assert lines[-1].endswith(command)


def test_the_list_of_questions_has_both_languages() -> None:
    console = narrow()
    show_questions(
        [(1, Bilingual("Why layer norm?", "为什么用层归一化？")), (12, Bilingual("ELMo?", "伪双向？"))], console
    )
    assert lines_of(console) == [
        "  1  Why layer norm?",
        "     为什么用层归一化？",
        " 12  ELMo?",
        "     伪双向？",
    ]


def test_an_explanation_has_mechanism_formula_and_sources(question: Question) -> None:
    console = narrow()
    show_explanation(question, console, ["en", "zh"])
    words = "\n".join(lines_of(console))
    for said in ("softmax(QKᵀ/√d_k)V", "So it saturates.", "方差是", "Vaswani", "1706.03762"):
        assert said in words


def test_escape_sequences_of_a_foreign_name_do_not_reach_the_terminal(record: dict[str, Any]) -> None:
    record["corpus"]["name"] = "novel\x1b]0;owned\x07.txt"
    record["claims"][0]["statement"]["en"] = "red \x1b[31m text [bold]not markup[/bold]"
    console = narrow()
    show_answer(record, console)
    words = "\n".join(lines_of(console))
    assert "\x1b" not in words and "\x07" not in words
    assert "[bold]not markup[/bold]" in words


def test_a_cached_answer_is_shown_without_heavy_imports() -> None:
    code = (
        "import sys, clearhead.report.terminal, clearhead.report.progress;"
        "print(sorted({'torch', 'numpy', 'scipy', 'pydantic', 'vl_convert', 'altair'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
