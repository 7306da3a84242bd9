"""Pairs of neighbouring stretches: nothing lost, nothing across documents, cut as BERT cuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.batches.pairs import join_pair, kept_lengths, sentence_pairs
from clearhead.errors import InputError
from clearhead.text.tokenizers import Vocabulary

VOCABULARY = Vocabulary(10_000)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(5, 40))
def test_the_longer_part_loses_token_by_token(first: int, second: int, max_length: int) -> None:
    """Against the loop of the reference, `truncate_seq_pair`."""
    left, right = first, second
    while left + right > max_length - 3:
        if left > right:
            left -= 1
        else:
            right -= 1
    assert kept_lengths(first, second, max_length) == (left, right)


def test_a_pair_is_marked_and_typed() -> None:
    item = join_pair(np.array([10, 11]), np.array([20]), 8, VOCABULARY)
    assert np.asarray(item.token_ids).tolist() == [2, 10, 11, 3, 20, 3]
    assert np.asarray(item.token_type_ids).tolist() == [0, 0, 0, 0, 1, 1]
    assert len(join_pair(np.arange(5, 25), np.arange(5, 25), 8, VOCABULARY)) == 8


lengths = st.lists(st.lists(st.integers(0, 12), max_size=9), max_size=5)


@given(lengths, st.integers(8, 40))
def test_pairs_follow_their_document(documents: list[list[int]], max_length: int) -> None:
    """Tokens are numbered through: what a pair holds before it is cut is a stretch of one document."""
    ids = iter(range(10, 10_000))
    texts = [[np.array([next(ids) for _ in range(n)], int) for n in one] for one in documents]
    owner = {i: number for number, text in enumerate(texts) for sentence in text for i in sentence.tolist()}
    seen: set[int] = set()
    for item in sentence_pairs(texts, max_length, VOCABULARY):
        tokens, types = np.asarray(item.token_ids), np.asarray(item.token_type_ids)
        assert len(tokens) <= max_length
        assert tokens[0] == VOCABULARY.begin
        first, second = tokens[types == 0][1:-1], tokens[types == 1][:-1]
        assert (tokens[types == 0][-1], tokens[types == 1][-1]) == (VOCABULARY.end, VOCABULARY.end)
        assert len({owner[i] for i in (*first.tolist(), *second.tolist())}) == 1
        assert (np.diff(first) == 1).all()
        assert (np.diff(second) == 1).all()
        assert first[-1] < second[0]
        seen |= {*first.tolist(), *second.tolist()}
    if max_length == 40:  # two sentences of 12 fit, so no true neighbours were cut
        paired = [text for text in texts if sum(len(one) > 0 for one in text) > 1]
        assert seen == {i for text in paired for sentence in text for i in sentence.tolist()}


def test_sentences_fill_a_pair_and_are_parted_in_the_middle() -> None:
    text = [np.full(4, token) for token in range(10, 17)]
    first, second = sentence_pairs([text], 19, VOCABULARY)
    assert np.asarray(first.token_ids)[[1, 8, 10, 17]].tolist() == [10, 11, 12, 13]
    assert np.asarray(second.token_ids).tolist() == [2, *[14] * 4, 3, *[15] * 4, *[16] * 4, 3]


def test_a_last_sentence_takes_the_one_before_it_along() -> None:
    text = [np.full(6, token) for token in (10, 11, 12)]
    pairs = sentence_pairs([text, [np.array([13])], []], 15, VOCABULARY)
    assert [np.asarray(item.token_ids)[[1, -2]].tolist() for item in pairs] == [[10, 11], [11, 12]]


def test_faults() -> None:
    with pytest.raises(InputError, match=r"text\.max_length: 4 tokens hold no pair; give at least 5"):
        kept_lengths(3, 3, 4)
    with pytest.raises(InputError, match="two parts of at least one token"):
        join_pair(np.array([7]), np.array([], int), 8, VOCABULARY)
