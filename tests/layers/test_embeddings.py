"""Vectors from characters, and bags of words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearhead.batches.batch import collate
from clearhead.layers.embeddings import BagOfWords, CharacterCNN, Highway
from clearhead.text.tokenizers import Vocabulary

CHARACTERS, FILTERS = 10, ((1, 3), (2, 4), (4, 5))
WORDS = [[3, 1, 4, 1, 5], [7], [], [2, 9]]


def cnn(**fields: int) -> CharacterCNN:
    torch.manual_seed(0)
    return CharacterCNN(CHARACTERS, 6, FILTERS, 8, **fields).double()


def laid(words: list[list[int]], width: int) -> torch.Tensor:
    return torch.tensor([word + [-1] * (width - len(word)) for word in words])


@pytest.mark.parametrize("highways", [0, 2])
def test_it_is_torchs_convolution_over_each_word_alone(highways: int) -> None:
    model = cnn(highways=highways)
    ours = model(laid(WORDS, 5))
    for word, vector in zip(WORDS, ours, strict=True):
        symbols = torch.tensor([CHARACTERS, *word, CHARACTERS + 1])
        x = F.pad(model.embedding(symbols), (0, 0, 0, max(0, 4 - len(symbols)))).T[None]  # (1, E, C)
        found = []
        for (width, count), linear in zip(FILTERS, model.convolutions, strict=True):
            weight = linear.weight.reshape(count, width, 6).transpose(1, 2)  # type: ignore[operator, union-attr]
            values = F.conv1d(x, weight, linear.bias)[0]  # type: ignore[arg-type]
            found.append(values[:, : max(1, len(symbols) - width + 1)].amax(1))
        expected = torch.tanh(torch.cat(found))
        for highway in model.highways:
            expected = highway(expected)
        torch.testing.assert_close(vector, model.projection(expected), rtol=0, atol=1e-13)


def test_a_words_vector_does_not_depend_on_the_longest_word() -> None:
    model = cnn()
    torch.testing.assert_close(model(laid(WORDS, 5)), model(laid(WORDS, 14)), rtol=0, atol=1e-14)
    torch.testing.assert_close(model(laid(WORDS[1:2], 1)), model(laid(WORDS, 5))[1:2], rtol=0, atol=1e-14)


def test_the_order_of_characters_is_seen_and_so_are_the_ends() -> None:
    model = cnn()
    vectors = model(laid([[1, 2, 3], [3, 2, 1], [1, 2, 3, 3], [0]], 4))
    assert len(vectors.unique(dim=0)) == 4


def test_highway_by_hand() -> None:
    torch.manual_seed(0)
    highway = Highway(3).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    gate = torch.sigmoid(x @ highway.gate.weight.T + highway.gate.bias - 2)
    inner = F.relu(x @ highway.transform.weight.T + highway.transform.bias)
    torch.testing.assert_close(highway(x), gate * inner + (1 - gate) * x, rtol=0, atol=1e-15)
    nn.init.zeros_(highway.gate.weight)
    nn.init.constant_(highway.gate.bias, -1e9)
    assert torch.equal(highway(x), x)


@pytest.mark.parametrize("packed", [True, False])
def test_bags_by_hand(packed: bool) -> None:
    """Special tokens (0 .. 4) and pads, whatever id they hold, are no words."""
    batch = collate([np.array([2, 5, 7, 5, 5, 3]), np.array([1]), np.array([8, 4])], packed=packed, pad=6)
    counts = torch.tensor([[3.0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    vocabulary = Vocabulary(size=9)
    for weighting, expected in (
        ("counts", counts),
        ("binary", (counts > 0).float()),
        ("log_counts", torch.log(1 + counts)),
    ):
        bag = BagOfWords(vocabulary, weighting)
        assert bag.width == 4
        torch.testing.assert_close(bag(batch.token_ids, batch.layout, torch.float32), expected, rtol=0, atol=1e-7)
