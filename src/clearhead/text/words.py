"""Words as tokens: a vocabulary of words, the pieces of words under any tokenizer, characters of words, rare words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clearhead.errors import InputError
from clearhead.text.tokenizers import SPECIAL_TOKENS, Tokenizer, mended, word_tokenizer

Ids = NDArray[np.int64]
UNKNOWN_CHARACTER = 0
LONGEST_WORD = 32  # characters of a word that are looked at


def train_words(
    sentences: Iterable[Sequence[str]],
    *,
    vocabulary_size: int | None = None,
    min_frequency: int = 1,
    lowercase: bool = False,
) -> Tokenizer:
    """The tokenizer whose tokens are the words of these sentences, the most frequent first, special tokens before them.

    Kept are words that occur `min_frequency` times, and of these as many as `vocabulary_size` (None: any) has room
    for. Words are taken as they stand, blanks in them too. Raises `InputError` where none is kept.
    """
    counts = Counter(mended(word).lower() if lowercase else mended(word) for sentence in sentences for word in sentence)
    kept = {word: times for word, times in counts.items() if times >= min_frequency}
    if not kept:
        raise InputError(f"no word occurs {min_frequency} times; lower the least frequency or give more text")
    return word_tokenizer(Counter(kept), vocabulary_size, lowercase=lowercase)


def word_pieces(tokenizer: Tokenizer, sentences: Sequence[Sequence[str]]) -> list[list[NDArray[np.int32]]]:
    """The token ids of every word, (n,) each and never none: a word without a piece is the unknown token.

    Tokens of kind `word` are looked up, so that a word may hold blanks. Byte-level BPE sees a blank before every word
    but the first, as it would in a text.
    """
    blank = " " if tokenizer.kind == "bpe" else ""
    asked = {blank * (place > 0) + word: None for words in sentences for place, word in enumerate(words)}
    ids = _looked_up(tokenizer, list(asked)) if tokenizer.kind == "word" else tokenizer.encode(list(asked))
    unknown = np.array([tokenizer.vocabulary.unknown], np.int32)
    known = {word: one if len(one) else unknown for word, one in zip(asked, ids, strict=True)}
    return [[known[blank * (place > 0) + word] for place, word in enumerate(words)] for words in sentences]


def _looked_up(tokenizer: Tokenizer, words: list[str]) -> list[NDArray[np.int32]]:
    vocabulary = tokenizer.engine.get_vocab()
    normalizer = tokenizer.engine.normalizer
    found = []
    for word in words:
        written = mended(word) if normalizer is None else normalizer.normalize_str(mended(word))
        known = written in vocabulary and word not in SPECIAL_TOKENS
        found.append(np.array([vocabulary[written] if known else tokenizer.vocabulary.unknown], np.int32))
    return found


@dataclass(frozen=True)
class CharacterVocabulary:
    """Ids of characters: 0 for unknown ones, then 1, 2, ... for `characters` in their order."""

    characters: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.characters) + 1

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: place for place, character in enumerate(self.characters, 1)}

    def rows(self, words: Sequence[str]) -> Ids:
        """The characters of each word, `(n, F)`, -1 behind its last; words longer than 32 are read to there."""
        written = [word[:LONGEST_WORD] for word in words]
        rows = np.full((len(words), max(map(len, written), default=0)), -1, np.int64)
        for row, word in zip(rows, written, strict=True):
            row[: len(word)] = [self._ids.get(character, UNKNOWN_CHARACTER) for character in word]
        return rows


def train_characters(sentences: Iterable[Sequence[str]], *, min_frequency: int = 1) -> CharacterVocabulary:
    """The characters that occur `min_frequency` times in the words, the most frequent first."""
    counts = Counter(character for sentence in sentences for word in sentence for character in word)
    kept = [character for character in counts if counts[character] >= min_frequency]
    return CharacterVocabulary(tuple(sorted(kept, key=lambda character: (-counts[character], character))))
