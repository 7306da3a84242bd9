"""Translations and references -> BLEU and chrF as sacrebleu computes them, with its signatures.

Post 2018 (arXiv:1804.08771): a BLEU without its tokenisation is no number. The tokenisation is therefore an argument
that must be given: `zh` for Chinese, `13a` for languages that write blanks, `char` for characters, `none` for text that
is tokenised already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

BleuTokenizer = Literal["13a", "zh", "char", "intl", "none"]


@dataclass(frozen=True)
class TranslationScores:
    """Corpus BLEU (Papineni et al. 2002) and chrF (Popović 2015), 0 to 100, each with sacrebleu's signature."""

    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str


def translation_scores(said: Sequence[str], references: Sequence[str], *, tokenize: BleuTokenizer) -> TranslationScores:
    """The scores of translations against one reference each; 0 where there are none.

    Raises `ValueError` where their numbers differ.
    """
    from sacrebleu.metrics.bleu import BLEU  # slow to import
    from sacrebleu.metrics.chrf import CHRF

    if len(said) != len(references):
        raise ValueError(f"{len(said)} translations for {len(references)} references")
    # sacrebleu's own warning, that text looks tokenised already, has no place in a score's output.
    bleu, chrf = BLEU(tokenize=tokenize, force=True), CHRF()
    if not said:
        said, references = [""], [""]
    measured, by_characters = (metric.corpus_score(list(said), [list(references)]) for metric in (bleu, chrf))
    return TranslationScores(
        float(measured.score), str(bleu.get_signature()), float(by_characters.score), str(chrf.get_signature())
    )
