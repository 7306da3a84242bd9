"""Asks every question on the embedded text, keeps answers and figures in docs/evidence, and fills the README's table.

Run `python docs/evidence.py` after a change that moves numbers; `tests/house/test_readme.py` fails where the table and
the answers differ.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence"
BEGIN, END = "<!-- the questions, by docs/evidence.py -->", "<!-- end of the questions -->"
MARKS = {"supported": "✔", "refuted": "✘", "undecided": "?", "out_of_scope": "–"}


def keep(number: int) -> None:
    """Asks one question and keeps its answer, without what differs from machine to machine, and its figures."""
    import clearhead

    answered = clearhead.ask(number, out=ROOT / "runs")
    folder = EVIDENCE / f"{number:02d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for figure in answered.figures:
        shutil.copy(figure, folder / figure.name)
    record = {**answered.record, "figures": [figure.name for figure in answered.figures]}
    record["facts"] = {name: fact for name, fact in record["facts"].items() if "seconds" not in name}
    for name in ("evidence", "report"):
        del record[name]
    (folder / "answer.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def table() -> str:
    """The README's table of questions: how many claims came out how, read from the kept answers."""
    rows = ["| | question | verdicts at `quick` |", "|---|---|---|"]
    for file in sorted(EVIDENCE.glob("*/answer.json")):
        answer: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        outcomes = [claim["outcome"] for claim in answer["claims"]]
        counts = " ".join(f"{outcomes.count(name)} {mark}" for name, mark in MARKS.items() if name in outcomes)
        title = f"{answer['title']['en']}<br>{answer['title']['zh']}"
        rows.append(f"| {answer['question']} | {title} | {counts} |")
    return "\n".join(rows)


def fill(readme: str) -> str:
    """The README's text with the table in its place."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    from clearhead.questions.menu import entries

    for number in entries():
        keep(number)
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
