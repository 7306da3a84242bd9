"""A question in a file of the user's, and all questions at once with one report over them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

Command = Callable[..., Any]
HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return Path(shutil.copy(HERE / "own_tiny.py", tmp_path / "own_tiny.py"))


def test_a_file_of_the_users_is_asked_like_any_question(clearhead: Command, own: Path, prose: Path) -> None:
    found = clearhead("ask", own, "--json", "--text", prose, "--out", own.parent / "runs")
    assert (found.code, found.err) == (0, "")
    answer = json.loads(found.out)
    jsonschema.validate(answer, json.loads((DOCS / "schemas" / "answer-v1.json").read_text(encoding="utf-8")))
    assert answer["question"] == 0 and answer["title"]["en"] == "Is b at least a?"
    assert [claim["outcome"] for claim in answer["claims"]] == ["supported"]
    assert answer["answer"]["en"] == "By 2.0."
    assert Path(answer["report"]).exists() and Path(answer["report"]).parent.name.startswith("ask-own_tiny-")
    again = clearhead("ask", own, "--json", "--text", prose, "--out", own.parent / "runs")
    assert json.loads(again.out) == answer


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = (", "not Python"),
        ("'one line only'", "second line, in Chinese"),
        ('"""Why?\n\n为何？\n"""\nx = 1\n', "no QUESTION = Question"),
        ('"""Why?\n\n为何？\n"""\nx = 1\n1 / 0\n', "(line 6): ZeroDivisionError"),
    ],
)
def test_a_file_that_is_no_question_says_so_in_a_sentence(
    clearhead: Command, tmp_path: Path, source: str, said: str
) -> None:
    file = tmp_path / f"own_{abs(hash(source))}.py"
    file.write_text(source, encoding="utf-8")
    found = clearhead("ask", file, "--out", tmp_path / "runs")
    assert found.code == 2 and found.out == ""
    assert found.err.startswith("error: ") and found.err.count("\n") == 1 and said in found.err


def test_a_file_that_is_not_there(clearhead: Command, tmp_path: Path) -> None:
    found = clearhead("ask", tmp_path / "nowhere.py", "--out", tmp_path)
    assert found.code == 2 and "cannot read it" in found.err


def test_the_question_in_the_documents_is_one(clearhead: Command) -> None:
    from clearhead.experiments.experiment import cell
    from clearhead.questions import menu
    from clearhead.text.corpora import open_corpus

    question = menu.question_of(menu.chosen(str(DOCS / "own_question.py")))
    (experiment,) = question.experiments
    for arm in experiment.arms:
        extra = {"corpus": open_corpus(None), "steps": 2, "learning_rate": 0.01}
        assert question.claims[0].contrast.measure in cell(experiment, arm, {}, 0, "quick", extra).measure()


def test_all_questions_give_one_report_with_an_index(clearhead: Command, tmp_path: Path, prose: Path) -> None:
    found = clearhead("ask", "all", "--json", "--text", prose, "--out", tmp_path)
    assert (found.code, found.err) == (0, "")
    record = json.loads(found.out)
    jsonschema.validate(record, json.loads((DOCS / "schemas" / "answers-v1.json").read_text(encoding="utf-8")))
    assert [one["question"] for one in record["answers"]] == [90] and record["failures"] == []
    page = Path(record["report"])
    text = page.read_text(encoding="utf-8")
    links = re.findall(r'href="([^"#]+)"', text)
    assert links and all((page.parent / link).exists() for link in links)
    assert 'href="#question-90"' in text and 'id="question-90"' in text
    assert record["command"].startswith("clearhead ask all")


def test_asking_all_goes_on_from_what_is_answered(clearhead: Command, tmp_path: Path, prose: Path) -> None:
    one = clearhead("ask", "90", "--json", "--text", prose, "--out", tmp_path)
    everything = clearhead("ask", "all", "--json", "--text", prose, "--out", tmp_path)
    assert json.loads(everything.out)["answers"] == [json.loads(one.out)]


def test_a_question_that_cannot_be_asked_stops_no_other(
    clearhead: Command, tmp_path: Path, prose: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clearhead.questions import menu

    entry = menu.entry(90)
    broken = menu.Entry(91, entry.title, own_broken(tmp_path))
    monkeypatch.setattr(menu, "entries", lambda: {91: broken, 90: entry})
    monkeypatch.setattr(menu, "question_of", asked_or_refused(menu.question_of))
    found = clearhead("ask", "all", "--json", "--text", prose, "--out", tmp_path)
    record = json.loads(found.out)
    assert found.code == 1
    assert [one["question"] for one in record["answers"]] == [90]
    assert record["failures"] == [{"question": 91, "error": "this one cannot be asked"}]


def own_broken(folder: Path) -> Path:
    file = folder / "q91_broken.py"
    file.write_text('"""Why?\n\n为何？\n"""\n', encoding="utf-8")
    return file


def asked_or_refused(question_of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    from clearhead.errors import InputError

    def choose(entry: Any) -> Any:
        if entry.number == 91:
            raise InputError("this one cannot be asked")
        return question_of(entry)

    return choose


def test_explaining_as_json_is_one_object(clearhead: Command) -> None:
    found = clearhead("ask", "90", "--explain", "--json")
    told = json.loads(found.out)
    assert told["question"] == 90 and told["formula"] == "b = a + 1"
    assert told["sources"][0]["authors"] == "Nobody"
