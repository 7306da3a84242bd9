"""Tokenized text: cut, framed, kept on disk whole or not at all."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clearhead.errors import InputError, MachineError
from clearhead.spec import validate
from clearhead.text import tokenized
from clearhead.text.corpora import Corpus, open_corpus
from clearhead.text.splits import split_corpus
from clearhead.text.tokenized import Sequences, TextSpec, TokenizedText, tokenize_corpus

SPEC = TextSpec(vocabulary_size=400, max_length=16)


@pytest.fixture
def corpus(novel: Path) -> Corpus:
    return open_corpus(novel)


def assert_same(one: TokenizedText, other: TokenizedText) -> None:
    for side in ("train", "validation"):
        np.testing.assert_array_equal(getattr(one, side).ids, getattr(other, side).ids)
        np.testing.assert_array_equal(getattr(one, side).offsets, getattr(other, side).offsets)
    assert one.tokenizer.engine.to_str() == other.tokenizer.engine.to_str()
    assert (one.validation_bytes, one.corpus) == (other.validation_bytes, other.corpus)


def kept_in(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


def test_sequences_are_views_of_one_array() -> None:
    sequences = Sequences(np.arange(6, dtype=np.int32), np.array([0, 2, 2, 6]))
    assert [part.tolist() for part in sequences] == [[0, 1], [], [2, 3, 4, 5]]
    assert (len(sequences), sequences[-1].tolist(), sequences.lengths.tolist()) == (3, [2, 3, 4, 5], [2, 0, 4])
    assert np.shares_memory(sequences[0], sequences.ids)
    with pytest.raises(IndexError):
        sequences[3]


def test_each_sequence_is_framed_and_short_enough(corpus: Corpus) -> None:
    text = tokenize_corpus(corpus, SPEC, None)
    vocabulary = text.tokenizer.vocabulary
    for sequences in (text.train, text.validation):
        assert (sequences.ids.dtype, sequences.offsets.dtype) == (np.int32, np.int64)
        assert sequences.lengths.max() <= SPEC.max_length and sequences.lengths.min() >= 3
        assert {int(ids[0]) for ids in sequences} == {vocabulary.begin}
        assert {int(ids[-1]) for ids in sequences} == {vocabulary.end}


def test_pieces_of_a_long_text_are_of_about_equal_length_and_lose_nothing(corpus: Corpus) -> None:
    text = tokenize_corpus(corpus, SPEC.model_copy(update={"unit": "document"}), None)
    split = split_corpus(corpus, unit="document")
    assert text.tokenizer.decode(text.train.ids) == "".join(split.train)
    assert text.train.lengths.min() >= SPEC.max_length // 2
    assert text.validation_bytes == sum(len(part.encode()) for part in split.validation)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "character"])
def test_what_is_kept_is_what_was_made(corpus: Corpus, tmp_path: Path, kind: str) -> None:
    spec = validate(TextSpec, {"tokenizer": kind, "vocabulary_size": "300"})
    made = tokenize_corpus(corpus, spec, None)
    first, second = (tokenize_corpus(corpus, spec, tmp_path / "cache") for _ in range(2))
    assert_same(first, made)
    assert_same(second, made)
    assert isinstance(second.train.ids, np.memmap)


def test_it_is_made_once(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tokenize_corpus(corpus, SPEC, tmp_path / "cache")
    monkeypatch.setattr(tokenized, "_made", None)
    assert_same(tokenize_corpus(corpus, SPEC, tmp_path / "cache"), kept)


def test_another_spec_or_text_is_kept_apart(corpus: Corpus, tmp_path: Path) -> None:
    other = Corpus("the same by another name", corpus.sha256, corpus.characters, corpus.source)
    for spec in (SPEC, SPEC.model_copy(update={"max_length": 20})):
        for one in (corpus, other):
            tokenize_corpus(one, spec, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


FILES = [*tokenized._ARRAYS, "tokenizer.json", "manifest.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["cut", "flipped", "absent", "emptied"])
def test_what_is_damaged_is_made_again(corpus: Corpus, tmp_path: Path, name: str, harm: str) -> None:
    kept = tokenize_corpus(corpus, SPEC, tmp_path / "cache")
    path = kept_in(tmp_path / "cache") / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.unlink()
    if harm != "absent":
        path.write_bytes({"cut": bytes(data[: len(data) // 2]), "flipped": bytes(data), "emptied": b""}[harm])
    assert_same(tokenize_corpus(corpus, SPEC, tmp_path / "cache"), kept)
    assert tokenized._read(kept_in(tmp_path / "cache"), corpus) is not None


def test_a_run_killed_while_writing_leaves_nothing_to_read(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tokenized.json, "dump", killed)
        with pytest.raises(KeyboardInterrupt):
            tokenize_corpus(corpus, SPEC, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert_same(tokenize_corpus(corpus, SPEC, tmp_path / "cache"), tokenize_corpus(corpus, SPEC, None))


def test_two_processes_at_once_agree(corpus: Corpus, tmp_path: Path) -> None:
    code = (
        "import sys, pickle; from pathlib import Path; from clearhead.text.tokenized import *; "
        "corpus, spec = pickle.loads(bytes.fromhex(sys.argv[1])); "
        "print(tokenize_corpus(corpus, spec, Path(sys.argv[2])).train.ids.sum())"
    )
    command = [sys.executable, "-c", code, pickle.dumps((corpus, SPEC)).hex(), str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    sums = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sums == {f"{tokenize_corpus(corpus, SPEC, tmp_path / 'cache').train.ids.sum()}\n"}
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_quicker_process_is_believed(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tokenized._made

    def made_twice(*arguments: object) -> TokenizedText:
        monkeypatch.setattr(tokenized, "_made", made)
        tokenize_corpus(corpus, SPEC, tmp_path / "cache")
        return made(corpus, SPEC, None)

    monkeypatch.setattr(tokenized, "_made", made_twice)
    assert_same(tokenize_corpus(corpus, SPEC, tmp_path / "cache"), made(corpus, SPEC, None))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_full_disk_is_one_sentence(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokenized.np, "save", full)
    with pytest.raises(MachineError, match="No space left on device"):
        tokenize_corpus(corpus, SPEC, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"tokeniser": "bpe"}, "did you mean 'tokenizer'"),
        ({"tokenizer": "wordpeice"}, "did you mean 'wordpiece'"),
        ({"vocabulary_size": "260"}, "vocabulary_size: too small for bpe, which takes at least 261"),
        ({"validation_fraction": "0"}, "validation_fraction: "),
        ({"max_length": "2"}, "max_length: "),
        ({"unit": "word"}, "is not one of sentence, line, document"),
    ],
)
def test_a_bad_spec_names_the_field(data: dict[str, str], words: str) -> None:
    with pytest.raises(InputError) as fault:
        validate(TextSpec, data)
    assert words in str(fault.value)


def test_importing_sets_nothing_in_the_environment() -> None:
    code = "import os; before = dict(os.environ); import clearhead.text.tokenized; print(before == dict(os.environ))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "True"
