"""`ask all`: every question of one text, one after the other, and one report with an index over their answers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearhead.asking import Asking, answer, folder_of, on_disk
from clearhead.digests import digest
from clearhead.errors import InputError
from clearhead.files import make_folder, write_whole
from clearhead.questions import menu
from clearhead.text.corpora import Corpus

if TYPE_CHECKING:
    from clearhead.experiments.runner import Progress
    from clearhead.interop.finding import Found

BAR = "all questions"


def answers(
    asked: Asking, corpus: Corpus, found: Found | None, *, fresh: bool = False
) -> Iterator[Progress | dict[str, Any]]:
    """Asks every question as `asked` asks one: `Progress` over the whole, then all answers as their JSON contract has
    them, written to disk with their report.

    Answers that stand on disk are taken as they are, so that a run that was stopped goes on. A question that cannot
    be asked of this text, or that fails, is among the `failures` and stops none of the others.
    """
    from clearhead.experiments.fanout import CellFailedError
    from clearhead.experiments.runner import Progress

    started = time.monotonic()
    askings = [replace(asked, question=entry) for entry in menu.entries().values()]
    records: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for done, one in enumerate(askings):
        number = one.question.number
        yield Progress(BAR, done, len(askings), f"question {number}")
        try:
            for event in _one(one, corpus, found, fresh):
                if isinstance(event, dict):
                    records.append(event)
                else:
                    note = f"question {number}: {event.experiment.replace('_', ' ')} {event.done}/{event.total}"
                    yield Progress(BAR, done, len(askings), note)
        except (InputError, CellFailedError) as fault:
            failures.append({"question": number, "error": str(fault).splitlines()[0]})
    yield Progress(BAR, len(askings), len(askings))
    yield _written(askings, corpus, found, records, failures, started)


def _one(one: Asking, corpus: Corpus, found: Found | None, fresh: bool) -> Iterator[Progress | dict[str, Any]]:
    kept = None if fresh else on_disk(one, corpus, found)
    if kept is not None:
        yield kept
    else:
        yield from answer(one, corpus, found, fresh=fresh)


def _written(
    askings: Sequence[Asking],
    corpus: Corpus,
    found: Found | None,
    records: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
    started: float,
) -> dict[str, Any]:
    from clearhead.experiments import answer as contract
    from clearhead.report.index_page import index_page

    first = askings[0]
    folder = make_folder(first.out / f"ask-all-{digest([folder_of(one, corpus, found).name for one in askings])}")
    record = contract.Answers(
        answers=[contract.Answer.model_validate(one) for one in records],
        failures=[contract.Failure.model_validate(one) for one in failures],
        command=first.command().replace(f"ask {first.question.number}", "ask all", 1),
        report=str(folder / "report.html"),
        seconds=round(time.monotonic() - started, 1),
    ).model_dump(mode="json")
    links = {one["question"]: Path(os.path.relpath(one["report"], folder)).as_posix() for one in records}
    write_whole(folder / "report.html", index_page(record, links))
    write_whole(folder / "answers.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    return record
