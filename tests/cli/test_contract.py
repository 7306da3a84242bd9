"""`clearhead ask --json` is a contract: its fields, its files, and that the same ask gives the same numbers."""

from __future__ import annotations

import json
import resource
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from clearhead.experiments.answer import Answer
from clearhead.schemas import schemas

Command = Callable[..., Any]
Ask = Callable[..., dict[str, Any]]
HERE = Path(__file__).parent
PUBLISHED = HERE.parents[1] / "docs" / "schemas"
OF_TIME = {"seconds", "seconds_by_arm", "core_seconds"}


@pytest.fixture
def ask(clearhead: Command, prose: Path) -> Ask:
    def command(out: Path, *options: object) -> dict[str, Any]:
        found = clearhead("ask", 90, "--json", "--text", prose, "--out", out, *options)
        assert (found.code, found.err) == (0, "")
        answer: dict[str, Any] = json.loads(found.out)
        return answer

    return command


@pytest.fixture
def answer(ask: Ask, shared_folder: Path) -> dict[str, Any]:
    return ask(shared_folder / "contract")


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(answer["evidence"]).read_text(encoding="utf-8").splitlines()]


def measured(answer: dict[str, Any]) -> list[Any]:
    facts = {name: fact for name, fact in answer["facts"].items() if name not in OF_TIME | {"command"}}
    return [answer["answer"], answer["claims"], answer["corpus"], facts, rows(answer)]


@pytest.mark.parametrize("name", ["answer-v1.json", "comparison-v1.json"])
def test_published_schemas_are_those_of_the_models(name: str) -> None:
    published = (PUBLISHED / name).read_text(encoding="utf-8")
    assert published == schemas()[name], "the contract has changed; run: python -m clearhead.schemas docs/schemas"


def test_no_schema_is_published_that_no_model_gives() -> None:
    assert {file.name for file in PUBLISHED.iterdir()} == set(schemas())


def test_an_answer_keeps_the_contract(answer: dict[str, Any]) -> None:
    jsonschema.validate(answer, json.loads((PUBLISHED / "answer-v1.json").read_text(encoding="utf-8")))
    assert Answer.model_validate(answer).model_dump(mode="json") == answer
    assert set(answer) >= {"question", "title", "answer", "claims", "figures", "corpus", "facts", "evidence", "seconds"}
    assert answer["question"] == 90
    assert answer["title"] == {"en": "Does b lie above a?", "zh": "b 比 a 高吗？"}
    assert set(answer["corpus"]) == {"name", "sha256", "tokens"}
    assert answer["corpus"]["name"] == "prose.txt" and answer["corpus"]["tokens"] > 100


def test_json_is_one_object_and_nothing_else(clearhead: Command, shared_folder: Path, prose: Path) -> None:
    for _fresh_then_from_disk in range(2):
        found = clearhead("ask", 90, "--json", "--text", prose, "--out", shared_folder / "json")
        assert found.err == ""
        assert found.out.count("\n") == 1 and found.out.startswith("{") and found.out.endswith("}\n")
        json.loads(found.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_every_claim_has_its_verdict_and_interval(answer: dict[str, Any]) -> None:
    claims = {claim["id"]: claim for claim in answer["claims"]}
    outcomes = {name: claim["outcome"] for name, claim in claims.items()}
    assert outcomes == {
        "b_above_a": "supported",
        "a_is_half": "refuted",
        "a_is_tight": "undecided",
        "all_small": "supported",
    }
    for claim in claims.values():
        assert claim["low"] <= claim["effect"] <= claim["high"]
        low, high = claim["region"]
        inside = (low is None or claim["low"] >= low) and (high is None or claim["high"] <= high)
        assert inside == (claim["outcome"] == "supported")
    assert (claims["all_small"]["kind"], claims["all_small"]["level"]) == ("exact", 1.0)
    assert claims["b_above_a"]["region"] == [0.2, None]
    assert "seeds would decide" in claims["a_is_tight"]["reason"] or "too near" in claims["a_is_tight"]["reason"]
    assert claims["a_is_tight"]["reason_zh"]
    assert claims["a_is_tight"]["seeds"] == 6, "an undecided claim gets the next look"
    assert answer["answer"]["en"].startswith("b lies 1.0 above a.")
    assert answer["answer"]["zh"].startswith("b 比 a 高 1.0。")


def test_figures_are_svg_in_both_languages(answer: dict[str, Any]) -> None:
    assert [Path(figure).name for figure in answer["figures"]] == ["shift.en.svg", "shift.zh.svg"]
    for figure, word in zip(answer["figures"], ("level", "水平"), strict=True):
        text = Path(figure).read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert word in text


def test_evidence_is_tidy(answer: dict[str, Any]) -> None:
    found = rows(answer)
    assert len(found) == 2 * 2 * 6 * 3, "arms x widths x seeds x (a level and a path of two steps)"
    for row in found:
        assert list(row)[:4] == ["experiment", "arm", "width", "seed"]
        assert isinstance(row["value"], float)
        assert ("step" in row) == (row["measure"] == "path")
    keys = [tuple(value for name, value in row.items() if name != "value") for row in found]
    assert len(set(keys)) == len(keys)


def test_all_files_lie_in_one_folder_that_is_named_for_the_ask(answer: dict[str, Any], shared_folder: Path) -> None:
    (folder,) = (shared_folder / "contract").glob("ask-90-*")
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    figures = {"figures/shift.en.svg", "figures/shift.zh.svg"}
    assert files == {"answer.json", "evidence.jsonl", "report.html"} | figures
    assert json.loads((folder / "answer.json").read_text(encoding="utf-8")) == answer


def test_the_same_seed_gives_the_same_numbers_and_another_others(
    ask: Ask, answer: dict[str, Any], tmp_path: Path
) -> None:
    again = ask(tmp_path)
    assert again["evidence"] != answer["evidence"]
    assert measured(again) == measured(answer)
    other = ask(tmp_path, "--seed", 1)
    assert not {row["value"] for row in rows(other) if row["measure"] == "level"} & {r["value"] for r in rows(answer)}
    assert other["claims"][0]["effect"] != answer["claims"][0]["effect"]


def test_the_command_in_the_report_repeats_the_ask(clearhead: Command, ask: Ask, tmp_path: Path) -> None:
    first = ask(tmp_path, "--seed", 2, "--budget", "standard")
    program, *arguments = shlex.split(first["facts"]["command"])
    found = clearhead(*arguments, "--out", tmp_path, "--json")
    assert program == "clearhead"
    assert json.loads(found.out) == first


def test_an_identical_ask_is_answered_from_disk_unless_fresh(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("TINY_LOG", str(log))
    first = ask(tmp_path)
    cells = len(log.read_text().splitlines())
    assert cells == first["facts"]["cells"] == 24
    assert ask(tmp_path) == first
    assert len(log.read_text().splitlines()) == cells
    assert measured(ask(tmp_path, "--fresh")) == measured(first)
    assert len(log.read_text().splitlines()) == 2 * cells


def test_another_text_is_another_ask(clearhead: Command, ask: Ask, tmp_path: Path) -> None:
    first = ask(tmp_path)
    other = tmp_path / "other.txt"
    other.write_text("".join(f"The {n}th line of another text says {n * n}.\n" for n in range(90)), encoding="utf-8")
    second = json.loads(clearhead("ask", 90, "--json", "--text", other, "--out", tmp_path).out)
    assert second["evidence"] != first["evidence"]
    assert second["corpus"]["sha256"] != first["corpus"]["sha256"]


def test_an_answer_on_disk_comes_in_under_a_second_without_torch(
    answer: dict[str, Any], prose: Path, shared_folder: Path
) -> None:
    command = [sys.executable, "-X", "importtime", str(HERE / "tiny.py"), "ask", "90"]
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--text", str(prose), "--out", str(shared_folder / "contract")], capture_output=True, text=True
    )
    spent_after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert "from the evidence on disk" in done.stdout
    imports = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "clearhead" in imports
    assert not imports & {"torch", "numpy", "scipy", "pydantic", "tokenizers", "altair", "yaml"}
    seconds = spent_after.ru_utime + spent_after.ru_stime - spent.ru_utime - spent.ru_stime
    assert seconds < 1, "process time, which a busy machine hardly changes; it is about a third of this"


def test_the_terminal_shows_each_claim_in_the_language_asked_for(
    clearhead: Command, answer: dict[str, Any], prose: Path, shared_folder: Path
) -> None:
    where = ("--text", prose, "--out", shared_folder / "contract")
    english, chinese, both = (clearhead("ask", 90, "--lang", lang, *where).out for lang in ("en", "zh", "both"))
    for word in ("✔ supported", "✘ refuted", "? undecided", "b lies above a", "report.html"):
        assert word in english
    assert "b 比 a 高 1.0。" in chinese and "成立" in chinese and "b lies" not in chinese
    assert "b lies 1.0 above a." in both and "b 比 a 高 1.0。" in both


def test_the_clock_is_a_budget_too(ask: Ask, tmp_path: Path) -> None:
    answer = ask(tmp_path, "--budget", 60)
    assert answer["facts"]["budget"] == 60.0
    assert answer["facts"]["left_out"] == {}
    assert answer["claims"][0]["outcome"] == "supported"
