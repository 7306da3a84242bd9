"""An answer, a comparison, the list of questions, an explanation: as lines for a terminal or a pipe.

Read from plain dictionaries (the JSON contract), so that an answer on disk shows without numpy or torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from clearhead.bilingual import LANGUAGES, Bilingual, Language
from clearhead.report.numbers import compact, duration, plain, probability, whole
from clearhead.report.words import (
    OUTCOMES,
    WORDS,
    budget_words,
    difference_words,
    effect_words,
    left_out_words,
    outcome_counts,
    printable,
    read,
    region_words,
    replicates,
    statement_words,
    transfer_words,
    value_words,
)
from clearhead.report.wrapping import wrap

if TYPE_CHECKING:
    from clearhead.experiments.question import Question

INDENT = 4
WIDEST_NAME = 20
WIDEST = 100
QUIET = "bright_black"


def console_on(stream: TextIO, *, width: int | None = None) -> Console:
    """A console that writes plain lines to a pipe and under NO_COLOR, 80 columns wide where nothing else is known."""
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def show_answer(
    answer: Mapping[str, Any], console: Console, languages: Sequence[Language] = ("en",), *, from_disk: bool = False
) -> None:
    """The answer of `clearhead ask`: header, a row a claim, the short answer, the report's place, how to repeat it."""
    _title(console, f"{answer['question']} · ", [read(answer["title"], language) for language in languages])
    first = languages[0]
    _pairs(console, _basis(answer, first))
    if from_disk:
        _lines(console, WORDS["answered_before"][first], style=QUIET)
    if answer["facts"].get("left_out"):
        _lines(console, left_out_words(answer["facts"]["left_out"])[first])
    _gap(console)
    room = _mark_room([claim["outcome"] for claim in answer["claims"]], first)
    for claim in answer["claims"]:
        _claim(console, claim, languages, room)
    for language in languages:
        if answer["answer"][language]:
            _gap(console)
            between = "：" if language == "zh" else ": "
            _lines(console, f"{WORDS['answer'][language]}{between}{read(answer['answer'], language)}")
    _where(console, answer, first)


def show_answers(record: Mapping[str, Any], console: Console, languages: Sequence[Language] = ("en",)) -> None:
    """The answers of `clearhead ask all`: title, verdicts and first sentence each, what failed, the report's place."""
    first = languages[0]
    for answer in record["answers"]:
        _title(console, f"{answer['question']} · ", [read(answer["title"], language) for language in languages])
        counts = outcome_counts([claim["outcome"] for claim in answer["claims"]])
        _lines(console, "   ".join(f"{words.mark} {number} {words.word[first]}" for words, _, number in counts))
        for language in languages:
            _lines(console, read(answer["headline"], language))
        _gap(console)
    for failure in record["failures"]:
        _hanging(console, Text(f"{failure['question']} · ", style="bold"), printable(failure["error"]), style="red")
    _where(console, {"report": record["report"], "facts": {"command": record["command"]}}, first)


def show_comparison(record: Mapping[str, Any], console: Console, languages: Sequence[Language] = ("en",)) -> None:
    """The table of `clearhead compare`: two lines an arm, then what these seeds could have shown."""
    language = languages[0]
    _title(console, "", [f"{printable(record['recipe'])} · {printable(record['metric'])}"])
    pairs = [(WORDS["budget"][language], budget_words(record["budget"])[language])]
    pairs.append((WORDS["seeds"][language], plain(record["seeds"])))
    if record.get("margin") is not None:
        pairs.append((WORDS["margin"][language], f"± {plain(record['margin'])}"))
    if record.get("tuning_seconds"):
        pairs.append((WORDS["tuning"][language], duration(record["tuning_seconds"])))
    _pairs(console, pairs)
    _gap(console)
    marks = _mark_room([arm["outcome"] for arm in record["arms"]], language)
    names = max(cell_len(printable(arm["name"])) for arm in record["arms"])
    for arm in record["arms"]:
        _arm(console, arm, language, (marks, min(names, WIDEST_NAME)))
    if record.get("smallest_detectable") is not None:
        least = plain(record["smallest_detectable"], 2)
        said = Bilingual(
            f"p by Holm's procedure. Smallest difference that these seeds show in four of five repetitions: {least}.",
            f"p 经 Holm 校正。这些种子在五次重复中有四次能分辨的最小差值：{least}。",
        )
        _gap(console)
        _lines(console, said[language])
    _where(console, record, language)


def show_questions(
    questions: Iterable[tuple[int, Bilingual]], console: Console, languages: Sequence[Language] = LANGUAGES
) -> None:
    """The list of questions, each with its number and its title in every language."""
    for number, title in questions:
        for i, language in enumerate(languages):
            lead = f"{number:>3}  " if i == 0 else " " * 5
            _hanging(console, Text(lead, style="bold"), read(title, language), style="" if i == 0 else QUIET)


def explanation(question: Question) -> dict[str, Any]:
    """Title, formula, mechanism and sources of a question, as plain data."""
    return {
        "question": question.number,
        "title": question.title.as_dict(),
        "formula": question.formula,
        "mechanism": question.mechanism.as_dict(),
        "sources": [dataclasses.asdict(source) for source in question.sources],
    }


def show_explanation(question: Question, console: Console, languages: Sequence[Language] = ("en",)) -> None:
    """Title, formula, mechanism and sources of a question."""
    _title(console, f"{question.number} · ", [read(question.title, language) for language in languages])
    if question.formula:
        _gap(console)
        for line in question.formula.splitlines():
            _lines(console, printable(line), indent=8)
    for language in languages:
        for paragraph in filter(None, question.mechanism[language].split("\n\n")):
            _gap(console)
            _lines(console, printable(paragraph))
    if question.sources:
        _gap(console)
        _put(console, Text(" " * INDENT + WORDS["sources"][languages[0]], style="bold"))
    for source in question.sources:
        where = f". {source.where}" if source.where else ""
        said = printable(f"{source.authors} ({source.year}). {source.title}{where}")
        _hanging(console, Text(" " * INDENT + "· "), said)


def _title(console: Console, number: str, titles: Sequence[str]) -> None:
    for i, title in enumerate(titles):
        lead = number if i == 0 else " " * cell_len(number)
        _hanging(console, Text(lead, style="bold"), title, style="bold" if i == 0 else "")


def _basis(answer: Mapping[str, Any], language: Language) -> list[tuple[str, str]]:
    """Text, budget, seeds and time."""
    corpus, facts = answer["corpus"], answer["facts"]
    tokens = f"{printable(corpus['name'])}, {whole(corpus['tokens'])} {WORDS['tokens'][language]}"
    pairs = [(WORDS["corpus"][language], tokens)]
    if facts.get("budget"):
        pairs.append((WORDS["budget"][language], budget_words(facts["budget"])[language]))
    if facts.get("looks"):
        looks = ", ".join(map(str, _longest(facts["looks"].values())))
        pairs.append((WORDS["seeds"][language], f"分批 {looks}" if language == "zh" else f"in looks of {looks}"))
    pairs.append((WORDS["seconds"][language], duration(answer["seconds"])))
    return pairs


def _longest(looks: Iterable[Sequence[int]]) -> Sequence[int]:
    return max(looks, key=lambda look: look[-1])


def _claim(console: Console, claim: Mapping[str, Any], languages: Sequence[Language], room: int) -> None:
    """The statement beside mark and word, its numbers below, and why an undecided claim is so."""
    language = languages[0]
    lead = _mark(claim["outcome"], language, room)
    for i, one in enumerate(languages):
        start = lead if i == 0 else Text(" " * lead.cell_len)
        _hanging(console, start, read(statement_words(claim), one), style="" if claim["effect"] is not None else QUIET)
    wanted = f"{WORDS['wanted'][language]} {region_words(claim['region'])[language]}"
    numbers = [effect_words(claim)[language], wanted]
    if claim["effect"] is not None:
        numbers.insert(1, replicates(claim)[language])
    indent = lead.cell_len
    _lines(console, _unbroken(numbers, "\u00a0· "), indent=indent, style=QUIET)
    reason = (claim["reason_zh"] if language == "zh" else claim["reason"]) or claim["reason"]
    if reason:
        _lines(console, printable(reason), indent=indent, style=QUIET)
    if claim.get("transfer"):
        _lines(console, read(transfer_words(claim), language), indent=indent, style=QUIET)


def _mark_room(outcomes: Sequence[str], language: Language) -> int:
    return max((cell_len(OUTCOMES[outcome].word[language]) for outcome in outcomes), default=0)


def _mark(outcome: str, language: Language, room: int) -> Text:
    words = OUTCOMES[outcome]
    word = words.word[language]
    style = "" if words.colour == "default" else words.colour
    return Text(f"{' ' * INDENT}{words.mark} {word}{' ' * (room - cell_len(word))}  ", style=style)


def _arm(console: Console, arm: Mapping[str, Any], language: Language, rooms: tuple[int, int]) -> None:
    """Name, value and difference; below, how sure that is and what it cost."""
    lead = _mark(arm["outcome"], language, rooms[0])
    name = printable(arm["name"])
    shown = [name + " " * (rooms[1] - cell_len(name)), value_words(arm)]
    cost = [
        f"{compact(arm['parameters'])} {WORDS['parameters'][language]}",
        f"{compact(arm['tokens'])} {WORDS['tokens'][language]}",
        f"lr {plain(arm['learning_rate'])}",
        duration(arm["seconds"]),
    ]
    if arm["difference"] is not None:
        shown.append(difference_words(arm))
        cost.insert(0, f"p {probability(arm['p_holm'])}")
    _hanging(console, lead, _unbroken(shown, "\u00a0\u00a0 "))
    _lines(console, _unbroken(cost, "\u00a0· "), indent=lead.cell_len, style=QUIET)


def _unbroken(parts: Sequence[str], between: str) -> str:
    """Parts that a line may end between, but not within."""
    return between.join(part.replace(" ", "\u00a0") for part in parts)


def _where(console: Console, record: Mapping[str, Any], language: Language) -> None:
    """The report's path and the command that repeats it: never broken, so that they can be copied."""
    named = (("report", record.get("report")), ("again", record.get("facts", {}).get("command")))
    shown = [(WORDS[name][language], printable(value)) for name, value in named if value]
    if shown:
        _gap(console)
    room = max((cell_len(name) for name, _ in shown), default=0)
    for name, value in shown:
        _put(console, Text.assemble(" " * INDENT, (name + " " * (room - cell_len(name)), QUIET), "  ", value))


def _pairs(console: Console, pairs: Sequence[tuple[str, str]]) -> None:
    """Named values side by side, as many as fit on a line."""
    line = Text(" " * INDENT)
    for name, value in pairs:
        part = Text.assemble((name, QUIET), "  ", value)
        if line.cell_len > INDENT and line.cell_len + 4 + part.cell_len > _room(console):
            _put(console, line)
            line = Text(" " * INDENT)
        line = line + ("    " if line.cell_len > INDENT else "") + part
    _put(console, line)


def _hanging(console: Console, lead: Text, words: str, *, style: str = "") -> None:
    """`words` wrapped beside `lead`, further lines under the first."""
    for i, line in enumerate(wrap(words, _room(console) - lead.cell_len)):
        start = lead if i == 0 else Text(" " * lead.cell_len)
        _put(console, start + Text(line.replace("\u00a0", " "), style=style))


def _lines(console: Console, words: str, *, indent: int = INDENT, style: str = "") -> None:
    _hanging(console, Text(" " * indent), words, style=style)


def _room(console: Console) -> int:
    return max(40, min(console.width, WIDEST))


def _gap(console: Console) -> None:
    console.print()


def _put(console: Console, line: Text) -> None:
    line.rstrip()
    console.print(line, no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)
