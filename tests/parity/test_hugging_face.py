"""The trunks against Hugging Face's BERT and GPT-2, random weights copied across, in float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, GPT2Model

from clearhead.batches.batch import Batch, collate
from clearhead.models import transformer_decoder, transformer_encoder
from clearhead.models.states import States
from clearhead.models.transformer import Transformer, TransformerSpec
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

VOCABULARY, LONGEST, WIDTH, LAYERS, HEADS, INNER = 50, 24, 16, 3, 4, 40
RNG = np.random.default_rng(0)
SEQUENCES = [RNG.integers(1, VOCABULARY, length) for length in (5, 20, 1, 8)]
TYPES = [RNG.integers(0, 2, len(ids)) for ids in SEQUENCES]
ATOL = 1e-5
SIZES = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
}


def rough(module: nn.Module) -> None:
    """Weights large enough that a mistake shows: biases and norms too."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, mean=0.5 if parameter.ndim == 1 else 0.0, std=0.3)


def copied_bert(theirs: BertModel) -> Transformer:
    """Our encoder with the weights of Hugging Face's BERT."""
    spec = TransformerSpec(norm_place="post", embedding_norm=True, norm_eps=1e-12, type_vocab_size=2, **SIZES)
    ours = transformer_encoder.build(spec, Inventory(Vocabulary(VOCABULARY), LONGEST))
    weights = theirs.state_dict()
    renamed = {
        "token_embedding.weight": weights["embeddings.word_embeddings.weight"],
        "position_embedding.table.weight": weights["embeddings.position_embeddings.weight"],
        "token_type_embedding.weight": weights["embeddings.token_type_embeddings.weight"],
    }
    names = {
        "attention.output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "feedforward.inner": "intermediate.dense",
        "feedforward.outer": "output.dense",
        "feedforward_norm": "output.LayerNorm",
    }
    for kind in ("weight", "bias"):
        renamed[f"embedding_norm.{kind}"] = weights[f"embeddings.LayerNorm.{kind}"]
        for layer in range(LAYERS):
            own = f"encoder.layer.{layer}.attention.self"
            qkv = [weights[f"{own}.{part}.{kind}"] for part in ("query", "key", "value")]
            renamed[f"blocks.{layer}.attention.projection.{kind}"] = torch.cat(qkv)
            for our_name, their_name in names.items():
                renamed[f"blocks.{layer}.{our_name}.{kind}"] = weights[f"encoder.layer.{layer}.{their_name}.{kind}"]
    ours.load_state_dict(renamed)
    return ours.eval()


def copied_gpt2(theirs: GPT2Model) -> Transformer:
    """Our decoder with the weights of Hugging Face's GPT-2, whose matrices are stored the other way round."""
    spec = TransformerSpec(norm_place="pre", hidden_act="gelu_tanh", **SIZES)
    ours = transformer_decoder.build(spec, Inventory(Vocabulary(VOCABULARY), LONGEST))
    weights = theirs.state_dict()
    renamed = {
        "token_embedding.weight": weights["wte.weight"],
        "position_embedding.table.weight": weights["wpe.weight"],
    }
    names = {
        "attention_norm": "ln_1",
        "attention.projection": "attn.c_attn",
        "attention.output": "attn.c_proj",
        "feedforward_norm": "ln_2",
        "feedforward.inner": "mlp.c_fc",
        "feedforward.outer": "mlp.c_proj",
    }
    for kind in ("weight", "bias"):
        renamed[f"final_norm.{kind}"] = weights[f"ln_f.{kind}"]
        for layer in range(LAYERS):
            for our_name, their_name in names.items():
                values = weights[f"h.{layer}.{their_name}.{kind}"]
                renamed[f"blocks.{layer}.{our_name}.{kind}"] = values.mT if values.ndim == 2 else values
    ours.load_state_dict(renamed)
    return ours.eval()


def typed(batch: Batch) -> Batch:
    types = torch.zeros_like(batch.token_ids)
    types[batch.layout.real] = torch.from_numpy(np.concatenate(TYPES))
    return replace(batch, token_type_ids=types)


def assert_same(states: States, theirs: list[Tensor], last: Tensor, real_grid: Tensor) -> None:
    for ours, expected in zip((*states.layers[:-1], states.hidden), (*theirs[:-1], last), strict=True):
        torch.testing.assert_close(states.layout.take_real(ours), expected[real_grid], rtol=0, atol=ATOL)


@pytest.mark.parametrize("packed", [True, False])
@torch.no_grad()
def test_the_post_norm_encoder_is_bert(packed: bool) -> None:
    config = BertConfig(
        vocab_size=VOCABULARY, max_position_embeddings=LONGEST, hidden_act="gelu", type_vocab_size=2, **SIZES
    )
    theirs = BertModel(config, add_pooling_layer=False).eval()
    rough(theirs)
    dense = typed(collate(SEQUENCES, packed=False))
    expected = theirs(
        input_ids=dense.layout.grid(dense.token_ids),
        attention_mask=dense.layout.real_grid.long(),
        token_type_ids=dense.layout.grid(dense.token_type_ids),  # type: ignore[arg-type]
        output_hidden_states=True,
    )
    states = copied_bert(theirs)(typed(collate(SEQUENCES, packed=packed)))
    assert_same(states, expected.hidden_states, expected.last_hidden_state, dense.layout.real_grid)


def gpt2() -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=LONGEST,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        n_inner=INNER,
        activation_function="gelu_new",
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    theirs: GPT2LMHeadModel = GPT2LMHeadModel(config).eval()
    rough(theirs)
    return theirs


@pytest.mark.parametrize("packed", [True, False])
@torch.no_grad()
def test_the_pre_norm_decoder_is_gpt_2(packed: bool) -> None:
    theirs = gpt2()
    dense = collate(SEQUENCES, packed=False)
    rows = {"input_ids": dense.layout.grid(dense.token_ids), "attention_mask": dense.layout.real_grid.long()}
    expected = theirs.transformer(**rows, output_hidden_states=True)
    ours = copied_gpt2(theirs.transformer)
    states = ours(collate(SEQUENCES, packed=packed))
    assert_same(states, expected.hidden_states, expected.last_hidden_state, dense.layout.real_grid)
    logits = states.layout.take_real(states.hidden) @ ours.token_embedding.weight.T
    torch.testing.assert_close(logits, theirs(**rows).logits[dense.layout.real_grid], rtol=1e-5, atol=2e-5)


@torch.no_grad()
def test_the_cached_decoder_writes_what_gpt_2_generates() -> None:
    """Greedily, after prompts of several lengths, all at once; theirs one at a time."""
    theirs = gpt2()
    ours = copied_gpt2(theirs.transformer)
    prompts, more = [ids for ids in SEQUENCES if len(ids) > 1], 4
    cache = ours.begin(collate([ids[:-1] for ids in prompts], packed=True), len(prompts))
    token_ids = torch.tensor([ids[-1] for ids in prompts])
    told = []
    for _ in range(more):
        logits = ours.step(token_ids, cache) @ ours.token_embedding.weight.T
        token_ids = logits[:, 1:].argmax(-1) + 1  # no end, as asked of them
        told.append(token_ids)
    for ids, own in zip(prompts, torch.stack(told, 1), strict=True):
        written = theirs.generate(
            torch.from_numpy(ids)[None], do_sample=False, min_new_tokens=more, max_new_tokens=more
        )[0, len(ids) :]
        assert torch.equal(own, written)
