"""The embedded text is prose, said once, and enough of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clearhead.text import documentation as module
from clearhead.text.documentation import documentation


def paragraphs() -> list[str]:
    return [paragraph for text in documentation() for paragraph in text.split("\n\n")]


def test_there_is_enough_of_it_in_many_documents() -> None:
    assert sum(map(len, documentation())) > 250_000
    assert len(documentation()) > 60


def test_paragraphs_are_prose_on_one_line_each_said_once() -> None:
    found = paragraphs()
    assert len(set(found)) == len(found)
    for paragraph in found:
        assert paragraph == " ".join(paragraph.split())
        assert not any(mark in paragraph for mark in ("::=", ">>>", "`", "---"))
        assert paragraph[-1] in '.:!?)"”'


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (
            "   The *value* of\n   ``x`` is given by :func:`f`, a hand-\n   made one.",
            "The value of x is given by f, a hand-made one.",
        ),
        (
            '* The syntax of "*name" and of "**name" stays as it was before.',
            'The syntax of "*name" and of "**name" stays as it was before.',
        ),
    ],
)
def test_markup_and_wrapping_are_taken_away(raw: str, clean: str) -> None:
    assert module._prose(raw, set()) == clean


@pytest.mark.parametrize(
    "raw",
    [
        'stmt ::= "if" cond ":" suite and more words.',
        ">>> f(1) and some more words.",
        "x = a[0] + b[1] * (c - d) / 2 ^ 3",
        "Title of it\n===========",
    ],
)
def test_what_is_no_prose_is_left_out(raw: str) -> None:
    assert module._prose(raw, set()) == ""


def test_no_documented_module_is_imported() -> None:
    code = (
        "import sys; from clearhead.text.corpora import open_corpus; open_corpus(None); "
        "names = ('numpy', 'tokenizers', 'torch', 'pydantic', 'shelve', 'xml.sax', 'cmd'); "
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_python_without_sources_still_has_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MODULES", ("no/such_module.py",))
    monkeypatch.setattr(module.os, "__file__", "/nowhere/os.py")
    documentation.cache_clear()
    try:
        assert len(documentation()) > 50
    finally:
        documentation.cache_clear()
