"""From examples to items and back: labels where they belong, nothing lost unless it is counted."""

from __future__ import annotations

import gzip
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.batches.batch import NOT_ASKED, collate
from clearhead.batches.encoding import encode_labelled, encode_pairs, encode_tagged, join_tags
from clearhead.errors import InputError
from clearhead.text.examples import LabelledText, TaggedSentence, TextPair
from clearhead.text.tokenizers import Tokenizer, train_tokenizer
from clearhead.text.words import train_characters, train_words

DATA = Path(os.environ.get("CLEARHEAD_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
LABELS = ("O", "B-x", "I-x")
WORDS = ["the", "cat", "sat", "unbelievable", "x"]
TOKENIZERS = {
    "word": train_words([WORDS]),
    "bpe": train_tokenizer("bpe", [" ".join(WORDS)] * 2, 280),
    "wordpiece": train_tokenizer("wordpiece", [" ".join(WORDS)] * 2, 60),
    "character": train_tokenizer("character", WORDS, 40),
}
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)

sentences = st.lists(
    st.lists(st.tuples(st.sampled_from([*WORDS, "unseen", "\u200b", ""]), st.sampled_from(LABELS)), max_size=12).map(
        lambda pairs: TaggedSentence(tuple(word for word, _ in pairs), tuple(tag for _, tag in pairs))
    ),
    max_size=4,
)


def asked(item: Any) -> list[int]:
    return [int(label) for label in item.labels["tags"] if label != NOT_ASKED]


def test_by_hand() -> None:
    tokenizer = TOKENIZERS["character"]
    ids = {character: tokenizer.engine.token_to_id(character) for character in "thecasx"}
    encoded = encode_tagged(
        [TaggedSentence(("the", "cat"), ("O", "B-x"))],
        tokenizer,
        LABELS,
        max_length=9,
        features={"characters": train_characters([("cat", "the")]).rows},
    )
    (item,) = encoded.items
    assert item.token_ids.tolist() == [2, *(ids[one] for one in "thecat"), 3]
    assert item.labels["tags"].tolist() == [-100, 0, -100, -100, 1, -100, -100, -100]
    rows = item.features["characters"].tolist()
    assert rows[0] == rows[-1] == [-1, -1, -1]
    assert rows[1] == rows[2] == rows[3] != rows[4] == rows[6]


@every_tokenizer
@pytest.mark.parametrize("marks", [True, False])
@settings(max_examples=25, deadline=None)
@given(made=sentences, max_length=st.integers(3, 14))
def test_every_word_is_asked_once_and_comes_back(
    tokenizer: Tokenizer, marks: bool, made: list[TaggedSentence], max_length: int
) -> None:
    encoded = encode_tagged(made, tokenizer, LABELS, max_length=max_length, marks=marks)
    assert all(1 <= len(item) <= max_length for item in encoded.items)
    assert len(encoded.pieces) == len(encoded.items)
    assert join_tags(encoded, [asked(item) for item in encoded.items], LABELS) == [one.tags for one in made]
    for before, after in pairwise(encoded.pieces):
        assert after.start == (before.end if after.sentence == before.sentence else 0)
    for item in encoded.items:
        ids = np.asarray(item.token_ids)
        assert not marks or (ids[0], ids[-1]) == (2, 3)
        assert not set((ids[1:-1] if marks else ids).tolist()) & {0, 2, 3, 4}
    several = {piece.sentence for piece in encoded.pieces if piece.start}
    assert encoded.split == len(several)
    if encoded.items:
        collate(encoded.items, packed=False)


def test_pieces_are_of_about_equal_length() -> None:
    sentence = TaggedSentence(("the",) * 21, ("O",) * 21)
    encoded = encode_tagged([sentence], TOKENIZERS["word"], LABELS, max_length=12)
    assert [len(item) - 2 for item in encoded.items] == [7, 7, 7]
    assert encoded.split == 1


def test_words_longer_than_an_item_are_cut_and_counted() -> None:
    sentence = TaggedSentence(("cat", "unbelievable", "x"), ("O", "B-x", "O"))
    encoded = encode_tagged([sentence], TOKENIZERS["character"], LABELS, max_length=6)
    assert encoded.cut_words == 1
    assert [len(item) for item in encoded.items] == [5, 6, 3]
    assert encode_tagged([sentence], TOKENIZERS["word"], LABELS, max_length=5).cut_words == 0


def test_unseen_tags_are_asked_unknown_and_counted() -> None:
    made = [TaggedSentence(("the", "cat"), ("B-new", "O")), TaggedSentence(("x",), ("I-new",))]
    encoded = encode_tagged(made, TOKENIZERS["word"], LABELS, max_length=9)
    assert [asked(item) for item in encoded.items] == [[-1, 0], [-1]]
    assert encoded.unseen_tags == {"B-new": 1, "I-new": 1}


def test_words_without_tags_are_asked_all_the_same() -> None:
    encoded = encode_tagged(
        [TaggedSentence(("the", "cat"), ()), TaggedSentence((), ())], TOKENIZERS["bpe"], LABELS, max_length=9
    )
    assert [asked(item) for item in encoded.items] == [[-1, -1]]
    assert join_tags(encoded, [[1, 2]], LABELS) == [("B-x", "I-x"), ()]
    with pytest.raises(ValueError, match="1 labels for 2 words"):
        join_tags(encoded, [[1]], LABELS)


def test_a_class_stands_at_the_first_token() -> None:
    texts = [LabelledText("b", "the cat"), LabelledText("new", ""), LabelledText("", "sat " * 9)]
    encoded = encode_labelled(texts, TOKENIZERS["word"], ("a", "b"), max_length=6)
    assert [item.labels["class"].tolist()[0] for item in encoded.items] == [1, -1, -1]
    assert all((np.asarray(item.labels["class"])[1:] == NOT_ASKED).all() for item in encoded.items)
    assert [len(item) for item in encoded.items] == [4, 2, 6]
    assert (encoded.cut, dict(encoded.unseen_labels)) == (1, {"new": 1})
    assert encoded.items[0].token_type_ids is None


def test_two_texts_have_token_types_and_the_longer_is_cut_first() -> None:
    texts = [LabelledText("a", "the cat", "sat"), LabelledText("a", "the " * 6, "cat")]
    encoded = encode_labelled(texts, TOKENIZERS["word"], ("a",), max_length=7)
    the, cat, sat = (int(TOKENIZERS["word"].encode([word])[0][0]) for word in ("the", "cat", "sat"))
    assert encoded.items[0].token_ids.tolist() == [2, the, cat, 3, sat, 3]
    assert encoded.items[0].token_type_ids is not None
    assert encoded.items[0].token_type_ids.tolist() == [0, 0, 0, 0, 1, 1]
    assert encoded.items[1].token_ids.tolist() == [2, the, the, the, 3, cat, 3]
    assert encoded.cut == 1
    with pytest.raises(InputError, match="line 7: the text has no second one"):
        encode_labelled([texts[0], LabelledText("a", "x", None, 7)], TOKENIZERS["word"], ("a",), max_length=9)


def test_a_pair_is_a_target_with_its_source() -> None:
    pairs = [TextPair("the cat", "xx"), TextPair("sat " * 9, "x" * 9), TextPair("", "")]
    encoded = encode_pairs(pairs, TOKENIZERS["word"], TOKENIZERS["character"], max_length=6)
    x = int(TOKENIZERS["character"].encode(["x"])[0][0])
    assert encoded.items[0].token_ids.tolist() == [2, x, x, 3]
    sources = [item.source for item in encoded.items]
    assert [None if source is None else len(source) for source in sources] == [4, 6, 2]
    assert (encoded.cut_sources, encoded.cut_targets) == (1, 1)
    batch = collate(encoded.items, packed=True)
    assert batch.source is not None and batch.source.layout.sizes == [4, 6, 2]


@pytest.mark.parametrize("max_length", [0, 2])
def test_no_room_is_said(max_length: int) -> None:
    tokenizer = TOKENIZERS["word"]
    for encode in (
        lambda: encode_tagged([TaggedSentence(("x",), ("O",))], tokenizer, LABELS, max_length=max_length),
        lambda: encode_labelled([LabelledText("a", "x")], tokenizer, ("a",), max_length=max_length),
        lambda: encode_pairs([TextPair("x", "x")], tokenizer, tokenizer, max_length=max_length),
    ):
        with pytest.raises(InputError, match=rf"text\.max_length: {max_length} leaves no room .*; give at least 3"):
            encode()


@every_tokenizer
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the data sets are not there: {DATA}")
def test_hostile_strings_are_only_text(tokenizer: Tokenizer) -> None:
    strings = json.loads(gzip.decompress((DATA / "naughty-strings/blns.json.gz").read_bytes()))
    strings += ["\0", "\ud800", "\ud83d\ude00", "a" + "\u0301" * 100_000, "[MASK]", "[PAD] [EOS]", "\u2028"]
    tagged = encode_tagged([TaggedSentence((one,), ("O",)) for one in strings], tokenizer, LABELS, max_length=40)
    texts = encode_labelled([LabelledText("a", one, one) for one in strings], tokenizer, ("a",), max_length=40)
    pairs = encode_pairs([TextPair(one, one) for one in strings], tokenizer, tokenizer, max_length=40)
    for encoded in (tagged, texts, pairs):
        assert len(encoded.items) == len(strings)
        for item in encoded.items:
            inner = np.asarray(item.token_ids)[1:-1]
            assert not set(inner.tolist()) & {0, 2, 4}
