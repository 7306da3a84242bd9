"""Asks every question on the embedded text at `standard`, keeps answers and figures in docs/evidence, the verdicts in
the package, and fills the README's table.

Run `python docs/evidence.py` after a change that moves numbers (an hour or more on two cores; `--only 5 12` for some,
finished cells are never run again). `tests/house/test_readme.py` fails where the table, the verdicts and the answers
differ.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence"
SHIPPED = ROOT / "src" / "clearhead" / "questions" / "shipped.json"
BEGIN, END = "<!-- the questions, by docs/evidence.py -->", "<!-- end of the questions -->"
MARKS = {"supported": "✔", "refuted": "✘", "undecided": "?", "out_of_scope": "–"}


def keep(number: int, budget: str) -> None:
    """Asks one question and keeps its answer, with the date and the machine, and its figures."""
    import clearhead

    answered = clearhead.ask(number, out=ROOT / "runs", budget=budget)
    folder = EVIDENCE / f"{number:02d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for figure in answered.figures:
        shutil.copy(figure, folder / figure.name)
    record = {**answered.record, "figures": [figure.name for figure in answered.figures]}
    facts = {name: fact for name, fact in record["facts"].items() if name not in {"seconds", "seconds_by_arm"}}
    record["facts"] = {**facts, "date": f"{datetime.date.today()}", "cores": os.cpu_count()}
    for name in ("evidence", "report"):
        del record[name]
    for claim in record["claims"]:
        del claim["shipped"]
    (folder / "answer.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def answers() -> list[dict[str, Any]]:
    """The kept answers, by number."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(EVIDENCE.glob("*/answer.json"))]


def shipped() -> str:
    """`{question: {claim: verdict}}` of the kept answers: what an answer on another text is held against."""
    verdicts = {
        str(answer["question"]): dict(sorted((claim["id"], claim["outcome"]) for claim in answer["claims"]))
        for answer in answers()
    }
    return json.dumps(verdicts, indent=1) + "\n"


def table() -> str:
    """The README's table of questions: how many claims came out how, and the first sentence of the answer."""
    rows = ["| | question | verdicts | in a line | budget |", "|---|---|---|---|---|"]
    for answer in answers():
        outcomes = [claim["outcome"] for claim in answer["claims"]]
        counts = " ".join(f"{outcomes.count(name)} {mark}" for name, mark in MARKS.items() if name in outcomes)
        title = f"{answer['title']['en']}<br>{answer['title']['zh']}"
        line, budget = answer["headline"]["en"], answer["facts"]["budget"]
        rows.append(f"| {answer['question']} | {title} | {counts} | {line} | {budget} |")
    return "\n".join(rows)


def fill(readme: str) -> str:
    """The README's text with the table in its place."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    from clearhead.questions import menu

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="*", default=list(menu.entries()), help="numbers")
    parser.add_argument("--budget", default="standard")
    chosen = parser.parse_args()
    menu.shipped = lambda number: {}  # an answer that is to ship is held against no other
    for number in chosen.only:
        keep(number, chosen.budget)
        print(number, flush=True)
    SHIPPED.write_text(shipped(), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
