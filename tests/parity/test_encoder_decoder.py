"""The encoder-decoder against torch's `nn.Transformer` and Hugging Face's Marian, weights copied across."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import MarianConfig, MarianMTModel

from clearhead.batches.batch import Batch, Item, collate
from clearhead.models import encoder_decoder
from clearhead.models.encoder_decoder import EncoderDecoder, Spec
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

VOCABULARY, LONGEST, WIDTH, LAYERS, HEADS, INNER = 30, 24, 16, 2, 4, 40
RNG = np.random.default_rng(0)
LENGTHS = ((5, 3), (20, 21), (1, 9), (8, 8), (2, 1), (19, 2), (8, 7))
ITEMS = [Item(RNG.integers(1, VOCABULARY, n), source=Item(RNG.integers(1, VOCABULARY, m))) for n, m in LENGTHS]
PACKED = pytest.mark.parametrize("packed", [True, False])
ATTENTION = {"attention": "self_attn", "cross": "multihead_attn"}


def rough(module: nn.Module) -> None:
    """Weights large enough that a mistake shows: biases and norms too."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, mean=0.5 if parameter.ndim == 1 else 0.0, std=0.3)


def build(**fields: Any) -> EncoderDecoder:
    inventory = Inventory(Vocabulary(VOCABULARY), LONGEST, source=Inventory(Vocabulary(VOCABULARY), LONGEST))
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    return encoder_decoder.build(Spec(intermediate_size=INNER, **sizes, **fields), inventory)


def torchs(ours: EncoderDecoder, norm_place: str) -> nn.Transformer:
    """torch's Transformer with our weights; ours has last norms only where norms come first, as both papers have it."""
    theirs = nn.Transformer(
        WIDTH, HEADS, LAYERS, LAYERS, INNER, dropout=0.0, batch_first=True, norm_first=norm_place == "pre"
    ).double()
    weights = {}
    for side in ("encoder", "decoder"):
        trunk = ours.get_submodule(side)
        for number, block in enumerate(trunk.blocks):  # type: ignore[arg-type]
            own = block.state_dict()
            norms = ["attention_norm", *(["cross_norm"] if side == "decoder" else []), "feedforward_norm"]
            for kind in ("weight", "bias"):
                there = f"{side}.layers.{number}"
                weights[f"{there}.self_attn.in_proj_{kind}"] = own[f"attention.projection.{kind}"]
                weights[f"{there}.self_attn.out_proj.{kind}"] = own[f"attention.output.{kind}"]
                weights[f"{there}.linear1.{kind}"] = own[f"feedforward.inner.{kind}"]
                weights[f"{there}.linear2.{kind}"] = own[f"feedforward.outer.{kind}"]
                for place, norm in enumerate(norms, 1):
                    weights[f"{there}.norm{place}.{kind}"] = own[f"{norm}.{kind}"]
                if side == "decoder":
                    parts = [own[f"cross.query.{kind}"], own[f"cross.key_value.{kind}"]]
                    weights[f"{there}.multihead_attn.in_proj_{kind}"] = torch.cat(parts)
                    weights[f"{there}.multihead_attn.out_proj.{kind}"] = own[f"cross.output.{kind}"]
        last = {} if trunk.final_norm is None else trunk.final_norm.state_dict()  # type: ignore[union-attr, operator]
        weights.update({f"{side}.norm.{kind}": values for kind, values in last.items()})
        if not last:
            theirs.get_submodule(side).norm = None  # type: ignore[assignment]
    theirs.load_state_dict(weights)
    return theirs


def told(model: EncoderDecoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """What goes into the first layer of either side, as grids (B, S, D) and (B, T, D)."""
    source = batch.source
    assert source is not None
    return source.layout.grid(model.encoder(source).layers[0]), batch.layout.grid(model(batch).layers[0])


@PACKED
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("norm_place", ["pre", "post"])
def test_it_is_torchs_transformer(norm_place: str, fused: bool, packed: bool) -> None:
    """Values, and the gradients of every embedding."""
    ours = build(norm_place=norm_place, fused=fused).double()
    rough(ours)
    theirs = torchs(ours, norm_place)
    dense, batch = collate(ITEMS, packed=False), collate(ITEMS, packed=packed)
    assert dense.source is not None
    pads, source_pads = ~dense.layout.real_grid, ~dense.source.layout.real_grid
    causal = nn.Transformer.generate_square_subsequent_mask(dense.layout.longest, dtype=torch.float64)
    expected = theirs(
        *told(ours, dense),
        tgt_mask=causal,
        tgt_key_padding_mask=pads,
        src_key_padding_mask=source_pads,
        memory_key_padding_mask=source_pads,
    )[dense.layout.real_grid]
    hidden = batch.layout.take_real(ours(batch).hidden)
    torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-11)
    tables = [ours.encoder.token_embedding.weight, ours.decoder.token_embedding.weight]
    for one, other in zip(*(torch.autograd.grad(x.sin().sum(), tables) for x in (hidden, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def marian() -> MarianMTModel:
    config = MarianConfig(
        vocab_size=VOCABULARY,
        d_model=WIDTH,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=INNER,
        decoder_ffn_dim=INNER,
        activation_function="swish",
        scale_embedding=True,
        max_position_embeddings=LONGEST,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
    )
    theirs: MarianMTModel = MarianMTModel(config).eval()
    places = [theirs.model.encoder.embed_positions.weight, theirs.model.decoder.embed_positions.weight]
    kept = [place.detach().clone() for place in places]
    rough(theirs)
    with torch.no_grad():
        for place, values in zip(places, kept, strict=True):
            place.copy_(values)
        theirs.model.shared.weight[0] = 0.1
    return theirs


def copied_marian(theirs: MarianMTModel) -> EncoderDecoder:
    """Our model with Marian's weights; its `final_logits_bias` belongs to the output."""
    ours = build(hidden_act="swish", positions="sinusoidal_halves", share_embeddings=True)
    weights = theirs.model.state_dict()
    renamed = {f"{side}.token_embedding.weight": weights["shared.weight"] for side in ("encoder", "decoder")}
    names = {
        "attention.output": "self_attn.out_proj",
        "attention_norm": "self_attn_layer_norm",
        "feedforward.inner": "fc1",
        "feedforward.outer": "fc2",
        "feedforward_norm": "final_layer_norm",
    }
    crossed = {"cross.query": "encoder_attn.q_proj", "cross.output": "encoder_attn.out_proj"}
    crossed["cross_norm"] = "encoder_attn_layer_norm"
    for side, layer, kind in ((s, n, k) for s in ("encoder", "decoder") for n in range(LAYERS) for k in KINDS):
        here, there = f"{side}.blocks.{layer}", f"{side}.layers.{layer}"
        for one, other in (names | (crossed if side == "decoder" else {})).items():
            renamed[f"{here}.{one}.{kind}"] = weights[f"{there}.{other}.{kind}"]
        qkv = [weights[f"{there}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
        renamed[f"{here}.attention.projection.{kind}"] = torch.cat(qkv)
        if side == "decoder":
            read = [weights[f"{there}.encoder_attn.{part}_proj.{kind}"] for part in "kv"]
            renamed[f"{here}.cross.key_value.{kind}"] = torch.cat(read)
    ours.load_state_dict(renamed)
    return ours.eval()


KINDS = ("weight", "bias")


@PACKED
@torch.no_grad()
def test_it_is_marian(packed: bool) -> None:
    theirs = marian()
    ours = copied_marian(theirs)
    dense = collate(ITEMS, packed=False)
    assert dense.source is not None
    expected = theirs.model(
        input_ids=dense.source.layout.grid(dense.source.token_ids),
        attention_mask=dense.source.layout.real_grid.long(),
        decoder_input_ids=dense.layout.grid(dense.token_ids),
        decoder_attention_mask=dense.layout.real_grid.long(),
    ).last_hidden_state[dense.layout.real_grid]
    batch = collate(ITEMS, packed=packed)
    torch.testing.assert_close(batch.layout.take_real(ours(batch).hidden), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_stepping_writes_what_marian_generates() -> None:
    """Greedily, for sources of several lengths at once."""
    theirs = marian()
    ours = copied_marian(theirs)
    dense, packed = collate(ITEMS, packed=False), collate(ITEMS, packed=True)
    assert dense.source is not None
    written = theirs.generate(
        input_ids=dense.source.layout.grid(dense.source.token_ids),
        attention_mask=dense.source.layout.real_grid.long(),
        num_beams=1,
        do_sample=False,
        min_new_tokens=12,
        max_new_tokens=12,
    )
    cache = ours.begin(packed, len(ITEMS))
    for place in range(12):
        logits = ours.step(written[:, place], cache) @ ours.token_embedding.weight.T + theirs.final_logits_bias[0]
        logits[:, [0, 1]] = -torch.inf  # neither pad nor end, as asked of them
        assert torch.equal(logits.argmax(-1), written[:, place + 1])
