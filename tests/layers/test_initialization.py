"""Initial values: their spread, and that equal names draw equal numbers."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.cross_attention import CrossAttention
from clearhead.layers.initialization import (
    INITIALIZATIONS,
    built,
    initialize_embeddings,
    initialize_lstm,
    initialize_transformer,
)
from clearhead.layers.scores import Additive


def transformer_like(extra: bool) -> nn.Module:
    parts = {"first": nn.Linear(200, 100), "table": nn.Embedding(300, 50), "norm": nn.LayerNorm(100)}
    return nn.ModuleDict(({"added": nn.Linear(7, 7)} if extra else {}) | parts)


def test_the_spread_of_a_transformer() -> None:
    module = transformer_like(extra=False)
    initialize_transformer(module, 3, std=0.02)
    for values in (module["first"].weight, module["table"].weight):  # type: ignore[index]
        assert values.std().item() == pytest.approx(0.02, rel=0.05)
        assert abs(values.mean().item()) < 0.001
    assert torch.count_nonzero(module["first"].bias) == 0  # type: ignore[index]
    assert torch.equal(module["norm"].weight, torch.ones(100))  # type: ignore[index]


def attentive() -> nn.Module:
    parts = {
        "attention": MultiHeadAttention(64, 4, score=Additive(4, 16, 1.0)),
        "cross": CrossAttention(64, 4),
        "inner": nn.Linear(64, 256),
    }
    return nn.ModuleDict(parts)


@pytest.mark.parametrize("name", INITIALIZATIONS)
def test_each_rule_by_its_formula_on_each_matrix(name: str) -> None:
    """Queries, keys and values are three square matrices, though they lie in one parameter."""
    module = attentive()
    initialize_transformer(module, 3, std=0.02, matrices=name)
    stacked = module.get_parameter("attention.projection.weight").chunk(3)
    read = module.get_parameter("cross.key_value.weight").chunk(2)
    wide = module.get_parameter("inner.weight")
    for matrix in (*stacked, *read, wide):
        fan_out, fan_in = matrix.shape
        if name == "orthogonal":
            gram = matrix.T @ matrix
            torch.testing.assert_close(gram, torch.eye(fan_in), rtol=0, atol=1e-5)
            continue
        spread = {"normal": 0.02, "xavier": (2 / (fan_in + fan_out)) ** 0.5, "kaiming": (2 / fan_in) ** 0.5}[name]
        assert matrix.std().item() == pytest.approx(spread, rel=0.05)
        if name == "xavier":
            assert matrix.abs().max() <= (6 / (fan_in + fan_out)) ** 0.5
    assert not torch.equal(stacked[0], stacked[1])
    assert torch.count_nonzero(module.get_parameter("inner.bias")) == 0


def test_additive_scores_draw_by_name_too() -> None:
    one, other = attentive(), attentive()
    for module in (one, other):
        initialize_transformer(module, 3, std=0.02)
    vector = one.get_parameter("attention.score.vector")
    assert torch.equal(vector, other.get_parameter("attention.score.vector"))
    assert vector.std().item() == pytest.approx(1 / 4, rel=0.2)


def test_the_spread_of_an_lstm() -> None:
    module = nn.ModuleDict({"lstm": nn.LSTM(30, 64), "table": nn.Embedding(500, 30)})
    initialize_lstm(module, 3)
    initialize_embeddings(module, 3, std=1.0)
    lstm = module["lstm"]
    for values in (lstm.weight_ih_l0, lstm.weight_hh_l0):
        assert values.abs().max() <= 1 / 8  # type: ignore[operator]
        assert values.std().item() == pytest.approx(1 / 8 / 3**0.5, rel=0.05)  # type: ignore[operator, union-attr]
    biases = (lstm.bias_ih_l0 + lstm.bias_hh_l0).unflatten(0, (4, 64))  # type: ignore[operator]
    assert torch.equal(biases, torch.tensor([0.0, 1.0, 0.0, 0.0])[:, None].expand(4, 64))
    assert module["table"].weight.std().item() == pytest.approx(1.0, rel=0.05)  # type: ignore[operator, union-attr]


def test_equal_names_start_equal_and_what_comes_next_too() -> None:
    rule = functools.partial(initialize_transformer, std=0.02)
    results = []
    for extra in (False, True):
        torch.manual_seed(5)
        module = built(functools.partial(transformer_like, extra), rule)
        results.append((module.state_dict(), torch.rand(3)))
    (plain, after), (larger, after_larger) = results
    assert all(torch.equal(larger[name], values) for name, values in plain.items())
    assert torch.equal(after, after_larger)


def test_other_seeds_and_other_names_start_otherwise() -> None:
    rule = functools.partial(initialize_transformer, std=0.02)
    make = functools.partial(nn.ModuleList, [nn.Linear(3, 3), nn.Linear(3, 3)])
    torch.manual_seed(0)
    first = {name: values.clone() for name, values in built(make, rule).state_dict().items()}
    second = built(make, rule).state_dict()
    assert not torch.equal(first["0.weight"], second["0.weight"])
    assert not torch.equal(first["0.weight"], first["1.weight"])
