"""Examples for a task without a file: tagged lines of Python, sentences of its documentation, numbers in words.

The first two are made from the standard library of the Python that runs, as it lies on disk: versions of Python differ
in their text, so `source` names the version. Nothing is imported or run to make them.
"""

from __future__ import annotations

import ast
import functools
import io
import keyword
import os
import platform
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from clearhead.errors import MachineError
from clearhead.text.examples import LabelledText, Reading, TaggedSentence, TextPair
from clearhead.text.numerals import LARGEST, chinese, english
from clearhead.text.splits import sentences
from clearhead.text.tag_schemes import Span, tags_of

CODE = ("argparse", "calendar", "configparser", "csv", "difflib", "fractions", "shutil", "statistics", "tarfile")
PACKAGES = ("asyncio", "email", "importlib", "unittest")

_SHORTEST, _LONGEST = 4, 30
_PAIRS = 4_000
_ORDERS = (1, 8)  # numbers of one digit to eight
_KINDS = (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING)
_PARAGRAPHS = re.compile(r"\n\s*\n")
_PROSE = re.compile(r"[A-Z][\w ,;:'()\"./-]*[.!?:]")


@functools.lru_cache(maxsize=1)
def embedded_tagged() -> Reading[TaggedSentence]:
    """Lines of Python as words, with the names in them that are called, bound, defined, imported or arguments, as BIO.

    What a name is shows in the words around it, before it as well as behind it. No line stands twice. Raises
    `MachineError` where Python has come without its sources.
    """
    made: dict[tuple[str, ...], TaggedSentence] = {}
    for name in CODE:
        for words in _code_lines(_library() / f"{name}.py"):
            made.setdefault(words, TaggedSentence(words, tags_of(_names(words), len(words), "bio")))
    _check_some(made)
    return Reading(tuple(made.values()), _source("lines of its standard library"), "embedded", "bio")


@functools.lru_cache(maxsize=1)
def embedded_labelled() -> Reading[LabelledText]:
    """Sentences of docstrings, labelled by the package in which they stand (asyncio, email, importlib, unittest).

    Raises `MachineError` where Python has come without its sources.
    """
    made: dict[str, LabelledText] = {}
    for package in PACKAGES:
        for sentence in _documentation(_library() / package):
            made.setdefault(sentence, LabelledText(package, sentence))
    _check_some(made)
    return Reading(tuple(made.values()), _source("sentences of the docstrings of its packages"), "embedded")


def embedded_pairs(seed: int = 0, count: int = _PAIRS) -> Reading[TextPair]:
    """Numbers in English words and in Chinese numerals, `count` different ones of one digit to eight, drawn by `seed`.

    Each translation has one right answer. Raises `ValueError` for more than there are numbers.
    """
    if not 0 < count <= LARGEST // 10:
        raise ValueError(f"{count} different numbers cannot be drawn")
    rng = np.random.default_rng(seed)
    numbers: dict[int, None] = {}
    while len(numbers) < count:
        digits = rng.integers(_ORDERS[0], _ORDERS[1] + 1)
        numbers[int(rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits))] = None
    pairs = tuple(TextPair(english(number), chinese(number)) for number in numbers)
    return Reading(pairs, f"embedded: {count} numbers in English words and Chinese numerals, seed {seed}", "embedded")


def _source(what: str) -> str:
    return f"embedded: Python {platform.python_version()}, {what}"


def _library() -> Path:
    return Path(os.__file__).parent


def _check_some(made: object) -> None:
    if not made:
        raise MachineError("this Python has come without its sources; name a file of your own")


def _code_lines(file: Path) -> Iterator[tuple[str, ...]]:
    """The logical lines of a source file as words, without those that hold strings with blanks or are long or short."""
    words: list[str] = []
    try:
        read = list(tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline))
    except (OSError, SyntaxError, tokenize.TokenError, UnicodeDecodeError):
        return
    plain = True
    for token in read:
        if token.type == tokenize.NEWLINE:
            if plain and _SHORTEST <= len(words) <= _LONGEST:
                yield tuple(words)
            words, plain = [], True
        elif token.type in _KINDS:
            words.append(token.string)
            plain = plain and not re.search(r"\s", token.string)
        elif token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT):
            plain = False  # the parts of an f-string, which older versions read as one string


def _names(words: Sequence[str]) -> Iterator[Span]:
    """The dotted names of a line that are called, bound, defined, imported or arguments."""
    start = depth = 0
    while start < len(words):
        depth += (words[start] in "([{") - (words[start] in ")]}")
        end = _name_end(words, start)
        if end == start:
            start += 1
            continue
        before, behind = (words[start - 1] if start else ""), (words[end] if end < len(words) else "")
        kind = _kind(words[0], before, behind, depth)
        if kind:
            yield Span(start, end, kind)
        start = end


def _name_end(words: Sequence[str], start: int) -> int:
    """Where the dotted name that begins at `start` ends; `start` where none begins."""
    end = start
    while end < len(words) and words[end].isidentifier() and not keyword.iskeyword(words[end]):
        if end + 1 == len(words) or words[end + 1] != ".":
            return end + 1
        end += 2
    return end - 1 if end > start else start


def _kind(statement: str, before: str, behind: str, depth: int) -> str:
    if statement in ("import", "from"):
        return "import"
    if before in ("def", "class"):
        return "definition"
    if behind == "(":
        return "call"
    if behind == "=":
        return "argument" if depth else "target"
    return ""


def _documentation(package: Path) -> Iterator[str]:
    """The sentences of the docstrings of a package that read as prose."""
    for file in sorted(package.glob("*.py")):
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for paragraph in _PARAGRAPHS.split(ast.get_docstring(node) or ""):
                    for sentence in sentences(" ".join(paragraph.split())):
                        if _PROSE.fullmatch(sentence) and _SHORTEST <= len(sentence.split()) <= _LONGEST:
                            yield sentence
