"""What templates see of a sentence, that ids say the same, and that an index outlives its process."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.errors import InputError
from clearhead.spec import validate
from clearhead.text.templates import (
    VIEWS,
    FeatureIndex,
    TemplateSpec,
    feature_index_from_json,
    feature_names,
    index_features,
    shape,
    templates,
)

CAT = ["The", "cat", "sat"]
SENTENCES = [CAT, ["The", "Boeing-747", "sat", "."], ["42"]]
ODD = ("word[-2] word[-1] shape[0]", "suffix3[+1]", "digit[0]", "lower[0]", "word[2]", "prefix2[-1] word[0]")


def one_by_one(words: list[str], chosen: tuple[str, ...]) -> list[list[str]]:
    """The features of a sentence, token by token and part by part: the plain twin."""
    found = []
    for place in range(len(words)):
        row = []
        for template in chosen:
            values = []
            for part in template.split():
                view, offset = part.rstrip("]").split("[")
                there = place + int(offset)
                if 0 <= there < len(words):
                    values.append(VIEWS[view](words[there]))
                else:
                    values.append("<s>" if there < 0 else "</s>")
            if None not in values:
                row.append(f"{template}=" + "\t".join(str(value) for value in values))
        found.append(row)
    return found


def test_by_hand() -> None:
    chosen = ("word[0]", "word[-1]", "suffix2[0]", "prefix4[0]", "title[0]", "word[0] word[1]")
    assert feature_names(CAT, chosen) == [
        ["word[0]=The", "word[-1]=<s>", "suffix2[0]=he", "title[0]=yes", "word[0] word[1]=The\tcat"],
        ["word[0]=cat", "word[-1]=The", "suffix2[0]=at", "word[0] word[1]=cat\tsat"],
        ["word[0]=sat", "word[-1]=cat", "suffix2[0]=at", "word[0] word[1]=sat\t</s>"],
    ]


@pytest.mark.parametrize(
    ("word", "told"), [("Boeing-747", "Xx-d"), ("U.S.", "X.X."), ("中文字", "c"), ("iPhone", "xXx"), ("", "")]
)
def test_shapes(word: str, told: str) -> None:
    assert shape(word) == told


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text("abA1.中", max_size=5), max_size=6), max_size=5))
def test_names_are_those_of_the_plain_twin(sentences: list[list[str]]) -> None:
    for chosen in (templates(TemplateSpec()), templates(TemplateSpec(kind="character")), ODD):
        for words in sentences:
            assert feature_names(words, chosen) == one_by_one(words, chosen)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text("abA1.", max_size=4), max_size=6), min_size=1, max_size=5), st.integers(1, 3))
def test_ids_say_what_names_say(sentences: list[list[str]], least: int) -> None:
    """Those shown often enough, in any company; the rest is -1."""
    spec = TemplateSpec(min_frequency=least)
    rows = [row for words in sentences for row in one_by_one(words, templates(spec))]
    counts = Counter(itertools.chain.from_iterable(rows))
    frequent = {name for name, count in counts.items() if count >= least}
    if not frequent:
        with pytest.raises(InputError, match="show no feature"):
            index_features(sentences, spec)
        return
    index = index_features(sentences, spec)
    assert set(index.ids) == frequent
    assert list(index.ids.values()) == list(range(len(index)))
    by_id = list(index.ids)
    assert [counts[name] for name in by_id] == sorted(counts.values(), reverse=True)[: len(by_id)]
    for words, ids in zip(sentences, index.encode(sentences), strict=True):
        assert ids.shape == (len(words), len(templates(spec)))
        named = [[by_id[i] for i in row if i >= 0] for row in ids]
        assert named == [[name for name in row if name in frequent] for row in one_by_one(words, templates(spec))]


def test_a_sentence_is_encoded_alike_alone_and_among_others() -> None:
    index = index_features(SENTENCES, TemplateSpec())
    together = index.encode([["unseen", "cat"], *SENTENCES])
    for words, ids in zip([["unseen", "cat"], *SENTENCES], together, strict=True):
        assert np.array_equal(index.encode([words])[0], ids)
    assert together[0][0].min() == -1


def test_every_distance_beyond_the_edge_says_so() -> None:
    around = ("word[-2]", "word[-1]", "word[2]")
    assert feature_names(["a"], around) == [["word[-2]=<s>", "word[-1]=<s>", "word[2]=</s>"]]


def test_the_templates_of_words_and_of_characters() -> None:
    words, characters = templates(TemplateSpec()), templates(TemplateSpec(kind="character"))
    for chosen in (words, characters):
        assert len(set(chosen)) == len(chosen)
    assert {"word[-2]", "word[2]", "prefix4[0]", "suffix1[0]", "word[-1] word[0]", "title[0]"} <= set(words)
    assert {"word[-2] word[-1]", "word[1] word[2]", "word[-1] word[1]"} <= set(characters)
    assert not [template for template in characters if "fix" in template]
    assert templates(TemplateSpec(window=0, affixes=0, bigrams=True)) == (
        *("bias[0]", "word[0]", "lower[0]", "shape[0]", "digit[0]", "title[0]", "upper[0]"),
    )


def test_an_index_outlives_its_process() -> None:
    index = index_features([*SENTENCES, ["\ud800", "中文", '"']], TemplateSpec())
    for again in (feature_index_from_json(index.to_json()), pickle.loads(pickle.dumps(index))):
        assert again == index
        assert np.array_equal(again.encode([CAT])[0], index.encode([CAT])[0])
    index.to_json().encode("utf-8")


def test_nothing_in_gives_nothing_out() -> None:
    index = index_features(SENTENCES, TemplateSpec())
    assert index.encode([]) == []
    assert [ids.shape for ids in index.encode([[], CAT])] == [(0, 21), (3, 21)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"templates": ["word[0]"], "features": 3}', '{"templates": 3}'])
def test_what_is_no_index_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no index of features"):
        feature_index_from_json(text)
    with pytest.raises(InputError, match="1 of them twice"):
        feature_index_from_json('{"templates": ["word[0]"], "features": ["a", "a"]}')


@pytest.mark.parametrize(
    ("template", "told"),
    [("wrod[0]", "did you mean 'word'"), ("word", "not of the form"), ("word[x]", "not of the form"), (" ", "empty")],
)
def test_what_is_no_template_is_refused(template: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        FeatureIndex((template,), {}).encode([CAT])


def test_sentences_that_show_nothing_are_refused() -> None:
    for sentences in ([], [[]]):
        with pytest.raises(InputError, match="show no feature"):
            index_features(sentences, TemplateSpec())
    with pytest.raises(InputError, match=r"templates\.kind: 'words' is not one of word, character"):
        validate(TemplateSpec, {"kind": "words"}, "templates")
