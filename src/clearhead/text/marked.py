"""Sentences of a text between the marks of a tokenizer, as a BERT reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import TooLittleError
from clearhead.text.corpora import Corpus
from clearhead.text.splits import units_of
from clearhead.text.tokenizers import Tokenizer


def marked_sentences(
    corpus: Corpus, tokenizer: Tokenizer, count: int, *, shortest: int = 6, longest: int = 64
) -> list[NDArray[np.int64]]:
    """Up to `count` different sentences, evenly spaced in the text: ids `[CLS] ... [SEP]` of `shortest` to `longest`.

    A longer sentence is cut. Raises `TooLittleError` where fewer than two are long enough, `ValueError` for a tokenizer
    that has no such marks.
    """
    marks = tokenizer.vocabulary
    if marks.begin is None or marks.end is None:
        raise ValueError("this tokenizer has no marks of begin and end")
    sentences = list(dict.fromkeys(units_of(corpus, "sentence")))
    wide = sentences[:: max(1, len(sentences) // (4 * count))]
    rows = [
        np.array([marks.begin, *ids[: longest - 2], marks.end], dtype=np.int64)
        for ids in tokenizer.encode(wide)
        if len(ids) + 2 >= shortest
    ]
    if len(rows) < 2:
        raise TooLittleError(f"{corpus.source}: fewer than two sentences of {shortest} tokens; give a longer text")
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [rows[place] for place in places]
