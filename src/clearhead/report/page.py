"""One self-contained HTML file of sections: no network, a strict content policy, both languages, light and dark.

Scripts are not needed to read it: figures stand there as SVG, and language and colours switch by CSS alone. With
scripts the figures are drawn anew by Vega, without `eval`, and answer the pointer.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import vl_convert

from clearhead.bilingual import LANGUAGES, Bilingual, Language
from clearhead.report.elements import EMPTY, LANGUAGE_CODES, Html, both, join, tag, text
from clearhead.report.palette import colour_rules
from clearhead.report.words import WORDS, read


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading and what stands under it. `name` is its anchor."""

    name: str
    heading: Bilingual
    body: Html


def page(
    title: Bilingual, kicker: Bilingual, lead: Html, sections: Sequence[Section], *, language: Language = "en"
) -> str:
    """The whole file: a head with title and switches, the lead (the answer), then the sections that have a body."""
    body = [section for section in sections if section.body]
    moving = any("data-spec=" in section.body for section in body)
    style, script = _style(), _script() if moving else ""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", text(f"{read(title, language)} · clearhead")),
        tag("style", Html(style)),
    )
    header = tag(
        "header",
        tag("div", tag("p", both(kicker), class_="kicker"), _switches(language), class_="bar"),
        tag("h1", both(title)),
        lead,
    )
    main = tag("main", *(_section(section) for section in body))
    last = tag("script", Html(script)) if script else EMPTY
    content = tag("body", tag("article", header, main), last)
    return f"<!doctype html>\n{tag('html', head, content, lang=LANGUAGE_CODES[language])}\n"


def _section(section: Section) -> Html:
    heading = tag("h2", both(section.heading), id=f"{section.name}-heading")
    return tag("section", heading, section.body, id=section.name, aria_labelledby=f"{section.name}-heading")


def _switches(language: Language) -> Html:
    """Language and colours as radio buttons, which work without scripts."""
    names = {"en": "English", "zh": "中文"}
    languages = [_choice("language", code, text(names[code]), code == language) for code in LANGUAGES]
    themes = [_choice("theme", name, both(WORDS[name]), name == "auto") for name in ("auto", "light", "dark")]
    return tag(
        "div",
        tag("fieldset", tag("legend", both(WORDS["language"])), *languages),
        tag("fieldset", tag("legend", both(WORDS["theme"])), *themes),
        class_="switches",
    )


def _choice(group: str, value: str, label: Html, chosen: bool) -> Html:
    radio = tag("input", type="radio", name=group, value=value, id=f"{group}-{value}", checked=chosen)
    return join([radio, tag("label", label, for_=f"{group}-{value}")])


def _policy(style: str, script: str) -> str:
    """Nothing may load; only this very style and this very script count."""
    scripts = f"'{_digest(script)}'" if script else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


@functools.cache
def _style() -> str:
    return resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8") + colour_rules("svg")


@functools.cache
def _script() -> str:
    """Vega with its interpreter of expressions, and page.js, as one script that no `</script>` inside can end."""
    own = resources.files(__package__).joinpath("page.js").read_text(encoding="utf-8")
    bundle: str = vl_convert.javascript_bundle(own)
    # A parser turns line ends into \n before it takes the digest.
    return bundle.replace("\r\n", "\n").replace("\r", "\n").replace("</script", r"<\/script").replace("<!--", r"<\!--")
