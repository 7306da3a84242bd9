"""Tokenizers: the same every time, any string in, and for BPE the same string out."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text.tokenizers import (
    LEAST_SIZE,
    SPECIAL_TOKENS,
    Kind,
    Tokenizer,
    Vocabulary,
    load_tokenizer,
    train_tokenizer,
)

from .conftest import prose

LINES = [
    *prose(200).splitlines(),
    *(f"雨下了{i}天，河水涨了又退。" for i in range(60)),
    'Naïve café, ünïcode; it\'s "quoted"!',
] * 2
HOSTILE = [
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "x\udfffy",
    "\ud83d\ude00",
    "[MASK] [PAD]##a",
    "\u202e\u2028\ufeff",
    "a" * 5000,
    "🏳️‍🌈é",
]
SIZE = {"bpe": 400, "wordpiece": 300, "character": 80, "word": 400}


@pytest.fixture(scope="module")
def trained() -> dict[Kind, Tokenizer]:
    return {kind: train_tokenizer(kind, LINES, SIZE[kind]) for kind in get_args(Kind)}


@pytest.fixture(params=get_args(Kind))
def tokenizer(request: pytest.FixtureRequest, trained: dict[Kind, Tokenizer]) -> Tokenizer:
    return trained[request.param]


def test_special_tokens_come_first(tokenizer: Tokenizer) -> None:
    assert [tokenizer.engine.id_to_token(i) for i in range(5)] == ["[PAD]", "[UNK]", "[BOS]", "[EOS]", "[MASK]"]
    assert tokenizer.vocabulary == Vocabulary(size=tokenizer.vocabulary.size, pad=0, unknown=1, begin=2, end=3, mask=4)
    assert 50 < tokenizer.vocabulary.size <= SIZE[tokenizer.kind]


def test_ids_are_int32_within_the_vocabulary(tokenizer: Tokenizer) -> None:
    encoded = tokenizer.encode(LINES)
    assert len(encoded) == len(LINES)
    assert {ids.dtype for ids in encoded} == {np.dtype(np.int32)}
    known = np.concatenate(encoded)[np.concatenate(encoded) != tokenizer.vocabulary.unknown]
    assert known.min() >= 5 and known.max() < tokenizer.vocabulary.size


def test_known_words_come_back(tokenizer: Tokenizer) -> None:
    (ids,) = tokenizer.encode(["The river story number 7."])
    assert tokenizer.decode(ids).replace(" .", ".") == "The river story number 7."
    assert tokenizer.decode([2, *ids, 3, 0, 0]) == tokenizer.decode(ids)
    assert "[MASK]" in tokenizer.decode([*ids[:2], 4, *ids[2:]])


@settings(deadline=None)
@given(st.text())
def test_bpe_gives_any_text_back(trained: dict[Kind, Tokenizer], text: str) -> None:
    (ids,) = trained["bpe"].encode([text])
    assert trained["bpe"].decode(ids) == text
    assert trained["bpe"].vocabulary.unknown not in ids


@settings(deadline=None)
@given(st.text(st.characters(), max_size=30))
def test_no_string_is_too_odd(trained: dict[Kind, Tokenizer], text: str) -> None:
    for tokenizer in trained.values():
        (ids,) = tokenizer.encode([text])
        tokenizer.decode(ids)
        assert not set(ids.tolist()) & {0, 2, 3, 4}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(tokenizer: Tokenizer, text: str) -> None:
    (ids,) = tokenizer.encode([text])
    assert not set(ids.tolist()) & {0, 2, 3, 4}
    train_tokenizer(tokenizer.kind, [text, *LINES[:20]], SIZE[tokenizer.kind]).encode(HOSTILE)


def test_surrogates_are_joined_or_replaced(trained: dict[Kind, Tokenizer]) -> None:
    encoded = trained["bpe"].encode(["\ud83d\ude00", "a\ud800b"])
    assert [trained["bpe"].decode(ids) for ids in encoded] == ["😀", "a\ufffdb"]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_training_again_gives_the_same(tmp_path: Path, kind: Kind) -> None:
    code = (
        "import sys; from clearhead.text.documentation import documentation; "
        "from clearhead.text.tokenizers import train_tokenizer as t; "
        "lines = documentation()[:12] + ('红楼梦中人', '梦'); "
        "print(t(sys.argv[1], lines, 700).engine.to_str())"
    )
    made = {
        subprocess.run([sys.executable, "-c", code, kind], capture_output=True, check=True).stdout for _ in range(3)
    }
    assert len(made) == 1


def test_saved_and_sent_it_stays_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = [*LINES[:30], "[MASK] stays text"]
    expected = [ids.tolist() for ids in tokenizer.encode(texts)]
    for again in (load_tokenizer(tokenizer.save(tmp_path / "tokenizer.json")), pickle.loads(pickle.dumps(tokenizer))):
        assert again == tokenizer
        assert [ids.tolist() for ids in again.encode(texts)] == expected


@pytest.mark.parametrize("content", ["", "{}", '{"version": "1.0"}', "\0"])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=r"not a tokenizer\.json"):
        load_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("kind", get_args(Kind))
def test_too_small_a_vocabulary_is_refused(kind: Kind) -> None:
    assert train_tokenizer(kind, LINES, LEAST_SIZE[kind]).vocabulary.size <= LEAST_SIZE[kind]
    with pytest.raises(InputError, match=f"too small for {kind}"):
        train_tokenizer(kind, LINES, LEAST_SIZE[kind] - 1)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_many_letters_do_not_exceed_the_vocabulary(kind: Kind) -> None:
    many = ["".join(map(chr, range(0x4E00 + start, 0x4E00 + start + 40))) for start in range(0, 4000, 40)]
    words = ["".join(map(chr, range(start, start + 20))) for start in range(0x400, 0x500, 20)]
    assert train_tokenizer(kind, many + words, 512).vocabulary.size <= 512


def test_wordpiece_writes_words_as_longest_pieces(trained: dict[Kind, Tokenizer]) -> None:
    (ids,) = trained["wordpiece"].encode(["river riverriver 雨天"])
    tokens = [trained["wordpiece"].engine.id_to_token(int(i)) for i in ids]
    assert tokens[:2] == ["river", "river"] and tokens[2].startswith("##") and tokens[-2:] == ["雨", "天"]


def test_characters_are_ranked_by_frequency() -> None:
    engine = train_tokenizer("character", ["bbbb", "aa", "cc", *"defghijklmn"], 16).engine
    assert [engine.id_to_token(i) for i in range(5, 9)] == ["b", "a", "c", "d"]
    assert engine.get_vocab_size() == 16 and tuple(engine.id_to_token(i) for i in range(5)) == SPECIAL_TOKENS
