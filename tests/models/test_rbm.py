"""The stack of machines: what each reads. The machine itself: tests/layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clearhead.batches.batch import collate
from clearhead.errors import InputError
from clearhead.models import rbm
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

INVENTORY = Inventory(Vocabulary(12), 16)
BATCH = collate([np.array([2, 7, 9, 7, 3]), np.array([2, 3]), np.array([11])], packed=True)


def build(**fields: Any) -> rbm.BoltzmannStack:
    torch.manual_seed(0)
    model = rbm.build(rbm.Spec(**{"hidden_sizes": (6, 4), **fields}), INVENTORY).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_every_machine_reads_the_probabilities_of_that_below(visible: str) -> None:
    model = build(visible=visible)
    bag = torch.zeros(3, 7, dtype=torch.float64)  # words 5 .. 11
    bag[0, 2], bag[0, 4], bag[2, 6] = (1, 1, 1) if visible == "bernoulli" else np.log([3, 2, 2])
    low, high = model.stack
    assert (low.units, high.units) == (visible, "bernoulli")
    one = torch.sigmoid(bag @ low.layer.linear.weight.T + low.layer.linear.bias)
    two = torch.sigmoid(one @ high.layer.linear.weight.T + high.layer.linear.bias)
    states = model(BATCH)
    torch.testing.assert_close(states.layers[0], one[BATCH.layout.sequence_ids], rtol=0, atol=1e-13)
    torch.testing.assert_close(states.hidden, two[BATCH.layout.sequence_ids], rtol=0, atol=1e-13)
    assert model.width == 4


def test_the_convolutional_kind_reads_tokens_through_windows() -> None:
    model = build(kind="convolutional", hidden_sizes=(6,))
    (machine,) = model.stack
    assert machine.units == "softmax"
    weight = machine.layer.linear.weight.reshape(6, 3, 12)
    middle = weight[:, 0, 7] + weight[:, 1, 9] + weight[:, 2, 7] + machine.layer.linear.bias  # at the 9 of 2 7 9 7 3
    alone = weight[:, 1, 11] + machine.layer.linear.bias
    hidden = model(BATCH).hidden
    torch.testing.assert_close(hidden[2], torch.sigmoid(middle), rtol=0, atol=1e-13)
    torch.testing.assert_close(hidden[7], torch.sigmoid(alone), rtol=0, atol=1e-13)


def test_weights_start_small_and_biases_at_0() -> None:
    model = rbm.build(rbm.Spec(hidden_sizes=(64, 64)), Inventory(Vocabulary(500), 16))
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            assert 0.009 < parameter.std() < 0.011
        else:
            assert torch.count_nonzero(parameter) == 0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"hidden_sizes": [8, -1]}, "must all be at least 1"),
        ({"kernel_size": 5}, "kernel_size has no meaning where kind is dense"),
        ({"kind": "convolutional", "visible": "gaussian"}, "visible has no meaning where kind is convolutional"),
        ({"kind": "convolutional", "kernel_size": 2}, "take 3"),
        ({"visible": "gausian"}, "did you mean 'gaussian'"),
    ],
)
def test_what_is_not_offered_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(rbm.Spec, fields, "model")
