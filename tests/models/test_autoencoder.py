"""The stack: what it reads, and what its states are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clearhead.batches.batch import collate
from clearhead.errors import InputError
from clearhead.models import autoencoder
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

INVENTORY = Inventory(Vocabulary(12), 16)
BATCH = collate([np.array([2, 7, 9, 7, 3]), np.array([2, 3]), np.array([11])], packed=True)


def build(**fields: Any) -> autoencoder.Autoencoder:
    torch.manual_seed(0)
    return autoencoder.build(autoencoder.Spec(**{"hidden_sizes": (6, 4), **fields}), INVENTORY).double()


@pytest.mark.parametrize("weighting", ["binary", "counts", "log_counts"])
@pytest.mark.parametrize("hidden_act", ["sigmoid", "relu"])
def test_the_code_of_a_sequence_stands_at_each_of_its_tokens(weighting: str, hidden_act: str) -> None:
    model = build(input=weighting, hidden_act=hidden_act)
    bag = torch.zeros(3, 7, dtype=torch.float64)  # words 5 .. 11
    bag[0, 2], bag[0, 4], bag[2, 6] = {"binary": 1, "counts": 2, "log_counts": np.log(3)}[weighting], 1, 1
    if weighting == "log_counts":
        bag[0, 4] = bag[2, 6] = np.log(2)
    act = torch.sigmoid if hidden_act == "sigmoid" else torch.relu
    first, second = model.stack
    one = act(bag @ first.linear.weight.T + first.linear.bias)
    two = act(one @ second.linear.weight.T + second.linear.bias)
    states = model(BATCH)
    torch.testing.assert_close(states.layers[0], one[BATCH.layout.sequence_ids], rtol=0, atol=1e-13)
    torch.testing.assert_close(states.hidden, two[BATCH.layout.sequence_ids], rtol=0, atol=1e-13)
    assert len(states.layers) == 2
    assert (model.width, states.hidden.shape) == (4, (8, 4))


def test_the_convolutional_code_is_each_tokens_own_and_sees_its_window() -> None:
    model = build(kind="convolutional", hidden_sizes=(6,), embedding_size=3, kernel_size=3)
    states = model(BATCH)
    torch.testing.assert_close(states.layers[0], model.token_embedding(BATCH.token_ids))
    far = collate([np.array([2, 7, 9, 7, 10]), np.array([2, 3]), np.array([11])], packed=True)
    changed = (model(far).hidden != states.hidden).any(-1)
    assert changed.tolist() == [False, False, False, True, True, False, False, False]


@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_a_head_on_the_code_trains_every_layer(kind: str) -> None:
    model = build(kind=kind)
    model(BATCH).hidden.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(torch.count_nonzero(layer.linear.weight.grad) > 0 for layer in model.stack)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"hidden_sizes": []}, "model.hidden_sizes"),
        ({"hidden_sizes": [8, 0]}, "must all be at least 1"),
        ({"kernel_size": 5}, "kernel_size has no meaning where kind is dense"),
        ({"kind": "convolutional", "input": "counts"}, "input has no meaning where kind is convolutional"),
        ({"kind": "convolutional", "kernel_size": 4}, "take 5"),
        ({"kind": "conv"}, "did you mean|is not one of dense, convolutional"),
        ({"input": "tfidf"}, "is not one of binary, counts, log_counts"),
    ],
)
def test_what_is_not_offered_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(autoencoder.Spec, fields, "model")
