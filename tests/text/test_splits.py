"""Sentences, and the split: nothing that trains validates, stretches stay whole, twice gives the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text.corpora import open_corpus
from clearhead.text.splits import Split, Unit, sentences, split_corpus

from .conftest import prose

Write = Callable[..., Path]
QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is here. Two is there! Three? Four", ["One is here.", "Two is there!", "Three?", "Four"]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Mr. Holmes met Dr. J. Watson. They talked.", ["Mr. Holmes met Dr. J. Watson.", "They talked."]),
        ("See e.g. Python. It is 3.5 or so, i.e. not 4.", ["See e.g. Python.", "It is 3.5 or so, i.e. not 4."]),
        ("Well... he left. So did I. And she?", ["Well... he left.", "So did I.", "And she?"]),
        ("你好。“真的吗？”他问！好", ["你好。", "“真的吗？”", "他问！", "好"]),
        ("one line\nanother  line\n\n\nlast", ["one line", "another line", "last"]),
        ("a\u2028b", ["a", "b"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences_end_where_they_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_wrapped_paragraph_is_one_text() -> None:
    wrapped = (
        "It was the best of times, it was the worst of times, it was the age\n"
        "of wisdom, it was the age of foolishness, it was the epoch of belief,\n"
        "it was the season of Light.\n"
        "\n"
        "It was the winter of despair, we had everything before us, we were\n"
        "all going direct to Heaven.\n"
    )
    assert [len(sentence.split()) for sentence in sentences(wrapped)] == [36, 18]


def test_verse_keeps_its_lines() -> None:
    verse = "Shall I compare thee to a summer's day\nThou art more lovely\nRough winds do shake\nAnd summer's lease\n"
    assert len(sentences(verse)) == 4


@QUICK
@given(st.text())
def test_sentences_lose_nothing_but_white_space(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_sentences_take_time_in_proportion_to_the_text() -> None:
    assert len(sentences("See e.g. X for it, i.e. " * 100_000)) == 1


def normal(part: str) -> str:
    return " ".join(part.split()).casefold()


def assert_sound(split: Split) -> None:
    assert split.train and split.validation
    assert not set(map(normal, split.train)) & set(map(normal, split.validation))


@QUICK
@given(
    texts=st.lists(
        st.lists(
            st.sampled_from([f"{w} {n}." for w in ("Rain fell", "rain  fell", "雨停了") for n in range(12)]),
            max_size=30,
        ),
        max_size=12,
    ),
    unit=st.sampled_from(get_args(Unit)),
    fraction=st.sampled_from([0.05, 0.1, 0.5]),
    separator=st.sampled_from([" ", "\n", "\n\n"]),
)
def test_nothing_that_trains_validates(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]], unit: Unit, fraction: float, separator: str
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    for i, parts in enumerate([["The first one.", "And so on."], *texts]):
        (folder / f"{i:02d}.txt").write_text(separator.join(parts), encoding="utf-8")
    corpus = open_corpus(folder)
    try:
        split = split_corpus(corpus, unit=unit, validation_fraction=fraction)
    except InputError as fault:
        assert "too little" in str(fault) or "over and over" in str(fault)
        return
    assert_sound(split)
    assert split_corpus(corpus, unit=unit, validation_fraction=fraction) == split


@pytest.mark.parametrize("unit", get_args(Unit))
@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3])
def test_the_fraction_is_about_right_and_all_text_is_there(novel: Path, unit: Unit, fraction: float) -> None:
    split = split_corpus(open_corpus(novel), unit=unit, validation_fraction=fraction)
    assert_sound(split)
    held, all_of_it = len("".join(split.validation)), len("".join(split.train + split.validation))
    assert abs(held / all_of_it - fraction) < 0.04
    assert sorted(" ".join(split.train + split.validation).split()) == sorted(novel.read_text().split())


def test_both_sides_are_whole_stretches_in_order(novel: Path) -> None:
    split = split_corpus(open_corpus(novel))
    validating = set(split.validation)
    sides = [sentence in validating for sentence in sentences(novel.read_text())]
    runs = [len(list(run)) for side, run in itertools.groupby(sides) if side]
    assert min(runs) >= 10
    assert list(split.train) == [s for s in sentences(novel.read_text()) if s not in validating]


def test_a_document_goes_to_one_side_whole(write: Write, tmp_path: Path) -> None:
    for i in range(60):
        write(f"{i:02d}.txt", f"Document {i} begins. It goes on as number {i} does. Document {i} ends here.")
    split = split_corpus(open_corpus(tmp_path))
    assert 3 <= len(split.validation) / 3 <= 9
    for i in range(60):
        assert sum(f"ocument {i} " in sentence for sentence in split.validation) in {0, 2}


def test_a_document_is_a_unit_as_it_stands(write: Write, tmp_path: Path) -> None:
    texts = [f"Title {i}\n  indented {i}\nlast line of {i}" for i in range(40)]
    for i, text in enumerate(texts):
        write(f"{i:02d}.txt", text)
    split = split_corpus(open_corpus(tmp_path), unit="document")
    assert sorted(split.train + split.validation) == sorted(texts)


def test_a_text_that_repeats_itself_still_validates_on_something_new(write: Write) -> None:
    lines = [f"This is line number {i} of the refrain." for i in range(8)]
    split = split_corpus(open_corpus(write("song.txt", "\n".join(lines * 200))))
    assert_sound(split)
    assert set(split.train) | set(split.validation) == set(lines)


@pytest.mark.parametrize(
    "text",
    [prose(30).replace("\n", " "), "".join(f"这是第{i}句话，说的是一年里的第{i}天下了多少雨。" for i in range(40))],
)
@pytest.mark.parametrize("unit", ["sentence", "document"])
def test_one_long_line_of_prose_works(write: Write, text: str, unit: Unit) -> None:
    assert_sound(split_corpus(open_corpus(write("line.txt", text)), unit=unit))


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("Only ten words stand in here and that is all.", "45 characters in 1 different"),
        ("Again and again. " * 100, "in 1 different"),
        ("word " * 2000, "in 2 different"),
        ("A. B. C. D. E. F. G. H. I. J. K.", "characters in"),
    ],
)
def test_too_little_is_refused_with_what_is_there_and_what_is_needed(write: Write, text: str, there: str) -> None:
    path = write("small.txt", text)
    with pytest.raises(InputError) as fault:
        split_corpus(open_corpus(path))
    assert str(fault.value).startswith(f"{path}: too little to train on: ")
    assert there in str(fault.value) and "where 200 in 8 are the least" in str(fault.value)


def test_a_large_corpus_is_excerpted_at_evenly_spaced_places(write: Write) -> None:
    lines = [f"This is line number {i:06d} of a long book." for i in range(20_000)]
    corpus = open_corpus(write("long.txt", "\n".join(lines)))
    split = split_corpus(corpus, max_characters=100_000, unit="line")
    numbers = sorted(
        int(line.split()[4]) for line in split.train + split.validation if line in set(lines[:1]) or len(line) == 42
    )
    assert 90_000 < sum(map(len, split.train + split.validation)) <= 100_000
    counts = [sum(start <= n < start + 2000 for n in numbers) for start in range(0, 20_000, 2000)]
    assert max(counts) - min(counts) <= 120
    assert split_corpus(corpus, max_characters=100_000, unit="line") == split
