"""Real data sets are read to the exact number of sentences, words, tags and spans; hostile strings by every reader."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from clearhead.errors import InputError
from clearhead.text.conllu import read_conllu, write_conllu
from clearhead.text.formats import open_labelled, open_pairs, open_tagged
from clearhead.text.supervised import hold_out, in_both
from clearhead.text.tag_schemes import spans

DATA = Path(os.environ.get("CLEARHEAD_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the data sets are not there: {DATA}")


@pytest.mark.parametrize(
    ("name", "sentences", "words", "tags", "entities"),
    [
        ("wnut17-ner/train.conll.gz", 3394, 62730, 13, 1975),
        ("wnut17-ner/dev.conll.gz", 1009, 15733, 13, 836),
        ("wnut17-ner/test.conll.gz", 1287, 23394, 13, 1079),
        ("weibo-ner-zh/train.conll.gz", 1350, 73778, 17, 1885),
        ("weibo-ner-zh/dev.conll.gz", 270, 14509, 17, 389),
        ("weibo-ner-zh/test.conll.gz", 270, 14842, 17, 414),
        ("snips-nlu/train.conll.gz", 13784, 126179, 72, 35748),
        ("snips-nlu/test.conll.gz", 700, 6594, 69, 1794),
    ],
)
def test_named_entities(name: str, sentences: int, words: int, tags: int, entities: int) -> None:
    reading = open_tagged(DATA / name, characters=name.startswith("weibo"))
    assert (reading.format, reading.scheme) == ("conll", "bio")
    assert len(reading.examples) == sentences
    assert sum(len(one.words) for one in reading.examples) == words
    assert len({tag for one in reading.examples for tag in one.tags}) == tags
    assert sum(len(spans(one.tags, "bio")) for one in reading.examples) == entities
    if name.startswith("weibo"):
        assert {len(word) for one in reading.examples for word in one.words} == {1}


@pytest.mark.parametrize(
    ("name", "sentences", "words", "ranges", "empty"),
    [
        ("ud-english-ewt/train.conllu.gz", 12544, 204577, 2614, 37),
        ("ud-english-ewt/dev.conllu.gz", 2001, 25147, 359, 4),
        ("ud-english-ewt/test.conllu.gz", 2077, 25094, 354, 2),
        ("ud-chinese-gsdsimp/dev.conllu.gz", 500, 12663, 0, 0),
        ("ud-chinese-gsdsimp/test.conllu.gz", 500, 12012, 0, 0),
    ],
)
def test_treebanks_lose_nothing(tmp_path: Path, name: str, sentences: int, words: int, ranges: int, empty: int) -> None:
    read = list(read_conllu(DATA / name))
    ids = [row[0] for one in read for row in one.rows]
    assert (len(read), sum(len(one.words) for one in read)) == (sentences, words)
    assert (sum("-" in one for one in ids), sum("." in one for one in ids)) == (ranges, empty)
    assert sum(len(one.tagged("xpos").tags) for one in read) == words
    written = write_conllu(tmp_path / "again.conllu", read).read_bytes()
    assert written == gzip.decompress((DATA / name).read_bytes())


def test_words_and_tags_in_two_columns() -> None:
    reading = open_tagged(DATA / "ud-chinese-gsdsimp/train.form-xpos.tsv.gz")
    assert (len(reading.examples), sum(len(one.words) for one in reading.examples)) == (3997, 98608)
    assert (reading.format, reading.scheme) == ("tsv", None)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("mr-sentence-polarity/train.tsv.gz", {"neg": 4265, "pos": 4239}),
        ("mr-sentence-polarity/dev.tsv.gz", {"neg": 555, "pos": 547}),
        ("mr-sentence-polarity/test.tsv.gz", {"neg": 511, "pos": 545}),
        ("snli-dev/pairs.tsv.gz", {"contradiction": 3278, "entailment": 3329, "neutral": 3235}),
    ],
)
def test_labelled_texts(name: str, labels: dict[str, int]) -> None:
    reading = open_labelled(DATA / name)
    assert Counter(one.label for one in reading.examples) == labels
    assert {one.second is not None for one in reading.examples} == {name.startswith("snli")}


def test_intents() -> None:
    reading = open_labelled(DATA / "snips-nlu/test.conll.gz", metadata="intent")
    assert (len(reading.examples), len({one.label for one in reading.examples})) == (700, 7)


@pytest.mark.parametrize(("name", "pairs"), [("train", 23796), ("dev", 1247)])
def test_translations(name: str, pairs: int) -> None:
    reading = open_pairs(DATA / f"tatoeba-cmn-eng/{name}.tsv.gz")
    assert len(reading.examples) == pairs
    assert not [pair for pair in reading.examples if "CC-BY" in pair.target or "CC-BY" in pair.source]


def test_premises_do_not_cross_and_doubles_are_counted() -> None:
    examples = open_labelled(DATA / "snli-dev/pairs.tsv.gz").examples
    train, held = hold_out(examples, 0.1)
    assert 0.08 < len(held) / len(examples) < 0.12
    assert in_both(train, held) == 0
    assert in_both(examples, held) == len(held)
    parts = [open_labelled(DATA / f"mr-sentence-polarity/{part}.tsv.gz").examples for part in ("train", "test")]
    assert in_both(*parts) == 0


@pytest.mark.parametrize(
    ("layout", "read"),
    [
        ("{} O\n", open_tagged),
        ("# key = {}\n{}\tB-{}\n", open_tagged),
        ("1\t{}\t_\tX\tY\t_\t0\troot\t_\t_\n", open_tagged),
        ("{}\t{}\tb\n", open_labelled),
        ("{}\t{}\n", open_pairs),
    ],
)
def test_hostile_strings_are_read_or_named(tmp_path: Path, layout: str, read: object) -> None:
    strings = json.loads(gzip.decompress((DATA / "naughty-strings/blns.json.gz").read_bytes()))
    assert len(strings) == 515
    path = tmp_path / "naughty.conll"
    good = 0
    for string in [*strings, "\0", "\u2028", "\x85", "a" + "\u0301" * 10_000, "\ufeff", "\x1f"]:
        path.write_bytes(layout.replace("{}", string).encode())
        try:
            good += len(read(path).examples)  # type: ignore[operator]
        except InputError as fault:
            assert str(path) in str(fault)
    assert good > 300
