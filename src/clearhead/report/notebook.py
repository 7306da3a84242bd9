"""An answer as it shows itself in a notebook: the claims and the figures, without scripts, on a light card of its own.

Notebooks do not say whether they are dark, so nothing here depends on it, and no style reaches beyond the card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clearhead.bilingual import Language
from clearhead.experiments.evidence import Evidence
from clearhead.experiments.views import View
from clearhead.report.claim_chart import claims_svg
from clearhead.report.elements import Html, tag, text
from clearhead.report.figures import figure, svg
from clearhead.report.words import outcome_counts, read

CARD = "color-scheme:light;background:#fdfdfc;color:#22272c;padding:1em 1.4em;border-radius:6px;line-height:1.5"


def answer_html(
    record: Mapping[str, Any], evidence: Evidence, views: Sequence[View] = (), *, language: Language = "en"
) -> str:
    """Compact HTML of an answer: title, short answer, claim chart, figures, all in one language."""
    outcomes = [claim["outcome"] for claim in record["claims"]]
    counted = " · ".join(f"{words.mark} {words.word[language]} {n}" for words, _, n in outcome_counts(outcomes))
    pictures = [claims_svg(record["claims"], language, standalone=False)]
    pictures += [svg(figure(view, evidence, language), standalone=False) for view in views]
    return tag(
        "div",
        tag("h3", text(f"{record['question']} · {read(record['title'], language)}"), style="margin:.2em 0"),
        tag("p", text(read(record["answer"], language)), style="max-width:44em;margin:.4em 0"),
        tag("p", text(counted), style="opacity:.75;margin:.4em 0"),
        *(tag("div", Html(picture), style="margin:1.2em 0 0;overflow-x:auto") for picture in pictures),
        style=CARD,
    )
