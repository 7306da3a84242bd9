"""What ELMo's two directions can and cannot see, exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clearhead.batches.batch import Batch, Item, collate
from clearhead.errors import InputError
from clearhead.evaluation.probes import influence, mixed_derivative, watch
from clearhead.models import elmo
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

D = 6
BATCH = collate([np.array([3, 1, 4, 1, 5]), np.array([2, 7])], packed=True)
SENTENCES = [np.array([3, 1, 4, 1, 5]), np.array([2, 7])]
SPELT = collate([Item(ids, features={"characters": ids[:, None] % [5, 6, 7]}) for ids in SENTENCES], packed=True)
ORIGINAL = {"input": "characters", "cell_size": 2 * D, "output": "mix", "mix_norm": True}  # as in the paper, but small
HOLE = 2
CELLS = pytest.mark.parametrize("cell", ["lstm", "attention"])
DIRECTIONS = pytest.mark.parametrize("directions", ["apart", "mixed"])


def build(**fields: Any) -> elmo.Elmo:
    torch.manual_seed(0)
    spec = elmo.Spec(**{"hidden_size": D, "num_attention_heads": 3, "fused": False, **fields})
    return elmo.build(spec, Inventory(Vocabulary(10), 16, characters=7)).double().eval()


def from_embeddings(model: elmo.Elmo, embedded: Tensor, batch: Batch = BATCH) -> tuple[Tensor, ...]:
    """Every layer's states (N, 2 D), with these embeddings (N, D) in place of the tokens' own."""
    hook = model.token_embedding.register_forward_hook(lambda *_: embedded)
    try:
        layers: tuple[Tensor, ...] = model(batch).layers
    finally:
        hook.remove()
    return layers


@CELLS
@pytest.mark.parametrize("residual", [True, False])
def test_apart_each_half_sees_its_own_side_at_every_layer(cell: str, residual: bool) -> None:
    model = build(cell=cell, num_hidden_layers=3, residual=residual)
    where, place = BATCH.layout.sequence_ids, BATCH.layout.position_ids
    same = where[:, None] == where
    for layer in range(1, 4):
        for half, side in ((slice(0, D), place[:, None] >= place), (slice(D, None), place[:, None] <= place)):
            matrix = influence(
                lambda x, layer=layer, half=half: from_embeddings(model, x)[layer][:, half],  # type: ignore[misc]
                torch.randn(BATCH.layout.tokens, D),
            )
            assert torch.equal(matrix > 0, same & side)


@CELLS
def test_mixed_every_half_sees_both_sides_from_the_second_layer_on(cell: str) -> None:
    model = build(cell=cell, directions="mixed")
    same = BATCH.layout.sequence_ids[:, None] == BATCH.layout.sequence_ids
    place = BATCH.layout.position_ids
    for half, side in ((slice(0, D), place[:, None] >= place), (slice(D, None), place[:, None] <= place)):
        for layer, seen in ((1, same & side), (2, same)):
            matrix = influence(
                lambda x, layer=layer, half=half: from_embeddings(model, x)[layer][:, half],  # type: ignore[misc]
                torch.randn(BATCH.layout.tokens, D),
            )
            assert torch.equal(matrix > 0, seen)


@CELLS
@DIRECTIONS
@pytest.mark.parametrize("layer", [1, 2])
def test_the_mixed_derivative_is_zero_unless_the_directions_mix(cell: str, directions: str, layer: int) -> None:
    model = build(cell=cell, directions=directions)
    others = torch.randn(BATCH.layout.tokens, D, dtype=torch.float64)
    direction = torch.randn(2 * D, dtype=torch.float64)

    def feature(left: Tensor, right: Tensor) -> Tensor:
        embedded = torch.cat((others[: HOLE - 1], left[None], others[HOLE][None], right[None], others[HOLE + 2 :]))
        return from_embeddings(model, embedded)[layer][HOLE] @ direction

    mixed = mixed_derivative(feature, others[HOLE - 1], others[HOLE + 1])
    if directions == "mixed" and layer == 2:
        assert mixed.abs().max() > 1e-4
    else:
        assert torch.count_nonzero(mixed) == 0


@CELLS
@DIRECTIONS
def test_layer_0_is_the_embedding_twice_and_the_last_is_what_heads_read(cell: str, directions: str) -> None:
    model = build(cell=cell, directions=directions, num_hidden_layers=3)
    states = model(BATCH)
    embedded = model.token_embedding(BATCH.token_ids)
    assert torch.equal(states.layers[0], torch.cat((embedded, embedded), dim=-1))
    assert states.hidden is states.layers[-1]
    assert [layer.shape for layer in states.layers] == [(BATCH.layout.tokens, 2 * D)] * 4
    assert model.width == 2 * D


def test_the_residual_adds_the_input_of_the_second_layer() -> None:
    with_it, without = build(residual=True), build(residual=False)
    first = with_it(BATCH).layers[1]
    torch.testing.assert_close(with_it(BATCH).hidden, first + without(BATCH).hidden, rtol=0, atol=1e-14)


def test_the_backward_stack_is_the_forward_stack_on_the_reversed_text() -> None:
    model = build()
    model.backward_layers.load_state_dict(model.forward_layers.state_dict())
    turned = replace(BATCH, token_ids=BATCH.layout.reverse(BATCH.token_ids))
    ahead, behind = model(BATCH).hidden[:, :D], model(turned).hidden[:, D:]
    torch.testing.assert_close(BATCH.layout.reverse(behind), ahead, rtol=0, atol=1e-14)


def test_dropout_falls_on_every_layer_in_training_alone() -> None:
    model = build(dropout=0.5)
    assert torch.equal(model(BATCH).hidden, build()(BATCH).hidden)
    with watch(model, ["dropout"]) as seen:
        model.train()(BATCH)
    assert len(seen["dropout"]) == 4
    assert all(0.2 < (dropped == 0).double().mean() < 0.8 for dropped in seen["dropout"])


@pytest.mark.parametrize("layer", [1, 2, None])
def test_the_mixed_derivative_is_zero_in_the_papers_own_reader(layer: int | None) -> None:
    """Character CNN, projected LSTMs, residual, and (None) the mix of the layers: each half keeps to its own side."""
    model = build(**{**ORIGINAL, "mix_norm": False})
    others = torch.randn(SPELT.layout.tokens, D, dtype=torch.float64)
    direction = torch.randn(2 * D, dtype=torch.float64)

    def feature(left: Tensor, right: Tensor) -> Tensor:
        embedded = torch.cat((others[: HOLE - 1], left[None], others[HOLE][None], right[None], others[HOLE + 2 :]))
        hook = model.characters.register_forward_hook(lambda *_: embedded)
        try:
            states = model(SPELT)
        finally:
            hook.remove()
        return (states.hidden if layer is None else states.layers[layer])[HOLE] @ direction

    left, right = others[HOLE - 1], others[HOLE + 1]
    assert torch.count_nonzero(mixed_derivative(feature, left, right)) == 0
    assert torch.autograd.functional.jacobian(feature, (left, right))[0].abs().max() > 1e-6


def test_the_lstm_on_top_brings_both_sides_together() -> None:
    model = build(head_size=4, output="mix")
    matrix = influence(lambda x: _hidden(model, x), torch.randn(BATCH.layout.tokens, D))
    same = BATCH.layout.sequence_ids[:, None] == BATCH.layout.sequence_ids
    assert torch.equal(matrix > 0, same)
    assert model.width == 8


def test_the_mix_is_the_weighted_sum_of_all_layers() -> None:
    model = build(output="mix")
    s = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    model.mix.scalars.data.copy_(s)
    model.mix.gamma.data.fill_(3.0)
    states = model(BATCH)
    expected = 3 * sum(share * layer for share, layer in zip(s.softmax(0), states.layers, strict=True))
    torch.testing.assert_close(states.hidden, expected, rtol=0, atol=1e-14)
    assert torch.equal(states.layers[-1], build()(BATCH).hidden)


@pytest.mark.parametrize("cell", ["lstm", "attention"])
def test_a_frozen_reader_is_not_trained_whatever_is_loaded(cell: str) -> None:
    learnt = build(cell=cell)
    model = build(cell=cell, output="mix", head_size=3, frozen=True, dropout=0.5)
    missing, unexpected = model.load_state_dict(learnt.state_dict(), strict=False)
    assert not unexpected
    assert {name.split(".")[0] for name in missing} == {"mix", "head"}
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == set(missing)
    model.train()(BATCH).hidden.sum().backward()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == trained
    for one, other in zip(model(BATCH).layers, learnt(BATCH).layers, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-14)  # and the reader drops nothing out


def test_fine_tuning_trains_all_of_it() -> None:
    model = build(output="mix", head_size=3)
    model(BATCH).hidden.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_it_says_of_a_sentence_never_changes() -> None:
    """Embedded twice, after other sentences, and from loaded weights: bit by bit (no state is carried)."""
    model = build(**ORIGINAL)
    alone = collate([Item(SENTENCES[0], features={"characters": SENTENCES[0][:, None] % [5, 6, 7]})], packed=True)
    first = model(alone).hidden
    model(SPELT)
    assert torch.equal(model(alone).hidden, first)
    again = build(**ORIGINAL, initializer_range=0.5)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(alone).hidden, first)
    torch.testing.assert_close(model(SPELT).hidden[:5], first, rtol=0, atol=1e-14)


def _hidden(model: elmo.Elmo, embedded: Tensor) -> Tensor:
    hook = model.token_embedding.register_forward_hook(lambda *_: embedded)
    try:
        hidden: Tensor = model(BATCH).hidden
    finally:
        hook.remove()
    return hidden


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"cell": "gru"}, "model.cell: 'gru' is not one of lstm, attention"),
        ({"directions": "mix"}, "did you mean 'mixed'"),
        ({"cell": "attention", "hidden_size": 9}, "not a multiple"),
        ({"num_hidden_layers": 0}, "model.num_hidden_layers"),
        ({"cell": "attention", "cell_size": 80}, "cell attention has none"),
        ({"cell_size": 3, "hidden_size": 4}, "cannot be less"),
        ({"mix_norm": True}, "output top weighs none"),
        ({"frozen": True, "dropout": 0.1}, "nothing to fall on"),
        ({"characters": {"highways": 2}}, "set input to characters"),
    ],
)
def test_what_is_not_offered_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(elmo.Spec, fields, "model")


def test_an_lstm_may_have_any_width() -> None:
    assert build(hidden_size=7).width == 14
