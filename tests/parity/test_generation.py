"""Generation against Hugging Face's `generate`: tiny models, the same weights on both sides, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from clearhead.batches.batch import collate
from clearhead.layers.decoding import DecodingSpec, generate
from clearhead.layers.decoding_sampling import sampling_probabilities
from clearhead.models import transformer_decoder
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

VOCABULARY, LONGEST, WIDTH, LAYERS, HEADS, END = 40, 32, 16, 2, 4, 3


def both() -> tuple[GPT2LMHeadModel, torch.nn.Module]:
    """A GPT-2 with rough random weights, and our decoder with the same."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=LONGEST,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=2,
        eos_token_id=END,
        pad_token_id=0,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    )
    theirs = GPT2LMHeadModel(config).double().eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, mean=0.5 if parameter.ndim == 1 else 0.0, std=0.3)
    spec = transformer_decoder.Spec(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, hidden_act="gelu_tanh"
    )
    ours = transformer_decoder.build(spec, Inventory(Vocabulary(VOCABULARY), LONGEST)).double().eval()
    ours.load_state_dict(renamed(theirs, ours), strict=True)
    return theirs, ours


def renamed(theirs: GPT2LMHeadModel, ours: torch.nn.Module) -> dict[str, Tensor]:
    weights = theirs.transformer.state_dict()
    names = {
        "token_embedding.weight": "wte.weight",
        "position_embedding.embedding.weight": "wpe.weight",
        "final_norm.weight": "ln_f.weight",
        "final_norm.bias": "ln_f.bias",
    }
    parts = {
        "attention.projection": "attn.c_attn",
        "attention.output": "attn.c_proj",
        "attention_norm": "ln_1",
        "feedforward.inner": "mlp.c_fc",
        "feedforward.outer": "mlp.c_proj",
        "feedforward_norm": "ln_2",
    }
    found = {}
    for name in ours.state_dict():
        if name in names:
            found[name] = weights[names[name]]
            continue
        if name.startswith("position_embedding"):
            found[name] = weights["wpe.weight"]
            continue
        _, number, rest = name.split(".", 2)
        part, kind = rest.rsplit(".", 1)
        value = weights[f"h.{number}.{parts[part]}.{kind}"]
        found[name] = value.T if value.ndim == 2 else value
    return found


PROMPTS = ([2, 7, 11], [2, 30, 5], [2, 9, 17])


@pytest.mark.parametrize("beams", [1, 4])
def test_what_is_written_is_what_gpt2_writes(beams: int) -> None:
    theirs, ours = both()
    spec = DecodingSpec(beam=beams, max_length=12)
    for prompt in PROMPTS:
        wanted = theirs.generate(
            torch.tensor([prompt]),
            max_new_tokens=12,
            num_beams=beams,
            do_sample=False,
            length_penalty=1.0,
            early_stopping="never" if beams > 1 else False,
        )[0, len(prompt) :].tolist()

        def step(token_ids: Tensor, cache: object) -> Tensor:
            hidden: Tensor = ours.step(token_ids, cache)  # type: ignore[operator]
            return hidden @ ours.token_embedding.weight.T  # type: ignore[union-attr, operator]

        with torch.inference_mode():
            cache = ours.begin(collate([torch.tensor(prompt[:-1])], packed=True), 1)  # type: ignore[operator]
            ((best,),) = generate(step, cache, torch.tensor(prompt[-1:]), spec, end=END)
        assert list(best.token_ids) == wanted[: len(best.token_ids)]
        assert all(token == 0 for token in wanted[len(best.token_ids) :])


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(0.7, None, None), (1.0, 5, None), (1.3, 8, 0.8), (1.0, None, 0.5)]
)
def test_words_are_drawn_with_hugging_faces_probabilities(
    temperature: float, top_k: int | None, top_p: float | None
) -> None:
    logits = torch.randn(6, VOCABULARY, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    ids = torch.zeros(6, 1, dtype=torch.int64)
    wanted = TemperatureLogitsWarper(temperature)(ids, logits)
    if top_k is not None:
        wanted = TopKLogitsWarper(top_k)(ids, wanted)
    if top_p is not None:
        wanted = TopPLogitsWarper(top_p)(ids, wanted)
    ours = sampling_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    torch.testing.assert_close(ours, wanted.softmax(-1), rtol=0, atol=1e-12)
