"""Words as tokens: the vocabulary, pieces of words under every tokenizer, characters, rare words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text.tokenizers import Tokenizer, load_tokenizer, train_tokenizer
from clearhead.text.words import (
    CharacterVocabulary,
    train_characters,
    train_words,
    word_pieces,
)

SENTENCES = [("The", "cat", "sat", "."), ("the", "New York", "cat", "!"), ("cat", "\ud83d\ude00", " ", "[MASK]")]


def tokens(tokenizer: Tokenizer, sentence: tuple[str, ...]) -> list[list[str]]:
    (pieces,) = word_pieces(tokenizer, [sentence])
    return [[tokenizer.engine.id_to_token(int(one)) for one in word] for word in pieces]


def test_the_most_frequent_words_come_first_and_hold_blanks() -> None:
    tokenizer = train_words(SENTENCES)
    assert tokenizer.kind == "word"
    assert tokenizer.engine.id_to_token(5) == "cat"
    assert tokens(tokenizer, ("New York", "The", "the", "THE", " ")) == [
        ["New York"],
        ["The"],
        ["the"],
        ["[UNK]"],
        [" "],
    ]


def test_a_word_spelt_as_a_special_token_is_unknown() -> None:
    tokenizer = train_words([*SENTENCES, ("[MASK]", "[PAD]", "[UNK]")])
    assert tokens(tokenizer, ("[MASK]", "[BOS]")) == [["[UNK]"], ["[UNK]"]]
    assert not set(np.concatenate(tokenizer.encode(["[MASK] cat [PAD]", "x[EOS]"])).tolist()) & {0, 2, 3, 4}


def test_frequency_size_and_case() -> None:
    assert train_words(SENTENCES, min_frequency=2).vocabulary.size == 6
    assert train_words(SENTENCES, vocabulary_size=7).vocabulary.size == 7
    lower = train_words(SENTENCES, lowercase=True)
    assert tokens(lower, ("THE", "The", "new york")) == [["the"], ["the"], ["new york"]]
    with pytest.raises(InputError, match="no word occurs 9 times"):
        train_words(SENTENCES, min_frequency=9)


def test_one_file_holds_it(tmp_path: Path) -> None:
    tokenizer = train_words(SENTENCES, lowercase=True)
    again = load_tokenizer(tokenizer.save(tmp_path / "tokenizer.json"))
    assert again == tokenizer
    for one, other in zip(word_pieces(again, SENTENCES), word_pieces(tokenizer, SENTENCES), strict=True):
        assert [ids.tolist() for ids in one] == [ids.tolist() for ids in other]
    assert [ids.tolist() for ids in again.encode(["The cat"])] == [[6, 5]]


TRAINERS: dict[str, Callable[[], Tokenizer]] = {
    "word": lambda: train_words(SENTENCES),
    "bpe": lambda: train_tokenizer("bpe", ["the river story"] * 3, 300),
    "wordpiece": lambda: train_tokenizer("wordpiece", ["the river story rivers"] * 3, 60),
    "character": lambda: train_tokenizer("character", ["the river story"], 40),
}


@pytest.fixture(scope="module", params=TRAINERS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return TRAINERS[request.param]()


@given(st.lists(st.lists(st.text(st.characters(), max_size=6), max_size=5), max_size=4))
def test_every_word_has_a_token_whatever_it_is(tokenizer: Tokenizer, sentences: list[list[str]]) -> None:
    pieces = word_pieces(tokenizer, sentences)
    assert [len(one) for one in pieces] == [len(one) for one in sentences]
    for word in (ids for one in pieces for ids in one):
        assert len(word) >= 1 and word.dtype == np.int32
        assert not set(word.tolist()) & {0, 2, 3, 4}
    if tokenizer.kind == "word":
        assert {len(ids) for one in pieces for ids in one} <= {1}


def test_words_are_cut_as_in_a_text() -> None:
    for kind in ("bpe", "wordpiece"):
        tokenizer = TRAINERS[kind]()
        words = ("the", "rivers", "story")
        (in_text,) = tokenizer.encode([" ".join(words)])
        assert np.concatenate(word_pieces(tokenizer, [words])[0]).tolist() == in_text.tolist()


def test_characters_of_words() -> None:
    vocabulary = train_characters([("aab", "b"), ("a",)])
    assert vocabulary == CharacterVocabulary(("a", "b"))
    assert vocabulary.size == 3
    assert vocabulary.rows(("ba", "xab", "", "a" * 50))[:3, :4].tolist() == [
        [2, 1, -1, -1],
        [0, 1, 2, -1],
        [-1, -1, -1, -1],
    ]
    assert vocabulary.rows(("a" * 50,)).shape == (1, 32)
    assert vocabulary.rows(()).shape == (0, 0)
    assert train_characters([("aab",)], min_frequency=2).characters == ("a",)
