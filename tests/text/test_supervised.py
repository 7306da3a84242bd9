"""Labels in a fixed order, a part held out by text, doubles counted."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.text.examples import LabelledText, TaggedSentence, TextPair, key
from clearhead.text.supervised import classes_in, hold_out, in_both, tags_in, unseen


def test_labels_do_not_depend_on_the_order_of_examples() -> None:
    sentences = [TaggedSentence(("a", "b"), ("I-x", "O")), TaggedSentence(("c",), ("B-x",))]
    assert tags_in(sentences) == tags_in(sentences[::-1]) == ("O", "B-x", "I-x")
    assert classes_in([LabelledText("b", "x"), LabelledText("a", "y"), LabelledText("", "z")]) == ("a", "b")
    assert unseen(("O",), ["O", "B-x", "I-x", "B-x"]) == {"B-x": 2, "I-x": 1}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), min_size=2, max_size=60), st.floats(0.01, 0.9))
def test_equal_texts_stay_together_in_any_order(made: list[tuple[str, int]], fraction: float) -> None:
    examples = [LabelledText(label, f"Text  {number}" if label == "a" else f"text {number}") for label, number in made]
    if len({key(example) for example in examples}) < 2:
        with pytest.raises(InputError, match="too few different examples"):
            hold_out(examples, fraction)
        return
    train, held = hold_out(examples, fraction)
    assert train and held
    assert in_both(train, held) == 0
    assert sorted(map(repr, [*train, *held])) == sorted(map(repr, examples))
    shuffled = random.Random(0).sample(examples, len(examples))
    assert {key(example) for example in hold_out(shuffled, fraction)[1]} == {key(example) for example in held}


def test_the_fraction_is_kept_and_the_order_too() -> None:
    pairs = [TextPair(f"sentence {number}", "x", number) for number in range(1000)]
    train, held = hold_out(pairs, 0.1)
    assert (len(train), len(held)) == (900, 100)
    assert [pair.line for pair in held] == sorted(pair.line for pair in held)
    assert min(pair.line for pair in held) < 100 and max(pair.line for pair in held) > 900


def test_what_makes_a_double() -> None:
    pair = LabelledText("yes", "A premise.", "One.")
    assert key(pair) == key(LabelledText("no", "a  PREMISE.", "Two."))
    assert in_both([pair], [LabelledText("no", "a premise."), LabelledText("no", "another")]) == 1
    assert key(TaggedSentence(("A", "b"), ("O", "O"))) == "a b"
