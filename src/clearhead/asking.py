"""`ask`: from a question and a text to an answer on disk: questions -> experiments -> report. Nothing is decided here.

The path to an answer that is already on disk imports no torch, numpy or pydantic.
"""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearhead import __version__
from clearhead.digests import digest
from clearhead.errors import InputError
from clearhead.experiments.store import PACKAGE, code_fingerprint, versions
from clearhead.files import make_folder, write_whole
from clearhead.questions import menu
from clearhead.questions.menu import Entry
from clearhead.text.corpora import EMBEDDED, SOURCE_CODE, Corpus, open_corpus

if TYPE_CHECKING:
    from clearhead.experiments.evidence import Evidence
    from clearhead.experiments.runner import Findings, Plan, Progress
    from clearhead.experiments.views import View
    from clearhead.interop.finding import Found

ALL_BUT_QUESTIONS = tuple(sorted(path.name for path in PACKAGE.iterdir() if path.name != "questions"))
LEAST_SECONDS = 5.0


@dataclass(frozen=True)
class Asking:
    """One ask, as the user wrote it. `budget` is `quick`, `standard` or a number of seconds."""

    question: Entry
    text: str | None = None
    seed: int = 0
    budget: str = "quick"
    out: Path = Path("runs")
    encoding: str = "utf-8"
    workers: int | None = None
    checkpoint: str | None = None

    def seconds(self) -> float | None:
        """The clock's budget, None for a fixed amount of work. Raises `InputError`."""
        if self.budget in {"quick", "standard"}:
            return None
        try:
            seconds = float(self.budget)
        except ValueError:
            seconds = -1.0
        if not LEAST_SECONDS <= seconds < float("inf"):
            raise InputError(
                f"--budget {self.budget}: expected quick, standard or a number of seconds from {LEAST_SECONDS:g} up"
            )
        return seconds

    def command(self) -> str:
        """The command that asks the same again."""
        words = ["clearhead", "ask", str(self.question.number or self.question.file)]
        for option, value, default in (
            ("--text", self.text, None),
            ("--seed", self.seed, 0),
            ("--budget", self.budget, "quick"),
            ("--encoding", self.encoding, "utf-8"),
            ("--checkpoint", self.checkpoint, None),
        ):
            if value != default:
                words += [option, str(value)]
        return shlex.join(words)


def folder_of(asking: Asking, corpus: Corpus, found: Found | None) -> Path:
    """Where this answer lies: named by the question, the text, the checkpoint, the seed, the budget, the code and the
    versions."""
    one = asking.question
    source = one.file.read_text(encoding="utf-8")
    kit = versions("torch", "numpy", "scipy", "tokenizers")
    rest = (found.sha256 if found else "", asking.seed, asking.budget, code_fingerprint(ALL_BUT_QUESTIONS), kit)
    name = digest(source, corpus.sha256, menu.shipped(one.number), *rest)
    return asking.out / f"ask-{f'{one.number:02d}' if one.number else one.file.stem}-{name}"


def on_disk(asking: Asking, corpus: Corpus, found: Found | None) -> dict[str, Any] | None:
    """The answer to an identical ask, if one stands on disk whole; one that the clock cut short is not."""
    folder = folder_of(asking, corpus, found)
    try:
        record: dict[str, Any] = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
        places = {"evidence": str(folder / "evidence.jsonl"), "report": str(folder / "report.html")}
        figures = [str(folder / "figures" / Path(figure).name) for figure in record["figures"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = Path(places["report"]).exists() and Path(places["evidence"]).exists() and not record["facts"]["left_out"]
    return {**record, **places, "figures": figures} if whole else None


def answer(
    asking: Asking, corpus: Corpus, found: Found | None, *, fresh: bool = False
) -> Iterator[Progress | dict[str, Any]]:
    """Runs the question: `Progress` after every cell, then the answer as the JSON contract has it, written to disk.

    `found` is the checkpoint for what needs one. Finished cells of an earlier run are taken up again, unless all is to
    be `fresh`.
    """
    from clearhead.experiments.fanout import Fanout, available_cores
    from clearhead.experiments.runner import Findings, Plan, conduct

    started = time.monotonic()
    seconds = asking.seconds()
    question = menu.question_of(asking.question)
    tokens = _tokens(corpus)
    folder = make_folder(folder_of(asking, corpus, found))
    plan = Plan(
        question.experiments,
        question.claims,
        corpus,
        size="standard" if asking.budget == "standard" else "quick",
        looks="quick" if asking.budget == "quick" else "standard",
        seed=asking.seed,
        checkpoint=found,
        second=open_corpus(SOURCE_CODE if corpus.source == EMBEDDED else None) if asking.budget == "standard" else None,
    )
    deadline = None if seconds is None else started + seconds
    own = None if asking.question.number else asking.question.file
    fanout = Fanout(asking.out / "cells", asking.workers or available_cores(), deadline, fresh, own)
    for event in conduct(plan, fanout):
        if isinstance(event, Findings):
            yield _written(asking, plan, event, folder, tokens, started)
        else:
            yield event


def _tokens(corpus: Corpus) -> int:
    from clearhead.experiments.trained import prepared
    from clearhead.jobs.data import DataSpec, count_tokens
    from clearhead.text.tokenized import TextSpec

    return count_tokens(prepared(DataSpec(), TextSpec(), corpus))


def _written(
    asking: Asking, plan: Plan, findings: Findings, folder: Path, tokens: int, started: float
) -> dict[str, Any]:
    """The answer as plain data, with its evidence, figures and report written first and itself last."""
    from clearhead.experiments import answer as contract
    from clearhead.experiments.evidence import Evidence
    from clearhead.experiments.question import joined
    from clearhead.report.answer_page import answer_page

    question = menu.question_of(asking.question)
    shipped = menu.shipped(asking.question.number)
    sentences = question.sentences(findings.verdicts, shipped)
    facts = {**findings.evidence.facts, **_facts(asking, plan)}
    evidence = Evidence(findings.evidence.rows, facts)
    corpus = contract.CorpusRecord(name=plan.corpus.name, sha256=plan.corpus.sha256, tokens=tokens)
    record = contract.Answer(
        question=asking.question.number,
        title=contract.words(question.title),
        headline=contract.words(joined(sentences[:1])),
        answer=contract.words(joined(sentences)),
        claims=contract.claim_records(question.claims, findings.verdicts, shipped),
        figures=write_figures(question.figures, evidence, folder),
        corpus=corpus,
        facts=facts,
        evidence=str(evidence.write(folder / "evidence.jsonl")),
        report=str(folder / "report.html"),
        seconds=round(time.monotonic() - started, 1),
    ).model_dump(mode="json")
    source = asking.question.file.read_text(encoding="utf-8")
    write_whole(folder / "report.html", answer_page(record, evidence, question, source=source))
    write_whole(folder / "answer.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    return record


def write_figures(views: Sequence[View], evidence: Evidence, folder: Path) -> list[str]:
    """The paths of the figures, an SVG a view and language."""
    from clearhead.bilingual import LANGUAGES
    from clearhead.report.figures import figure, svg

    return [
        str(write_whole(folder / "figures" / f"{view.name}.{language}.svg", svg(figure(view, evidence, language))))
        for view in views
        for language in LANGUAGES
    ]


def environment_facts() -> dict[str, str]:
    """What a run stands on besides its own settings: versions, the machine, threads."""
    return {
        "clearhead": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        **versions("torch", "numpy", "scipy", "tokenizers"),
        "threads": "one a process",
    }


def _facts(asking: Asking, plan: Plan) -> dict[str, Any]:
    return {
        **environment_facts(),
        "budget": asking.seconds() or asking.budget,
        "seed": plan.seed,
        "text": "embedded" if plan.corpus.source == EMBEDDED else plan.corpus.name,
        "command": asking.command(),
    }
