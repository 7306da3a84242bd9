"""HTML and SVG elements as text in which every foreign string is escaped: only these functions make `Html`."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NewType

from clearhead.bilingual import Bilingual, Language
from clearhead.report.words import printable

Html = NewType("Html", str)
EMPTY = Html("")
LANGUAGE_CODES: dict[Language, str] = {"en": "en", "zh": "zh-Hans"}
_VOID = {"meta", "input", "br", "hr"}
_CODE = re.compile(r"`([^`\n]+)`")


def text(value: object) -> Html:
    """A string as text: escaped, control characters shown."""
    return Html(html.escape(printable(value), quote=True))


def tag(name: str, /, *children: Html, **attributes: str | float | bool | None) -> Html:
    """`<name ...>children</name>`. `class_` is `class`, `aria_label` is `aria-label`; None and False leave it out."""
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{shown}>" if name in _VOID else f"<{name}{shown}>{''.join(children)}</{name}>")


def join(parts: Iterable[Html], between: str = "") -> Html:
    """Elements one after the other, with a text between."""
    return Html(text(between).join(parts))


def both(words: Bilingual | Mapping[str, str], name: str = "span", **attributes: str) -> Html:
    """A text in both languages, of which the page shows one; a text that is the same in both is written once."""
    if words["en"] == words["zh"]:
        return tag(name, text(words["en"]), **attributes) if attributes or name != "span" else text(words["en"])
    return join(in_language(code, text(words[code]), name, **attributes) for code in LANGUAGE_CODES)


def in_language(language: Language, content: Html, name: str = "div", **attributes: str) -> Html:
    """An element that only readers of one language see."""
    return tag(name, content, lang=LANGUAGE_CODES[language], **attributes)


def prose(words: Bilingual | Mapping[str, str]) -> Html:
    """Paragraphs, parted by empty lines, in both languages; `words in backticks` become code."""
    return join(in_language(code, _paragraphs(words[code])) for code in LANGUAGE_CODES if words[code])


def _paragraphs(words: str) -> Html:
    blocks = [block.strip() for block in re.split(r"\n\s*\n", words) if block.strip()]
    return join(tag("p", Html(_CODE.sub(r"<code>\1</code>", text(block)))) for block in blocks)


def table(heads: Sequence[Html], rows: Sequence[Sequence[Html]], **attributes: str) -> Html:
    """A table whose first column heads its rows; it scrolls by itself where it is too wide."""
    head = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in heads)))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    return tag("div", tag("table", head, tag("tbody", *body), **attributes), class_="wide", tabindex="0")


def data_block(name: str, value: Any) -> Html:
    """A JSON script block that no content can close: <, > and & are written as escapes."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return tag("script", Html(written), type="application/json", id=name)
