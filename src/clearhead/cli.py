"""The command line: parse, call one function, show. Results go to stdout, progress to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from clearhead import __version__
from clearhead.errors import InputError, MachineError, did_you_mean

if TYPE_CHECKING:
    from clearhead.bilingual import Language
    from clearhead.experiments.runner import Progress

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Text sequence models you can question: ask why a design is so, and get a measured verdict on your own text.",
)

Text = Annotated[str | None, typer.Option(help="Your text: a file or a folder of .txt files. Default: Python's docs.")]
Encoding = Annotated[str, typer.Option(help="The encoding of the text.")]
Seed = Annotated[int, typer.Option(min=0, help="Which set of paired seeds.")]
Out = Annotated[Path, typer.Option(help="The folder that runs are written to.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Lang = Annotated[str | None, typer.Option(help="en, zh or both; your locale's by default.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Measure again, though the same stands on disk.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        print(f"clearhead {__version__}")
        raise typer.Exit


@app.command()
def ask(
    question: Annotated[str | None, typer.Argument(help="The question's number; without one, the list.")] = None,
    text: Text = None,
    seed: Seed = 0,
    budget: Annotated[str, typer.Option(help="quick, standard, or a number of seconds.")] = "quick",
    lang: Lang = None,
    out: Out = Path("runs"),
    json_: Json = False,
    fresh: Fresh = False,
    explain: Annotated[bool, typer.Option("--explain", help="Mechanism, formula and sources; no run.")] = False,
    encoding: Encoding = "utf-8",
    debug: Debug = False,
) -> None:
    """Answer a question by a controlled experiment on your own text."""
    from clearhead.questions import menu

    languages = _languages(lang)
    if question is None:
        _list_questions(json_)
        return
    number = menu.number_of(question)
    if explain:
        from clearhead.report.terminal import console_on, show_explanation

        show_explanation(menu.load(number), console_on(sys.stdout), languages)
        return
    from clearhead.asking import Asking, answer, on_disk
    from clearhead.text.corpora import open_corpus

    asking = Asking(number, text, seed, budget, out, encoding)
    asking.seconds()
    corpus = open_corpus(text, encoding=encoding)
    kept = None if fresh else on_disk(asking, corpus)
    record = kept or _watched(answer(asking, corpus, fresh=fresh))
    if json_:
        print(json.dumps(record, ensure_ascii=False))
        return
    from clearhead.report.terminal import console_on, show_answer

    show_answer(record, console_on(sys.stdout), languages, from_disk=kept is not None)


@app.command()
def compare(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")],
    vary: Annotated[list[str] | None, typer.Option(help="A switch and its values: model.norm=layer,batch,rms.")] = None,
    seeds: Annotated[int, typer.Option(min=2, help="How many paired seeds.")] = 5,
    steps: Annotated[int | None, typer.Option(min=1, help="Budget of every run, in steps.")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Budget of every run, in tokens.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Budget of every run, in seconds.")] = None,
    margin: Annotated[float, typer.Option(min=0.0, help="Differences within this count as none.")] = 0.02,
    tune: Annotated[bool, typer.Option(help="Give each arm its own learning rate from an equal sweep.")] = True,
    noise_floor: Annotated[bool, typer.Option("--noise-floor", help="Compare the recipe with itself (A/A).")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change the recipe for all arms: key=value.")] = None,
    text: Text = None,
    seed: Seed = 0,
    lang: Lang = None,
    out: Out = Path("runs"),
    json_: Json = False,
    encoding: Encoding = "utf-8",
    debug: Debug = False,
) -> None:
    """Compare switches of a recipe: equal budgets, paired seeds, honest statistics."""
    from clearhead.comparing import Comparing, comparison
    from clearhead.report.terminal import console_on, show_comparison
    from clearhead.text.corpora import open_corpus

    languages = _languages(lang)
    budgets = {"steps": steps, "tokens": tokens, "seconds": seconds}
    budget = {name: amount for name, amount in budgets.items() if amount is not None}
    changes = (tuple(vary or ()), tuple(set_ or ()))
    asked = Comparing(recipe, *changes, seeds, budget, margin, tune, noise_floor, text, seed, out, encoding)
    record = _watched(comparison(asked, open_corpus(text, encoding=encoding)))
    if json_:
        print(json.dumps(record, ensure_ascii=False))
    else:
        show_comparison(record, console_on(sys.stdout), languages)


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
        code = app(args=arguments, prog_name="clearhead", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as shown:
        print(shown.format_message())
        return 0
    except click.ClickException as fault:
        return _fail(fault.format_message(), 2)
    except InputError as fault:
        return _fail(str(fault), 2, "--debug" in arguments)
    except (MachineError, MemoryError, OSError) as fault:
        return _fail(str(fault) or type(fault).__name__, 1, "--debug" in arguments)
    except (KeyboardInterrupt, click.Abort):
        return _fail("stopped; finished cells are kept, the same command goes on from there", 130)
    except Exception as fault:
        first = str(fault).splitlines()[0] if str(fault) else ""
        return _fail(f"{type(fault).__name__}: {first} (a bug; --debug shows where)", 1, "--debug" in arguments)


def _fail(sentence: str, code: int, debug: bool = False) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"error: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
