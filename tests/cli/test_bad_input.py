"""Bad input: one sentence on stderr, exit code 2 for what the user wrote and 1 for what the world did, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
CHINESE = "床前明月光，疑是地上霜。举头望明月，低头思故乡。\n" * 20
RECIPE = (resources.files("clearhead.recipes") / "lm-transformer.yaml").read_text(encoding="utf-8")
VARY = ("--vary", "model.norm=layer,rms")


def refused(found: Any, code: int, *parts: str) -> None:
    """One sentence that says all `parts`, and nothing else."""
    assert found.out == ""
    lines = found.err.splitlines()
    assert len(lines) == 1, found.err
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]
    assert "a bug" not in lines[0]
    assert found.code == code


TEXTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("empty",)),
    "blank": (b" \n\n\t \n", ("white space",)),
    "binary": (bytes(range(256)) * 8, ("binary",)),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200), ("binary",)),
    "gb18030": (CHINESE.encode("gb18030"), ("not utf-8 at byte 0 (line 1)", "--encoding gb18030")),
    "utf-16": (CHINESE.encode("utf-16"), ("not utf-8", "--encoding utf-16")),
    "latin-1": (("Où est le café ? Là.\n" * 20).encode("latin-1"), ("byte 1 (line 1)", "--encoding latin-1")),
    "late": (b"A line of plain text.\n" * 99 + b"caf\xe9\n", ("byte 2181 (line 100)",)),
    "one line": (b"word " * 2000, ("too little to train on",)),
    "ten words": (b"one two three four five six seven eight nine ten", ("too little to train on",)),
    "one line over and over": (b"The same line again.\n" * 500, ("too little to train on",)),
}


@pytest.mark.parametrize("name", TEXTS)
def test_bad_text(clearhead: Command, tmp_path: Path, name: str) -> None:
    content, parts = TEXTS[name]
    file = tmp_path / "bad text.txt"
    file.write_bytes(content)
    refused(clearhead("ask", 90, "--text", file, "--out", tmp_path / "runs"), 2, str(file), *parts)
    assert not (tmp_path / "runs").exists()


def test_unknown_encoding(clearhead: Command, prose: Path) -> None:
    found = clearhead("ask", 90, "--text", prose, "--encoding", "utf9")
    refused(found, 2, "--encoding utf9", "did you mean 'utf-8'?")


def test_missing_text_offers_the_nearest(clearhead: Command, tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text("x")
    refused(clearhead("ask", 90, "--text", tmp_path / "nobel.txt"), 2, "no such file", "did you mean 'novel.txt'?")


def test_folder_without_text(clearhead: Command, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"x")
    refused(clearhead("ask", 90, "--text", tmp_path), 2, "no .txt file in this folder")


def test_bad_text_in_a_comparison(clearhead: Command, tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_text("one two three")
    refused(clearhead("compare", "lm-transformer", *VARY, "--text", file, "--out", tmp_path), 2, "too little")


def test_a_line_break_in_a_name_stays_in_the_one_sentence(clearhead: Command) -> None:
    refused(clearhead("ask", 90, "--text", "no\nsuch\rfile"), 2, "no such file")


USAGE: list[tuple[str, tuple[str, ...]]] = [
    ("ask 99", ("question 99", "no such question", "90")),
    ("ask five", ("'five'", "expected a number")),
    ("ask 1.5", ("expected a number",)),
    ("ask -1", ("-1",)),
    ("ask 90 91", ("91",)),
    ("ask 90 --bugdet quick", ("--bugdet", "--budget")),
    ("ask 90 --text", ("--text",)),
    ("asc 90", ("asc", "'ask'")),
    ("recall", ("recall",)),
    ("ask 90 --budget quik", ("--budget quik", "quick, standard or a number of seconds")),
    ("ask 90 --budget 0", ("--budget 0",)),
    ("ask 90 --budget -3", ("--budget",)),
    ("ask 90 --budget nan", ("--budget nan",)),
    ("ask 90 --budget inf", ("--budget inf",)),
    ("ask 90 --lang fr", ("--lang fr", "en, zh or both")),
    ("ask 90 --seed -1", ("--seed",)),
    ("ask 90 --seed one", ("--seed", "one")),
    ("ask 90 --seed 99999999999999999999", ("--seed",)),
    ("compare", ("RECIPE",)),
    ("compare lm-transformer", ("nothing to compare", "--vary key=a,b")),
    ("compare lm-transformer --vary model.norm=layer", ("nothing to compare",)),
    ("compare lm-transformer --vary model.norm", ("--vary model.norm", "key=a,b")),
    ("compare lm-transformer --vary model.norm=layer,", ("key=a,b",)),
    ("compare lm-transformer --vary =a,b", ("key=a,b",)),
    ("compare lm-transformer --vary model.norm=layer,rsm", ("model.norm", "'rsm'", "did you mean 'rms'?")),
    ("compare lm-transformer --vary model.nrom=layer,rms", ("model.nrom", "did you mean 'norm'?")),
    ("compare lm-transformer --vary modle.norm=layer,rms", ("modle", "did you mean 'model'?")),
    ("compare lm-transformer --vary model.norm=layer,rms --noise-floor", ("--noise-floor", "--vary")),
    ("compare lm-transformer --vary training.learning_rate=1e-3,1e-2", ("--no-tune",)),
    ("compare lm-transformer --vary model.name=transformer_decoder,transformer_encodr", ("'transformer_encoder'?",)),
    ("compare lm-transformer --vary model.norm=layer,rms --set seed", ("key=value",)),
    ("compare lm-transformer --vary model.norm=layer,rms --set seed=-1", ("seed", "-1")),
    ("compare lm-transformer --vary model.norm=layer,rms --set model.norm={a", ("model.norm={a", "line 1, column")),
    ("compare lm-transformer --vary model.norm=layer,rms --set model.hidden_size=wide", ("integer", "'wide'")),
    ("compare lm-transformer --vary model.norm=layer,rms --set model.hidden_size=63", ("hidden_size 63", "64")),
    ("compare lm-transformer --vary model.norm=layer,rms --set training.optimizer.momentun=1", ("'momentum'?",)),
    ("compare lm-transformer --vary model.norm=layer,rms --steps 9 --tokens 9", ("--steps and --tokens", "one budget")),
    ("compare lm-transformer --vary model.norm=layer,rms --steps 0", ("--steps",)),
    ("compare lm-transformer --vary model.norm=layer,rms --seconds nan", ("seconds", "finite")),
    ("compare lm-transformer --vary model.norm=layer,rms --seeds 1", ("--seeds",)),
    ("compare lm-transformer --vary model.norm=layer,rms --margin nan", ("--margin nan", "finite")),
    ("compare lm-transformer --vary model.norm=layer,rms --margin inf", ("--margin inf", "finite")),
    ("compare lm-transformer --vary model.norm=layer,rms --lang english", ("--lang english", "en, zh or both")),
    ("compare lm-transformr --vary model.norm=layer,rms", ("lm-transformr", "did you mean 'lm-transformer'?")),
    ("compare nowhere/recipe.yaml --vary model.norm=layer,rms", ("nowhere/recipe.yaml", "no such recipe file")),
]


@pytest.mark.parametrize(("line", "parts"), USAGE, ids=[line for line, _ in USAGE])
def test_bad_usage(clearhead: Command, tmp_path: Path, prose: Path, line: str, parts: tuple[str, ...]) -> None:
    where = [] if line.split()[0] not in {"ask", "compare"} or line.endswith("--text") else ["--out", tmp_path]
    refused(clearhead(*line.split(), *where), 2, *parts)
    assert not list(tmp_path.iterdir())


def test_a_space_in_a_change_is_told(clearhead: Command) -> None:
    change = "training.optimizer={name: sgd}"
    refused(clearhead("compare", "lm-transformer", *VARY, "--set", change), 2, "holds a space", "by itself")


RECIPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "syntax": (RECIPE + "seed: [1, 2\nmore: }\n", ("line 21, column 5", "not valid YAML")),
    "tab": ("text:\n\tunit: line\n", ("line 2, column 1", "not valid YAML")),
    "no mapping": ("- model\n- text\n", ("expected a mapping", "list")),
    "empty": ("", ("expected a mapping",)),
    "a recipe in itself": ("model: &again [*again]\n", ("line 1, column 8", "not valid YAML")),
    "too deep": ("model: " + "[" * 5000, ("nested too deep",)),
    "unknown section": (RECIPE.replace("\nmodel:", "\nmodle:"), ("modle", "did you mean 'model'?")),
    "unknown key": (RECIPE.replace("hidden_size", "hiden_size"), ("model.hiden_size", "did you mean 'hidden_size'?")),
    "unknown value": (RECIPE.replace("schedule: linear", "schedule: lineal"), ("training.schedule", "'linear'?")),
    "unknown model": (RECIPE.replace("transformer_decoder", "transformer_decodr"), ("'transformer_decoder'?",)),
    "unknown objective": (RECIPE.replace("causal_lm", "casual_lm"), ("objective.name", "'causal_lm'?")),
    "a mapping for a name": (RECIPE.replace("name: causal_lm", "name: {a: b}"), ("objective.name",)),
    "no model": (RECIPE.replace("name: transformer_decoder", ""), ("model.name", "missing")),
    "no objective": (RECIPE.replace("objective: {name: causal_lm}", ""), ("objective", "missing")),
    "a word for a section": (RECIPE.split("training:")[0] + "training: long\n", ("training", "'long'")),
    "no budget": (RECIPE.replace("  steps: 300\n", ""), ("steps, tokens, epochs, seconds", "none of them")),
    "two budgets": (RECIPE + "  tokens: 1000\n", ("exactly one of steps, tokens, epochs, seconds", "steps and tokens")),
    "wide batch": (RECIPE.replace("tokens: 1024}", "tokens: 0}"), ("batches.tokens", "0")),
}


@pytest.mark.parametrize("name", RECIPES)
def test_bad_recipe(clearhead: Command, tmp_path: Path, name: str) -> None:
    content, parts = RECIPES[name]
    file = tmp_path / "recipe.yaml"
    file.write_text(content, encoding="utf-8")
    refused(clearhead("compare", file, *VARY, "--out", tmp_path / "runs"), 2, *parts)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("content", [bytes(range(256)), "norm: café\n".encode("latin-1"), b"\0\0\0"])
def test_a_recipe_that_is_no_text(clearhead: Command, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    refused(clearhead("compare", file, *VARY), 2, str(file))


@pytest.mark.parametrize("budget", ["--steps", "--tokens", "--seconds"])
def test_a_budget_beside_a_section_that_is_none(clearhead: Command, tmp_path: Path, budget: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPES["a word for a section"][0], encoding="utf-8")
    refused(clearhead("compare", file, *VARY, budget, 5), 2, "training")


@pytest.mark.parametrize("command", [("ask", 90), ("compare", "lm-transformer", *VARY)], ids=["ask", "compare"])
def test_a_file_where_the_folder_for_runs_should_be(
    clearhead: Command, tmp_path: Path, prose: Path, command: tuple[object, ...]
) -> None:
    (tmp_path / "runs").write_text("a file")
    refused(clearhead(*command, "--text", prose, "--out", tmp_path / "runs"), 1, "cannot create it", "--out")
    assert (tmp_path / "runs").read_text() == "a file"


def test_debug_shows_the_traceback(clearhead: Command) -> None:
    found = clearhead("ask", 99, "--debug")
    assert found.code == 2
    assert "Traceback" in found.err and found.err.splitlines()[-1].startswith("error: question 99")
