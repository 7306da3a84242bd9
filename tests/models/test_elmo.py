"""What ELMo's two directions can and cannot see, exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.evaluation.probes import influence, mixed_derivative, watch
from clearhead.models import elmo
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

D = 6
BATCH = collate([np.array([3, 1, 4, 1, 5]), np.array([2, 7])], packed=True)
HOLE = 2
CELLS = pytest.mark.parametrize("cell", ["lstm", "attention"])
DIRECTIONS = pytest.mark.parametrize("directions", ["apart", "mixed"])


def build(**fields: Any) -> elmo.Elmo:
    torch.manual_seed(0)
    spec = elmo.Spec(**{"hidden_size": D, "num_attention_heads": 3, "fused": False, **fields})
    return elmo.build(spec, Inventory(Vocabulary(10), 16)).double().eval()


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


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"cell": "gru"}, "model.cell: 'gru' is not one of lstm, attention"),
        ({"directions": "mix"}, "did you mean 'mixed'"),
        ({"cell": "attention", "hidden_size": 9}, "not a multiple"),
        ({"num_hidden_layers": 0}, "model.num_hidden_layers"),
    ],
)
def test_what_is_not_offered_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(elmo.Spec, fields, "model")


def test_an_lstm_may_have_any_width() -> None:
    assert build(hidden_size=7).width == 14
