"""What is embedded is there, is the same every time, is hard enough to be worth learning, and its answers are right."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.evaluation.spans import span_scores
from clearhead.text.embedded import embedded_labelled, embedded_pairs, embedded_tagged
from clearhead.text.numerals import LARGEST, chinese, english
from clearhead.text.supervised import classes_in, hold_out, tags_in
from clearhead.text.tag_schemes import faults, spans

VALUES = {"十": 10, "百": 100, "千": 1000}


def value(numerals: str) -> int:
    """What Chinese numerals are worth, read from the left."""
    total = section = digit = 0
    for character in numerals:
        if character == "万":
            total, section, digit = (section + digit) * 10_000, 0, 0
        elif character in VALUES:
            section, digit = section + (digit or 1) * VALUES[character], 0
        else:
            digit = "零一二三四五六七八九".index(character)
    return total + section + digit


@pytest.mark.parametrize(
    ("number", "words", "numerals"),
    [
        (0, "zero", "零"),
        (7, "seven", "七"),
        (10, "ten", "十"),
        (15, "fifteen", "十五"),
        (40, "forty", "四十"),
        (99, "ninety-nine", "九十九"),
        (100, "one hundred", "一百"),
        (110, "one hundred and ten", "一百一十"),
        (704, "seven hundred and four", "七百零四"),
        (1010, "one thousand and ten", "一千零一十"),
        (2300, "two thousand three hundred", "二千三百"),
        (10_000, "ten thousand", "一万"),
        (100_500, "one hundred thousand five hundred", "十万零五百"),
        (203_040, "two hundred and three thousand and forty", "二十万三千零四十"),
        (1_000_001, "one million and one", "一百万零一"),
        (20_304_050, "twenty million three hundred and four thousand and fifty", "二千零三十万四千零五十"),
        (LARGEST, None, "九千九百九十九万九千九百九十九"),
    ],
)
def test_numbers_in_words_and_numerals(number: int, words: str | None, numerals: str) -> None:
    assert chinese(number) == numerals
    assert words is None or english(number) == words


@given(st.integers(0, LARGEST))
def test_numerals_are_worth_their_number(number: int) -> None:
    written = chinese(number)
    assert value(written) == number
    assert "零零" not in written and (number == 0 or not written.endswith("零"))
    with pytest.raises(ValueError, match="is not between"):
        chinese(number - LARGEST - 1)


def test_pairs_are_drawn_by_seed_and_differ() -> None:
    one, two, other = embedded_pairs(0, 300), embedded_pairs(0, 300), embedded_pairs(1, 300)
    assert one == two
    assert set(one.examples) != set(other.examples)
    assert len(set(one.examples)) == len({pair.source for pair in one.examples}) == 300
    assert "seed 0" in one.source
    lengths = Counter(len(pair.target) for pair in one.examples)
    assert len(lengths) > 8


def test_tagged_code() -> None:
    reading = embedded_tagged()
    assert "Python 3." in reading.source and reading.scheme == "bio"
    assert len(reading.examples) > 1000
    assert len({one.words for one in reading.examples}) == len(reading.examples)
    assert {tag[2:] for tag in tags_in(reading.examples)} == {"", "argument", "call", "definition", "import", "target"}
    assert not any(faults(one.tags, "bio") for one in reading.examples)
    found = {
        (span.type, "".join(one.words[span.start : span.end]))
        for one in reading.examples
        for span in spans(one.tags, "bio")
    }
    assert {("call", "super"), ("definition", "__init__")} <= found
    assert not {name for _, name in found if name in ("if", "return", "not", "None")}


def test_tagging_code_takes_more_than_the_word() -> None:
    train, held = hold_out(embedded_tagged().examples, 0.2)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in train:
        for word, tag in zip(one.words, one.tags, strict=True):
            counts[word][tag] += 1
    said = [[counts[word].most_common(1)[0][0] if word in counts else "O" for word in one.words] for one in held]
    assert 0.1 < span_scores([one.tags for one in held], said, "bio").micro.f1 < 0.6


def test_labelled_documentation() -> None:
    reading = embedded_labelled()
    assert classes_in(reading.examples) == ("asyncio", "email", "importlib", "unittest")
    counts = Counter(one.label for one in reading.examples)
    assert min(counts.values()) > 100
    assert max(counts.values()) < 0.6 * len(reading.examples)
    assert len({one.text for one in reading.examples}) == len(reading.examples)
