"""What a Transformer's spec may say, and what it builds. Layouts: tests/contracts; other libraries: tests/parity."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clearhead.batches.batch import collate
from clearhead.errors import InputError
from clearhead.layers.feedforward import FEEDFORWARDS
from clearhead.layers.initialization import INITIALIZATIONS
from clearhead.layers.normalization import NORMS
from clearhead.layers.positions import POSITIONS, SinusoidalPositions
from clearhead.layers.scores import SCORES
from clearhead.models import transformer_decoder, transformer_encoder
from clearhead.models.transformer import Transformer, TransformerSpec
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

VOCABULARY, LONGEST = 30, 16
BATCH = collate([np.arange(2, 9), np.array([4]), np.arange(5, 17)], packed=True)


def build(module: Any = transformer_encoder, **fields: Any) -> Transformer:
    torch.manual_seed(0)
    inventory = Inventory(Vocabulary(VOCABULARY), LONGEST)
    model: Transformer = module.build(TransformerSpec(hidden_size=8, **fields), inventory)
    return model.double().eval()


@pytest.mark.parametrize(
    ("field", "wrong", "near", "menu"),
    [
        ("norm", "rsm", "rms", NORMS),
        ("positions", "rotery", "rotary", POSITIONS),
        ("hidden_act", "swigl", "swiglu", FEEDFORWARDS),
        ("norm_place", "pots", "post", ("pre", "post")),
        ("attention_score", "scale", "scaled", SCORES),
    ],
)
def test_an_unknown_name_gets_the_nearest(field: str, wrong: str, near: str, menu: Any) -> None:
    with pytest.raises(InputError) as refusal:
        validate(TransformerSpec, {field: wrong}, "model")
    assert str(refusal.value) == f"model.{field}: {wrong!r} is not one of {', '.join(menu)}; did you mean {near!r}?"


def test_the_schema_lists_the_menus() -> None:
    properties = TransformerSpec.model_json_schema()["properties"]
    assert properties["norm"]["enum"] == list(NORMS)
    assert properties["positions"]["enum"] == list(POSITIONS)
    assert properties["hidden_act"]["enum"] == list(FEEDFORWARDS)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"hidden_size": 50, "num_attention_heads": 4}, "hidden_size 50 is not a multiple of num_attention_heads 4"),
        ({"hidden_size": 12, "num_attention_heads": 4, "positions": "rotary"}, "turn pairs of features"),
        ({"hidden_size": 0}, "model.hidden_size"),
        ({"dropout": 1}, "model.dropout"),
        ({"hiden_size": 8}, "did you mean 'hidden_size'"),
        ({"attention_score": "additive", "positions": "rotary"}, "an additive score has no product"),
        ({"attention_temperature": 0}, "model.attention_temperature"),
        ({"mask": "window"}, "mask window needs mask_size"),
        ({"mask": "causal", "mask_size": 3}, "mask_size is that of window, causal_window, prefix"),
        ({"mask_size": 3}, "mask_size is that of window"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(TransformerSpec, fields, "model")


def test_a_recipe_of_text_is_read_by_type() -> None:
    read = validate(TransformerSpec, {"hidden_size": "32", "fused": "false", "dropout": "1e-1", "norm": "none"})
    assert read == TransformerSpec(hidden_size=32, fused=False, dropout=0.1, norm="none")


def test_states_are_the_embeddings_and_every_block() -> None:
    model = build(num_hidden_layers=3)
    states = model(BATCH)
    assert len(states.layers) == 4
    assert all(layer.shape == (BATCH.layout.tokens, 8) for layer in states.layers)
    places = model.position_embedding.table.weight[BATCH.layout.position_ids]  # type: ignore[union-attr, operator]
    torch.testing.assert_close(states.layers[0], model.token_embedding(BATCH.token_ids) + places, rtol=0, atol=1e-14)
    x = states.layers[0]
    for block, layer in zip(model.blocks, states.layers[1:], strict=True):
        x = block(x, BATCH.layout)
        assert torch.equal(x, layer)
    assert torch.equal(states.hidden, model.final_norm(x, BATCH.layout))  # type: ignore[misc]


def test_post_norm_ends_without_another_norm() -> None:
    model = build(norm_place="post", embedding_norm=True)
    states = model(BATCH)
    assert model.final_norm is None
    assert torch.equal(states.hidden, states.layers[-1])
    assert states.layers[0].mean(-1).abs().max() < 1e-12


def reach(model: Transformer, query: int) -> Tensor:
    """Which tokens' ids matter to the state of token `query`: replaced one at a time."""
    before = model(BATCH).hidden[query]
    changed = []
    for place in range(BATCH.layout.tokens):
        ids = BATCH.token_ids.clone()
        ids[place] = (ids[place] + 11) % VOCABULARY
        changed.append((model(replace(BATCH, token_ids=ids)).hidden[query] - before).abs().max() > 1e-9)
    return torch.stack(changed)


@pytest.mark.parametrize("fused", [True, False])
def test_the_decoder_sees_the_past_and_the_encoder_all_of_its_sentence(fused: bool) -> None:
    query = 11  # the fourth token of the third sentence
    third = BATCH.layout.sequence_ids == 2
    here = torch.arange(BATCH.layout.tokens)
    assert torch.equal(reach(build(transformer_encoder, fused=fused), query), third)
    assert torch.equal(reach(build(transformer_decoder, fused=fused), query), third & (here <= query))


def test_encoder_and_decoder_start_with_equal_weights() -> None:
    encoder, decoder = build(transformer_encoder).state_dict(), build(transformer_decoder).state_dict()
    assert encoder.keys() == decoder.keys()
    assert all(torch.equal(encoder[name], decoder[name]) for name in encoder)


def test_arms_share_initial_weights_where_names_and_shapes_agree() -> None:
    plain = build(positions="none", norm="batch").state_dict()
    other = build(positions="learned", norm="rms", num_hidden_layers=3, type_vocab_size=2).state_dict()
    shared = [name for name in plain if name in other and "norm" not in name]
    assert len(shared) == 1 + 2 * 8
    assert all(torch.equal(plain[name], other[name]) for name in shared)


def test_plain_attention_drops_the_scale() -> None:
    scaled, plain = build(num_hidden_layers=1), build(num_hidden_layers=1, attention_score="plain")
    with torch.no_grad():
        scaled.blocks[0].attention.projection.weight[:8] *= 2**0.5  # type: ignore[union-attr, index, operator]
    torch.testing.assert_close(scaled(BATCH).hidden, plain(BATCH).hidden, rtol=0, atol=1e-12)  # d_k is 2


def test_masks_by_name_replace_the_trunks_own() -> None:
    query = 11  # the fourth token of the third sentence
    third = BATCH.layout.sequence_ids == 2
    place = BATCH.layout.position_ids
    seen = {
        ("full", None): third,
        ("causal", None): third & (place <= 3),
        ("anticausal", None): third & (place >= 3),
        ("window", 2): third & ((place - 3).abs() <= 2),
        ("causal_window", 2): third & (place <= 3) & (place >= 1),
        ("prefix", 6): third & (place < 6),
    }
    for (mask, size), expected in seen.items():
        for module in (transformer_encoder, transformer_decoder):
            model = build(module, num_hidden_layers=1, mask=mask, mask_size=size)
            assert torch.equal(reach(model, query), expected), mask


def test_a_blocked_token_reaches_no_other() -> None:
    blocked = torch.zeros(BATCH.layout.tokens, 1, dtype=torch.int64)
    blocked[9] = 1
    holed = replace(BATCH, features={"blocked": blocked})
    model = build(transformer_encoder)
    ids = BATCH.token_ids.clone()
    ids[9] = (ids[9] + 11) % VOCABULARY
    changed = (model(holed).hidden - model(replace(holed, token_ids=ids)).hidden).abs().amax(-1) > 1e-12
    assert changed.nonzero().flatten().tolist() == [9]
    assert not torch.allclose(model(holed).hidden[10], model(BATCH).hidden[10])


def test_embeddings_are_scaled_with_sinusoids_unless_told() -> None:
    places = SinusoidalPositions()(torch.zeros(BATCH.layout.tokens, 8, dtype=torch.float64), BATCH.layout)
    for positions, scale, factor in (
        ("sinusoidal", None, 8**0.5),
        ("sinusoidal", False, 1),
        ("none", True, 8**0.5),
        ("none", None, 1),
    ):
        model = build(positions=positions, scale_embedding=scale)
        expected = factor * model.token_embedding(BATCH.token_ids) + (0 if positions == "none" else places)
        torch.testing.assert_close(model(BATCH).layers[0], expected, rtol=0, atol=1e-14)


def test_layer_dropout_leaves_out_whole_layers_in_training() -> None:
    torch.manual_seed(0)
    model = build(num_hidden_layers=6, layer_dropout=0.5).train()
    kept = 0
    for _ in range(60):
        layers = model(BATCH).layers
        assert len(layers) == 7
        kept += sum(not torch.equal(one, other) for one, other in itertools.pairwise(layers))
    assert 0.4 < kept / 360 < 0.6
    states = model.eval()(BATCH)
    assert torch.equal(states.hidden, build(num_hidden_layers=6)(BATCH).hidden)


@pytest.mark.parametrize("rule", INITIALIZATIONS)
def test_a_rule_for_matrices_leaves_embeddings_alone(rule: str) -> None:
    plain, other = build().state_dict(), build(initialization=rule).state_dict()
    for name, values in plain.items():
        matrix = values.ndim == 2 and "embedding" not in name
        assert torch.equal(values, other[name]) == (not matrix or rule == "normal"), name


def test_token_types_are_added_or_refused() -> None:
    typed = build(type_vocab_size=2)
    types = torch.ones_like(BATCH.token_ids)
    assert torch.equal(typed(BATCH).hidden, typed(replace(BATCH, token_type_ids=torch.zeros_like(types))).hidden)
    assert not torch.allclose(typed(BATCH).hidden, typed(replace(BATCH, token_type_ids=types)).hidden)
    with pytest.raises(InputError, match=r"set model\.type_vocab_size"):
        build()(replace(BATCH, token_type_ids=types))


def test_sizes() -> None:
    model = build(intermediate_size=20, num_hidden_layers=1)
    assert model.width == 8
    assert model.token_embedding.weight.shape == (VOCABULARY, 8)
    assert model.blocks[0].feedforward.inner.weight.shape == (20, 8)  # type: ignore[union-attr]
    assert build().blocks[0].feedforward.inner.weight.shape == (32, 8)  # type: ignore[union-attr]
