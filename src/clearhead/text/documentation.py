"""The text that Python brings along: the language reference and docstrings of the standard library, as clean prose;
and, as a second text, source code of that library.

The reference is `pydoc_data.topics`; docstrings are read from source files by `ast`, so that no module is imported.
Kept are paragraphs that read as prose; grammars, signatures, tables and examples are left out, and so is what was said
before. Python versions differ in their text.
"""

from __future__ import annotations

import ast
import functools
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

# Those with the most prose for the time that reading them takes.
MODULES = (
    "asyncio/protocols.py",
    "asyncio/transports.py",
    "bz2.py",
    "cmd.py",
    "code.py",
    "codecs.py",
    "email/_policybase.py",
    "fileinput.py",
    "graphlib.py",
    "importlib/abc.py",
    "json/__init__.py",
    "queue.py",
    "re/__init__.py",
    "sched.py",
    "shelve.py",
    "socketserver.py",
    "textwrap.py",
    "xml/sax/handler.py",
    "xml/sax/xmlreader.py",
)

SOURCES = (
    *("argparse.py", "bdb.py", "calendar.py", "configparser.py", "csv.py", "difflib.py", "fractions.py", "ftplib.py"),
    *("imaplib.py", "ipaddress.py", "pdb.py", "shutil.py", "smtplib.py", "statistics.py", "tarfile.py", "threading.py"),
    *("typing.py", "uuid.py", "zipfile.py"),
)

_LEAST_WORDS = 5
_LEAST_LETTERS = 0.86
_SECTION = re.compile(r"\n[ \t]*(?:\n[ \t]*)+|\n[ \t]*(?=(?:[*-]|\d+\.)[ \t])")
_BULLET = re.compile(r"^(?:[*-]|\d+\.)\s+")
_WRAPPED_HYPHEN = re.compile(r"(?<=[a-z]-)\n\s*(?=[a-z])")
_ROLE = re.compile(r":[\w:]+:(?=`)")
_EMPHASIS = re.compile(r"\*{1,2}(\w(?:[^*\"]*\w)?)\*{1,2}(?!\w)")
_LETTERS = re.compile(r"[A-Za-z ]+")
_NOT_PROSE = ("::=", ">>>", "---", "===", "***", "~~~", "|")


@functools.lru_cache(maxsize=1)
def documentation() -> tuple[str, ...]:
    """One text a topic of the reference, then one a module: paragraphs, each on one line, a blank line between."""
    said: set[str] = set()
    return tuple(filter(None, (_prose(raw, said) for raw in (*_topics(), *_docstrings()))))


@functools.lru_cache(maxsize=1)
def source_code() -> tuple[str, ...]:
    """The source of some modules of the standard library, a text a module: a second text, quite unlike the first."""
    library = Path(os.__file__).parent
    return tuple(text for name in SOURCES for text in _source(library / name))


def _source(file: Path) -> Iterator[str]:
    try:
        yield file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return


def _topics() -> Iterator[str]:
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        return
    for name in sorted(topics):
        yield topics[name]


def _docstrings() -> Iterator[str]:
    library = Path(os.__file__).parent
    for name in MODULES:
        try:
            tree = ast.parse((library / name).read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        yield "\n\n".join(_docstrings_in(tree))


def _docstrings_in(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    yield ast.get_docstring(node) or ""
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from _docstrings_in(child)


def _prose(raw: str, said: set[str]) -> str:
    """The paragraphs of `raw` that are prose and not among those `said`, to which they are added."""
    kept = []
    for section in _SECTION.split(raw):
        if len(section) < 20 or any(mark in section for mark in _NOT_PROSE):
            continue
        paragraph = _cleaned(section)
        if paragraph not in said and _reads_as_prose(paragraph):
            said.add(paragraph)
            kept.append(paragraph)
    return "\n\n".join(kept)


def _cleaned(section: str) -> str:
    text = _BULLET.sub("", section.strip())
    if "-\n" in text:
        text = _WRAPPED_HYPHEN.sub("", text)
    text = " ".join(text.split())
    if "*" in text or "`" in text:
        text = _EMPHASIS.sub(r"\1", _ROLE.sub("", text)).replace("`", "")
    return text


def _reads_as_prose(paragraph: str) -> bool:
    return (
        (paragraph[0].isupper() or paragraph[0] in "\"'“(")
        and paragraph[-1] in '.:!?)"”'
        and paragraph.count(" ") >= _LEAST_WORDS - 1
        and sum(map(len, _LETTERS.findall(paragraph))) >= _LEAST_LETTERS * len(paragraph)
    )
