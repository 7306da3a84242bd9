"""`Bilingual`: a sentence in English and in Chinese, kept together so that the two cannot drift apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, Language] = ("en", "zh")


@dataclass(frozen=True)
class Bilingual:
    """One text in both languages. `text["zh"]` reads one of them."""

    en: str
    zh: str

    def __getitem__(self, language: Language) -> str:
        return self.zh if language == "zh" else self.en

    def as_dict(self) -> dict[str, str]:
        return {"en": self.en, "zh": self.zh}


def same(text: str) -> Bilingual:
    """A text that reads the same in both languages: a symbol, a number, a name."""
    return Bilingual(text, text)


def title_of(docstring: str | None) -> Bilingual:
    """The title that a docstring holds: its first line in English, its second in Chinese.

    So a list of titles can be read off files without importing (and with them torch) any of them.
    """
    english, chinese = [line.strip() for line in (docstring or "").splitlines() if line.strip()][:2]
    return Bilingual(english, chinese)
