"""Sentences -> pairs [begin] A [end] B [end] with token types 0 and 1, as BERT reads them (Devlin et al. 2018, 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from clearhead.batches.batch import Item, TokenIds
from clearhead.errors import InputError
from clearhead.text.tokenizers import Vocabulary

MARKS = 3  # begin, and an end after either part


def sentence_pairs(documents: Iterable[Sequence[TokenIds]], max_length: int, vocabulary: Vocabulary) -> list[Item]:
    """True pairs of neighbouring stretches: B goes on where A ends, in the same document.

    `documents` are lists of sentences, ids (n,) without begin and end. Sentences in a row, two at least, fill a pair
    of `max_length` tokens and are parted where its halves are most alike. Every sentence is in a pair (the last may be
    in two), but for documents of one sentence, which give none.
    """
    pairs = []
    for sentences in documents:
        filled = [sentence for sentence in sentences if len(sentence)]
        for start, stop in _stretches([len(sentence) for sentence in filled], max_length - MARKS):
            part = _middle([len(sentence) for sentence in filled[start:stop]])
            ids = [np.asarray(sentence) for sentence in filled[start:stop]]
            pairs.append(join_pair(np.concatenate(ids[:part]), np.concatenate(ids[part:]), max_length, vocabulary))
    return pairs


def join_pair(first: TokenIds, second: TokenIds, max_length: int, vocabulary: Vocabulary) -> Item:
    """[begin] `first` [end] `second` [end] of at most `max_length` tokens, the longer part cut first.

    Raises `InputError` where either part, or the room for it, is empty.
    """
    if not len(first) or not len(second):
        raise InputError("a pair needs two parts of at least one token each")
    kept, kept_too = kept_lengths(len(first), len(second), max_length)
    end = [vocabulary.end]
    ids = np.concatenate([[vocabulary.begin], first[:kept], end, second[:kept_too], end]).astype(np.int64)
    return Item(ids, np.repeat([0, 1], [kept + 2, kept_too + 1]))


def kept_lengths(first: int, second: int, max_length: int) -> tuple[int, int]:
    """How many tokens of either part stay in a pair of `max_length`: the longer one loses its last until both fit.

    This is `truncate_seq_pair` of the code of Devlin et al. 2018, which of two equal parts cuts the second.
    """
    room = max_length - MARKS
    if room < 2:
        raise InputError(f"text.max_length: {max_length} tokens hold no pair; give at least {MARKS + 2}")
    if first + second <= room:
        return first, second
    kept = min(first, max(room - second, room - room // 2))
    return kept, room - kept


def _stretches(lengths: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Sentences start..stop that together fill `room`, two at least; a last one alone takes the one before it along."""
    if len(lengths) < 2:
        return []
    found = []
    start = total = 0
    for number, length in enumerate(lengths):
        if number - start >= 2 and total + length > room:
            found.append((start, number))
            start, total = number, 0
        total += length
    return [*found, (min(start, len(lengths) - 2), len(lengths))]


def _middle(lengths: Sequence[int]) -> int:
    """After how many sentences the tokens before and behind are most alike in number."""
    before = np.cumsum(lengths)
    return 1 + int(np.argmin(np.abs(2 * before[:-1] - before[-1])))
