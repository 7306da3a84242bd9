"""`clearhead.ask(5)`: an answer as a Python object that shows itself in a notebook and in a terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearhead.asking import Asking, answer, on_disk
from clearhead.bilingual import Language
from clearhead.interop.finding import find_checkpoint
from clearhead.questions import menu
from clearhead.text.corpora import open_corpus

if TYPE_CHECKING:
    from clearhead.experiments.evidence import Evidence


@dataclass(frozen=True, repr=False)
class Answered:
    """An answer. `record` is its JSON contract as plain data; `language` the one that it shows itself in."""

    record: Mapping[str, Any]
    question: menu.Entry
    language: Language = "en"

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """The claims with their verdicts: id, statement, effect, low, high, level, seeds, outcome, ..."""
        return list(self.record["claims"])

    @property
    def evidence(self) -> Evidence:
        """Everything measured: `.rows`, `.to_pandas()`."""
        from clearhead.experiments.evidence import read_evidence

        return read_evidence(Path(self.record["evidence"]), self.record["facts"])

    @property
    def figures(self) -> list[Path]:
        """The figures as SVG files, each in both languages."""
        return [Path(figure) for figure in self.record["figures"]]

    def report(self) -> Path:
        """The self-contained HTML report."""
        return Path(self.record["report"])

    def __str__(self) -> str:
        from clearhead.report.terminal import console_on, show_answer

        lines = io.StringIO()
        show_answer(self.record, console_on(lines, width=80), [self.language])
        return lines.getvalue()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from clearhead.report.notebook import answer_html

        figures = menu.question_of(self.question).figures
        return answer_html(self.record, self.evidence, figures, language=self.language)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": str(self)}


def ask(
    question: int | str | Path,
    text: str | Path | None = None,
    *,
    seed: int = 0,
    budget: str | float = "quick",
    out: str | Path = "runs",
    fresh: bool = False,
    encoding: str = "utf-8",
    checkpoint: str | Path | None = None,
    language: Language = "en",
) -> Answered:
    """The answer to a question about `text` (a file, a folder of .txt; Python's documentation by default).

    `question` is its number or a .py file of your own. The same as `clearhead ask` prints and writes. Raises
    `InputError` for what cannot be asked.
    """
    named = None if checkpoint is None else str(checkpoint)
    asking = Asking(
        menu.chosen(str(question)),
        None if text is None else str(text),
        seed,
        str(budget),
        Path(out),
        encoding,
        checkpoint=named,
    )
    asking.seconds()
    corpus, found = open_corpus(asking.text, encoding=encoding), find_checkpoint(named)
    kept = None if fresh else on_disk(asking, corpus, found)
    if kept is not None:
        return Answered(kept, asking.question, language)
    (record,) = (event for event in answer(asking, corpus, found, fresh=fresh) if isinstance(event, dict))
    return Answered(record, asking.question, language)
