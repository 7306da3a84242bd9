"""What the encoder-decoder's spec may say, what it builds, and what it refuses. Other libraries: tests/parity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clearhead.batches.batch import Item, collate
from clearhead.errors import InputError
from clearhead.evaluation.probes import watch
from clearhead.models import encoder_decoder
from clearhead.models.encoder_decoder import EncoderDecoder, Spec
from clearhead.models.transformer import TransformerSpec
from clearhead.objectives import causal_lm
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

V, LONGEST = 30, 16
SAME = Inventory(Vocabulary(V), LONGEST, source=Inventory(Vocabulary(V), LONGEST))
OTHER = Inventory(Vocabulary(V), LONGEST, source=Inventory(Vocabulary(20), LONGEST))
RNG = np.random.default_rng(0)
ITEMS = [Item(RNG.integers(1, V, n), source=Item(RNG.integers(1, 20, m))) for n, m in ((5, 3), (2, 8), (7, 1))]
BATCH = collate(ITEMS, packed=True)


def build(inventory: Inventory = SAME, **fields: Any) -> EncoderDecoder:
    torch.manual_seed(0)
    spec = Spec(hidden_size=8, initializer_range=0.3, **fields)
    return encoder_decoder.build(spec, inventory).double().eval()


def test_as_it_comes_it_is_the_papers() -> None:
    spec = Spec()
    assert (spec.norm_place, spec.positions, spec.hidden_act, spec.norm) == ("post", "sinusoidal", "relu", "layer")
    model = build()
    assert model.encoder.final_norm is None
    assert model.decoder.final_norm is None
    assert model.decoder.embedding_scale == model.encoder.embedding_scale == 8**0.5
    assert build(norm_place="pre").decoder.final_norm is not None
    assert build(norm_place="pre").encoder.final_norm is not None


def test_its_fields_are_those_of_a_transformer_and_some_of_its_own() -> None:
    own = Spec.model_fields.keys() - TransformerSpec.model_fields.keys()
    assert own == {"num_decoder_layers", "share_embeddings"}
    assert TransformerSpec.model_fields.keys() - Spec.model_fields.keys() == {"type_vocab_size"}


def test_a_decoder_of_another_depth() -> None:
    model = build(num_hidden_layers=3, num_decoder_layers=1)
    assert (len(model.encoder.layers), len(model.decoder.layers)) == (3, 1)
    assert len(model(BATCH).layers) == 2


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"hidden_size": 50, "num_attention_heads": 4}, "hidden_size 50 is not a multiple of num_attention_heads 4"),
        ({"positions": "rotary", "attention_score": "additive"}, "an additive score has no product"),
        ({"mask": "prefix"}, "mask prefix needs mask_size"),
        ({"share_embedings": "true"}, "did you mean 'share_embeddings'"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(Spec, fields, "model")


def test_embeddings_are_shared_where_vocabularies_agree() -> None:
    shared, apart = build(share_embeddings=True), build()
    assert shared.encoder.token_embedding is shared.decoder.token_embedding
    numbers = [sum(p.numel() for p in model.parameters()) for model in (shared, apart)]
    assert numbers[1] - numbers[0] == V * 8
    head = causal_lm.build(causal_lm.Spec(), shared, SAME)
    assert head.decoder.weight is shared.encoder.token_embedding.weight
    with pytest.raises(InputError, match=r"share_embeddings: the source's vocabulary \(20 ids\) is not the target's"):
        build(OTHER, share_embeddings=True)


def test_a_side_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="the data has one side only; give pairs"):
        build(Inventory(Vocabulary(V), LONGEST))
    with pytest.raises(InputError, match="reads a source, and the batch has none"):
        build()(replace(BATCH, source=None))
    with pytest.raises(InputError, match="a batch of 3 sequences has 2 sources; give one each"):
        build()(replace(BATCH, source=collate([np.array([1]), np.array([2])], packed=True)))


def states(model: EncoderDecoder, target: Tensor | None = None, source: Tensor | None = None) -> Tensor:
    assert BATCH.source is not None
    read = BATCH.source if source is None else replace(BATCH.source, token_ids=source)
    return model(replace(BATCH, token_ids=BATCH.token_ids if target is None else target, source=read)).hidden


def test_a_token_sees_its_whole_source_and_its_own_past() -> None:
    assert BATCH.source is not None
    model, query = build(), 9  # the third token of the third pair
    before = states(model)[query]

    def reached(ids: Tensor, *, source: bool) -> list[int]:
        found = []
        for place in range(len(ids)):
            changed = ids.clone()
            changed[place] = (changed[place] + 7) % 20
            after = states(model, **{"source" if source else "target": changed})[query]
            found += [place] if (after - before).abs().max() > 1e-9 else []
        return found

    assert reached(BATCH.token_ids, source=False) == [7, 8, 9]
    assert reached(BATCH.source.token_ids, source=True) == [11]
    full = build(mask="full")
    before, model = states(full)[query], full
    assert reached(BATCH.token_ids, source=False) == list(range(7, 14))


def test_blocked_keys_of_the_source_are_read_by_nobody() -> None:
    assert BATCH.source is not None
    model = build()
    blocked = torch.zeros(BATCH.source.layout.tokens, 1, dtype=torch.int64)
    blocked[4] = 1
    other = BATCH.source.token_ids.clone()
    other[4] += 1
    holed = [replace(BATCH.source, token_ids=ids, features={"blocked": blocked}) for ids in (other, other - 1)]
    holed[1] = replace(holed[1], token_ids=BATCH.source.token_ids)
    one, two = (model(replace(BATCH, source=source)).hidden for source in holed)
    assert torch.equal(one, two)
    assert not torch.allclose(one, states(model))


def test_the_weights_on_the_source_can_be_watched() -> None:
    model = build(fused=False)
    with watch(model, ["decoder.blocks.0.cross.weights"]) as seen:
        model(BATCH)
    assert seen["decoder.blocks.0.cross.weights"][0].shape == (3, 4, 7, 8)
