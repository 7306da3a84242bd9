"""The command line: parse, call one function, show. Results go to stdout, progress to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clearhead import __version__
from clearhead.errors import InputError, MachineError, did_you_mean

if TYPE_CHECKING:
    from rich.console import Console

    from clearhead.bilingual import Language
    from clearhead.experiments.runner import Progress
    from clearhead.questions.menu import Entry

TEXT = click.option("--text", metavar="PATH", help="Your text: a file or a folder of .txt. Default: Python's docs.")
ENCODING = click.option("--encoding", default="utf-8", show_default=True, help="The encoding of the text.")
SEEDS = click.IntRange(0, 2**32 - 1)
SEED = click.option("--seed", type=SEEDS, default=0, show_default=True, help="Which set of paired seeds.")
OUT = click.option("--out", type=Path, default=Path("runs"), show_default=True, help="The folder for runs.")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
LANG = click.option("--lang", metavar="en|zh|both", help="Your locale's by default.")
DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="clearhead")
def app() -> None:
    """Text sequence models you can question: ask why a design is so, get a measured verdict on your own text."""


@app.command()
@click.argument("question", required=False)
@TEXT
@SEED
@click.option("--budget", default="quick", show_default=True, metavar="quick|standard|SECONDS", help="Amount of work.")
@LANG
@OUT
@JSON
@click.option("--fresh", is_flag=True, help="Measure again, though the same stands on disk.")
@click.option("--explain", is_flag=True, help="Mechanism, formula and sources; no run.")
@click.option("--checkpoint", metavar="PATH|NAME", help="A BERT: a folder, or a name in the Hugging Face cache.")
@ENCODING
@DEBUG
def ask(
    question: str | None, lang: str | None, as_json: bool, fresh: bool, explain: bool, debug: bool, **plain: Any
) -> int:
    """Answer QUESTION (a number, all, or a .py file of your own) by an experiment on your text; none: list them."""
    from clearhead.questions import menu

    languages = _languages(lang)
    if question is None:
        _list_questions(as_json)
        return 0
    everything = question == "all"
    entry = next(iter(menu.entries().values())) if everything else menu.chosen(question)
    if explain:
        _explain(menu.entries().values() if everything else [entry], as_json, languages)
        return 0
    from clearhead.asking import Asking, answer, on_disk
    from clearhead.interop.finding import find_checkpoint
    from clearhead.text.corpora import open_corpus

    asking = Asking(entry, **plain)
    asking.seconds()
    corpus, found = open_corpus(asking.text, encoding=asking.encoding), find_checkpoint(asking.checkpoint)
    if everything:
        from clearhead.asking_all import answers
        from clearhead.report.terminal import show_answers

        record = _watched(answers(asking, corpus, found, fresh=fresh))
        _shown(record, as_json, lambda console: show_answers(record, console, languages))
        return 1 if record["failures"] else 0
    from clearhead.report.terminal import show_answer

    kept = None if fresh else on_disk(asking, corpus, found)
    record = kept or _watched(answer(asking, corpus, found, fresh=fresh))
    _shown(record, as_json, lambda console: show_answer(record, console, languages, from_disk=kept is not None))
    return 0


@app.command()
@click.argument("recipe")
@click.option("--vary", multiple=True, metavar="KEY=A,B,..", help="A switch and its values: model.norm=layer,batch.")
@click.option("--seeds", type=click.IntRange(2), default=5, show_default=True, help="How many paired seeds.")
@click.option("--steps", type=click.IntRange(1), help="Budget of every run, in steps.")
@click.option("--tokens", type=click.IntRange(1), help="Budget of every run, in tokens.")
@click.option("--seconds", type=click.FloatRange(0.1), help="Budget of every run, in seconds.")
@click.option("--margin", type=click.FloatRange(0.0), default=0.02, show_default=True, help="Less counts as equal.")
@click.option("--tune/--no-tune", default=True, show_default=True, help="An equal learning-rate sweep for every arm.")
@click.option("--noise-floor", is_flag=True, help="Compare the recipe with itself under other seeds (A/A).")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe for all arms.")
@TEXT
@SEED
@LANG
@OUT
@JSON
@ENCODING
@DEBUG
def compare(
    recipe: str,
    vary: tuple[str, ...],
    changes: tuple[str, ...],
    steps: int | None,
    tokens: int | None,
    seconds: float | None,
    text: str | None,
    lang: str | None,
    as_json: bool,
    debug: bool,
    **plain: Any,
) -> None:
    """Compare switches of RECIPE (a shipped recipe's name or a YAML file): equal budgets, paired seeds."""
    from clearhead.comparing import Comparing, comparison
    from clearhead.report.terminal import console_on, show_comparison

    languages = _languages(lang)
    budgets = {"steps": steps, "tokens": tokens, "seconds": seconds}
    budget = {name: amount for name, amount in budgets.items() if amount is not None}
    asked = Comparing(recipe, vary, changes, budget=budget, text=text, **plain)
    record = _watched(comparison(asked, asked.corpus()))
    if as_json:
        print(json.dumps(record, ensure_ascii=False))
    else:
        show_comparison(record, console_on(sys.stdout), languages)


@app.command()
@click.argument("recipe")
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=Path, required=True, metavar="RUN", help="The folder that the run is kept in.")
@click.option("--budget", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Training time.")
@JSON
@LANG
@DEBUG
def train(
    recipe: str,
    changes: tuple[str, ...],
    out: Path,
    budget: float | None,
    as_json: bool,
    lang: str | None,
    debug: bool,
) -> None:
    """Train RECIPE (a shipped recipe's name or a YAML file) on your data, data.train=FILE data.dev=FILE, into RUN."""
    from clearhead.building import Building, training
    from clearhead.report.training import show_run, watched

    languages = _languages(lang)
    record = watched(training(Building(recipe, changes, out, budget)), sys.stderr)
    _shown(record, as_json, lambda console: show_run(record, console, languages))


@app.command()
@click.argument("run", type=Path)
@click.option("--data", metavar="FILE", required=True, help="Examples, in the format that the run was trained on.")
@JSON
@LANG
@DEBUG
def evaluate(run: Path, data: str, as_json: bool, lang: str | None, debug: bool) -> None:
    """Score the RUN that `clearhead train` kept on a file of examples."""
    from clearhead.building import evaluation
    from clearhead.report.training import show_run

    languages = _languages(lang)
    record = evaluation(run, data)
    _shown(record, as_json, lambda console: show_run(record, console, languages))


@app.command()
@click.argument("run", type=Path)
@click.argument("file", default="-", metavar="[FILE|-]")
@ENCODING
@DEBUG
def predict(run: Path, file: str, encoding: str, debug: bool) -> None:
    """What the RUN says about each line of FILE, or of standard input: tags, a class, a translation, more text."""
    from clearhead.building import lines_of, prediction

    for line in prediction(run, lines_of(file, encoding)):
        print(line, flush=True)


def _shown(record: dict[str, Any], as_json: bool, show: Callable[[Console], None]) -> None:
    """The record on stdout: one JSON object, or as `show` puts it on a console."""
    if as_json:
        print(json.dumps(record, ensure_ascii=False))
        return
    from clearhead.report.terminal import console_on

    show(console_on(sys.stdout))


def _explain(entries: Iterable[Entry], as_json: bool, languages: tuple[Language, ...]) -> None:
    from clearhead.questions import menu
    from clearhead.report.terminal import console_on, explanation, show_explanation

    questions = [menu.question_of(entry) for entry in entries]
    if as_json:
        told = [explanation(question) for question in questions]
        print(json.dumps(told[0] if len(told) == 1 else told, ensure_ascii=False))
        return
    for question in questions:
        show_explanation(question, console_on(sys.stdout), languages)


def _list_questions(as_json: bool) -> None:
    from clearhead.questions import menu

    entries = menu.entries().values()
    if as_json:
        print(json.dumps([{"question": e.number, "title": e.title.as_dict()} for e in entries], ensure_ascii=False))
        return
    from clearhead.report.terminal import console_on, show_questions

    show_questions([(entry.number, entry.title) for entry in entries], console_on(sys.stdout))


def _watched(events: Iterator[Progress | dict[str, Any]]) -> dict[str, Any]:
    """The record at the end of the events, with their progress shown live on a terminal."""
    from clearhead.report.progress import watching

    with watching(sys.stderr) as show:
        for event in events:
            if isinstance(event, dict):
                return event
            show(event)
    raise RuntimeError("the run ended without a result")


def _languages(wanted: str | None) -> tuple[Language, ...]:
    """The languages asked for, or the locale's. Raises `InputError` for others."""
    if wanted is None:
        named = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
        return ("zh",) if named.lower().startswith("zh") else ("en",)
    choices: dict[str, tuple[Language, ...]] = {"en": ("en",), "zh": ("zh",), "both": ("en", "zh")}
    if wanted not in choices:
        raise InputError(f"--lang {wanted}: expected en, zh or both{did_you_mean(wanted, choices)}")
    return choices[wanted]


def main() -> None:
    """Runs the command line. Exit codes: 2 what the user wrote, 1 what the world did, 130 Ctrl-C."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command; an error is one sentence on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        code = app.main(args=arguments or ["--help"], prog_name="clearhead", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as fault:
        return _fail(fault.format_message(), 2)
    except InputError as fault:
        return _fail(str(fault), 2, "--debug" in arguments)
    except (MachineError, MemoryError, OSError) as fault:
        return _fail(str(fault) or type(fault).__name__, 1, "--debug" in arguments)
    except (KeyboardInterrupt, click.Abort):
        return _fail("stopped; finished cells are kept, the same command goes on from there", 130)
    except Exception as fault:
        first = next(iter(str(fault).splitlines()), "")
        return _fail(f"{type(fault).__name__}: {first} (a bug; --debug shows where)", 1, "--debug" in arguments)


def _fail(sentence: str, code: int, debug: bool = False) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print("error:", " ".join(sentence.splitlines()), file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
