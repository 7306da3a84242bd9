"""BERT's own parts: where it starts, what its defaults are, and what it refuses to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clearhead.batches.batch import collate
from clearhead.errors import InputError
from clearhead.layers.normalization import LayerNorm
from clearhead.layers.pooling import Pooler, first
from clearhead.models import bert, transformer_encoder
from clearhead.models.bert import Bert, Spec, read_inputs
from clearhead.objectives import classification, masked_lm, next_sentence
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.task import Task

INVENTORY = Inventory(Vocabulary(30), 12, labels=("bad", "good"))
ROWS = [[2, 7, 8, 9, 3], [2, 11, 3, 0, 0]]
MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def build(**fields: Any) -> Bert:
    torch.manual_seed(0)
    return bert.build(Spec(hidden_size=8, **fields), INVENTORY).double().eval()


def test_the_defaults_are_berts() -> None:
    from transformers import BertConfig

    theirs, ours = BertConfig(), Spec()
    for name in ("hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob", "type_vocab_size"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert (ours.layer_norm_eps, ours.initializer_range) == (theirs.layer_norm_eps, theirs.initializer_range)
    model = bert.build(ours, INVENTORY)
    assert isinstance(model.encoder.embedding_norm, LayerNorm)
    assert model.encoder.final_norm is None
    dropouts = [part.p for part in model.modules() if isinstance(part, torch.nn.Dropout)]
    assert dropouts == [0.1] * len(dropouts)
    assert len(dropouts) == 1 + 2 * 2


def test_it_starts_where_the_encoder_of_a_transformer_starts() -> None:
    """So that arms of a comparison that differ in a switch are paired."""
    spec = Spec(hidden_size=8)
    torch.manual_seed(5)
    ours = bert.build(spec, INVENTORY).state_dict()
    torch.manual_seed(5)
    plain = transformer_encoder.build(spec.as_transformer(), INVENTORY).state_dict()
    assert {name for name in ours if not name.startswith("encoder.")} == {"pooler.dense.weight", "pooler.dense.bias"}
    assert all(torch.equal(values, ours[f"encoder.{name}"]) for name, values in plain.items())
    assert 0.01 < ours["pooler.dense.weight"].std() < 0.03


@pytest.mark.parametrize(
    "fields",
    [
        {"norm_place": "pre"},
        {"norm": "rms"},
        {"norm": "batch"},
        {"embedding_norm": False},
        {"positions": "rotary"},
        {"positions": "sinusoidal"},
        {"scale_embedding": True},
        {"attention_score": "plain"},
        {"attention_temperature": 2.0},
        {"residual": False},
        {"hidden_act": "relu"},
        {"type_vocab_size": 0},
        {"initialization": "xavier"},
    ],
)
def test_every_switch_of_a_transformer_is_within_reach(fields: dict[str, Any]) -> None:
    batch = collate([np.array(row) for row in ROWS], packed=True)
    assert not torch.allclose(build(**fields)(batch).hidden, build()(batch).hidden, atol=1e-6)


def test_fused_or_in_the_open_it_says_the_same() -> None:
    batch = collate([np.array(row) for row in ROWS], packed=True)
    torch.testing.assert_close(build(fused=False)(batch).hidden, build()(batch).hidden, rtol=0, atol=1e-12)


def test_heads_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="hidden_size 10 is not a multiple of num_attention_heads 4"):
        validate(Spec, {"hidden_size": 10}, "model")
    with pytest.raises(InputError, match="did you mean 'hidden_dropout_prob'"):
        validate(Spec, {"hidden_dropout": 0.1}, "model")


def test_one_pooler_for_all_heads() -> None:
    """What next sentence prediction taught it is there when classes are learned."""
    model = build()
    before = sum(p.numel() for p in model.parameters())
    order = next_sentence.build(next_sentence.Spec(), model, INVENTORY)
    classes = classification.build(classification.Spec(), model, INVENTORY)
    words = masked_lm.build(masked_lm.Spec(), model, INVENTORY)
    assert order.pooler is classes.pooler is model.pooler
    assert words.decoder.weight is model.token_embedding.weight
    own = 2 * (8 * 2 + 2) + (8 * 8 + 8) + 2 * 8 + 30
    assert sum(p.numel() for p in Task(model, words, order, classes).parameters()) == before + own


def test_the_pooler_is_tanh_of_the_first_state() -> None:
    pooler = Pooler(3).double()
    hidden = torch.randn(7, 3, dtype=torch.float64)
    for packed in (True, False):
        batch = collate([np.array([2, 7, 3]), np.array([2, 3])], packed=packed)
        x = batch.layout.put_real(hidden[:5])
        pooled = pooler(first(x, batch.layout))
        expected = torch.tanh(hidden[[0, 3]] @ pooler.dense.weight.T + pooler.dense.bias)
        torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("training", [True, False])
def test_the_error_that_a_missing_mask_would_make_is_told(training: bool) -> None:
    model = build().train(training)
    with pytest.raises(InputError, match=r"attention_mask: it is missing, and 2 pads \(id 0\) would be read") as fault:
        read_inputs(model, ROWS)
    assert model.training == model.encoder.dropout.training == training
    model.eval()
    wrong = model(collate([np.array(row) for row in ROWS], packed=True)).hidden
    right = model(read_inputs(model, ROWS, MASK)).hidden
    size = (wrong[torch.tensor(MASK).flatten() == 1] - right).abs().max().item()
    assert f"off by up to {size:.2g};" in str(fault.value)
    types = [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]
    with pytest.raises(InputError, match="off by up to") as other:
        read_inputs(model, ROWS, token_type_ids=types)
    assert str(other.value) != str(fault.value)


def test_pads_anywhere_need_a_mask_and_rows_of_pads_are_refused() -> None:
    for rows in ([[0, 0, 2, 7, 3]], [[2, 0, 7, 0, 3]]):
        with pytest.raises(InputError, match="attention_mask: it is missing, and 2 pads"):
            read_inputs(build(), rows)
    with pytest.raises(InputError, match=r"row 1 holds pads only \(id 0\)"):
        read_inputs(build(), [[2, 7], [0, 0]])


def test_a_mask_of_ones_means_it() -> None:
    batch = read_inputs(build(), ROWS, np.ones((2, 5), int))
    assert batch.layout.sizes == [5, 5]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_ids": [[2, 30, 3]]}, "input_ids: 30 is not one of this model's token ids, 0..29"),
        ({"input_ids": [[2, -1, 3]]}, "input_ids: -1 is not one of this model's token ids"),
        (
            {"input_ids": [[2, 7, 3]], "token_type_ids": [[0, 2, 1]]},
            "token_type_ids: 2 is not one of this model's token types, 0..1",
        ),
        ({"input_ids": [[7] * 13]}, "input_ids: a row of 13 tokens is longer than the 12 positions of this model"),
    ],
)
def test_what_the_model_does_not_have(packed: bool, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_inputs(build(), **arguments, packed=packed)


def test_a_model_without_types_and_one_without_a_table_of_positions() -> None:
    with pytest.raises(InputError, match="token_type_ids: 0 is not one of this model's token types, none"):
        read_inputs(build(type_vocab_size=0), ROWS, MASK, np.zeros((2, 5), int))
    model = build(positions="rotary")
    assert model(read_inputs(model, [[7] * 40])).hidden.shape == (40, 8)


def test_what_is_masked_may_hold_any_number() -> None:
    batch = read_inputs(build(), [[2, 7, 3, -1]], [[1, 1, 1, 0]])
    assert batch.token_ids.tolist() == [2, 7, 3]
