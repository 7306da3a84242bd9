"""Tokens a second of beam search: clearhead's encoder-decoder against Hugging Face's MarianMTModel.generate.

    python benchmarks/beam_search.py [--shape tiny|base] [--beams N] [--sources N] [--rounds N] [--threads N]

Both sides hold the same random weights (base: that of OPUS-MT, 6 + 6 layers of 512, 58,101 words), translate the same
sources of 10 to 30 tokens together into at most 40 tokens, compare hypotheses by log p / length, ban the padding token,
and stop a source when no open hypothesis can win any more (Hugging Face's early_stopping="never"). The outputs are
compared before anything is timed: if one token differs, there is no table. A second line shows Hugging Face's default,
early_stopping=False. All sides run in one process with the same number of threads, round by round in turn; the table
holds medians over rounds, and ratios are taken within each round. One thread is the default, as clearhead's own
experiments run; name more with --threads on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from transformers import MarianConfig, MarianMTModel

from clearhead.batches.batch import Item, collate
from clearhead.layers.cache import Cache
from clearhead.layers.decoding import DecodingSpec, generate
from clearhead.models import encoder_decoder
from clearhead.models.encoder_decoder import EncoderDecoder
from clearhead.objectives import causal_lm
from clearhead.objectives.causal_lm import CausalLM
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

Sources = list[np.ndarray]
Translations = list[tuple[int, ...]]  # what is written after the first token, the end included
Translate = Callable[[Sources], Translations]
END, LONGEST = 0, 512
LENGTHS = (10, 30)
OURS, SAME, DEFAULT = "clearhead", "Hugging Face", "Hugging Face, its default stop"


@dataclass(frozen=True)
class Shape:
    """A model's size; words are numbered from 0, the end, to `words` - 1, which pads and begins."""

    width: int
    layers: int
    heads: int
    inner: int
    words: int
    std: float  # of the random weights: large enough that beams are reordered


SHAPES = {"tiny": Shape(32, 2, 4, 64, 60, std=0.3), "base": Shape(512, 6, 8, 2048, 58101, std=0.06)}


def marian(shape: Shape) -> MarianMTModel:
    """Hugging Face's model with random weights, set up as published OPUS-MT models are."""
    config = MarianConfig(
        vocab_size=shape.words,
        d_model=shape.width,
        encoder_layers=shape.layers,
        decoder_layers=shape.layers,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.inner,
        decoder_ffn_dim=shape.inner,
        activation_function="swish",
        scale_embedding=True,
        max_position_embeddings=LONGEST,
        pad_token_id=shape.words - 1,
        eos_token_id=END,
        decoder_start_token_id=shape.words - 1,
        forced_eos_token_id=None,
    )
    theirs: MarianMTModel = MarianMTModel(config).eval()
    torch.manual_seed(0)
    for name, parameter in theirs.named_parameters():
        if parameter.ndim == 2 and "embed_positions" not in name:
            nn.init.normal_(parameter, std=shape.std)
    return theirs


def copied(theirs: MarianMTModel, shape: Shape) -> tuple[EncoderDecoder, CausalLM]:
    """Our model and its projection, with Marian's weights."""
    inventory = Inventory(Vocabulary(shape.words), LONGEST)
    spec = encoder_decoder.Spec(
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        hidden_act="swish",
        positions="sinusoidal_halves",
        share_embeddings=True,
    )
    ours = encoder_decoder.build(spec, Inventory(inventory.vocabulary, LONGEST, source=inventory))
    weights, renamed = theirs.model.state_dict(), {}
    names = {
        "attention.output": "self_attn.out_proj",
        "attention_norm": "self_attn_layer_norm",
        "feedforward.inner": "fc1",
        "feedforward.outer": "fc2",
        "feedforward_norm": "final_layer_norm",
    }
    crossed = {
        "cross.query": "encoder_attn.q_proj",
        "cross.output": "encoder_attn.out_proj",
        "cross_norm": "encoder_attn_layer_norm",
    }
    for side in ("encoder", "decoder"):
        renamed[f"{side}.token_embedding.weight"] = weights["shared.weight"]
        for layer, kind in ((layer, kind) for layer in range(shape.layers) for kind in ("weight", "bias")):
            here, there = f"{side}.blocks.{layer}", f"{side}.layers.{layer}"
            for one, other in (names | (crossed if side == "decoder" else {})).items():
                renamed[f"{here}.{one}.{kind}"] = weights[f"{there}.{other}.{kind}"]
            qkv = [weights[f"{there}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            renamed[f"{here}.attention.projection.{kind}"] = torch.cat(qkv)
            if side == "decoder":
                read = [weights[f"{there}.encoder_attn.{part}_proj.{kind}"] for part in "kv"]
                renamed[f"{here}.cross.key_value.{kind}"] = torch.cat(read)
    ours.load_state_dict(renamed)
    return ours.eval(), causal_lm.build(causal_lm.Spec(), ours, inventory)


def clearhead_side(theirs: MarianMTModel, shape: Shape, beams: int, longest: int) -> Translate:
    """Ours: sources packed, begun, and searched with `generate`."""
    model, objective = copied(theirs, shape)
    spec = DecodingSpec(beam=beams, length_penalty=1.0, max_length=longest)
    begin = shape.words - 1

    def step(token_ids: Tensor, cache: Cache) -> Tensor:
        return objective.logits(model.step(token_ids, cache))

    def translate(sources: Sources) -> Translations:
        batch = collate([Item(np.array([begin]), source=Item(ids)) for ids in sources], packed=True)
        with torch.inference_mode():
            cache = model.begin(batch, len(sources))
            begin_ids = torch.full((len(sources),), begin)
            found = generate(step, cache, begin_ids, spec, end=END, banned=[begin])
        return [hypotheses[0].token_ids for hypotheses in found]

    return translate


def hugging_face_side(
    theirs: MarianMTModel, shape: Shape, beams: int, longest: int, early_stopping: bool | str
) -> Translate:
    """MarianMTModel.generate with its cache and its default attention, on padded sources with their mask."""
    pad = shape.words - 1

    def translate(sources: Sources) -> Translations:
        grid = torch.nn.utils.rnn.pad_sequence([torch.as_tensor(ids) for ids in sources], True, pad)
        mask = torch.arange(grid.shape[1]) < torch.tensor([[len(ids)] for ids in sources])
        with torch.inference_mode():
            written = theirs.generate(
                input_ids=grid,
                attention_mask=mask.long(),
                num_beams=beams,
                do_sample=False,
                max_new_tokens=longest,
                length_penalty=1.0,
                early_stopping=early_stopping,
                bad_words_ids=[[pad]],
            )
        return [up_to_the_end(row) for row in written[:, 1:].tolist()]

    return translate


def up_to_the_end(ids: list[int]) -> tuple[int, ...]:
    """Without the padding that follows the end."""
    return tuple(ids[: ids.index(END) + 1] if END in ids else ids)


def draw(shape: Shape, sources: int, rng: np.random.Generator) -> Sources:
    low, high = LENGTHS
    return [rng.integers(1, shape.words - 1, length) for length in rng.integers(low, high + 1, sources)]


def measure(sides: dict[str, Translate], shape: Shape, sources: int, rounds: int) -> tuple[dict[str, list[float]], int]:
    """Seconds of each side, round by round, in turn; and how many tokens were written in a round, in the median.

    Exits where ours and Hugging Face's outputs differ.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    written = []
    rng = np.random.default_rng(0)
    for number in range(rounds + 1):  # the first warms up
        drawn, found = draw(shape, sources, rng), {}
        for name, translate in sides.items():
            started = time.perf_counter()
            found[name] = translate(drawn)
            if number:
                seconds[name].append(time.perf_counter() - started)
        if found[OURS] != found[SAME]:
            sys.exit("the outputs differ, so there is nothing to compare")
        written.append(sum(len(ids) for ids in found[OURS]))
    return seconds, round(statistics.median(written))


def as_table(title: str, seconds: dict[str, list[float]], tokens: int) -> Table:
    """One row a side, medians over rounds; the ratio is taken within each round."""
    table = Table(title=title)
    for column in ("side", "seconds", "tokens/s", "clearhead is"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for side, rounds in seconds.items():
        middle = statistics.median(rounds)
        ratio = statistics.median(other / own for own, other in zip(seconds[OURS], rounds, strict=True))
        table.add_row(side, f"{middle:.2f}", f"{tokens / middle:,.0f}", "" if side == OURS else f"{ratio:.2f}x as fast")
    return table


def parsed() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description="Beam search speed against Hugging Face.")
    arguments.add_argument("--shape", choices=sorted(SHAPES), default="base")
    arguments.add_argument("--beams", type=int, default=4)
    arguments.add_argument("--sources", type=int, default=8)
    arguments.add_argument("--longest", type=int, default=40)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=1)
    return arguments.parse_args()


def main() -> None:
    chosen = parsed()
    torch.set_num_threads(chosen.threads)
    torch.set_flush_denormal(True)
    shape = SHAPES[chosen.shape]
    theirs = marian(shape)
    search = (theirs, shape, chosen.beams, chosen.longest)
    sides = {
        OURS: clearhead_side(*search),
        SAME: hugging_face_side(*search, early_stopping="never"),
        DEFAULT: hugging_face_side(*search, early_stopping=False),
    }
    seconds, tokens = measure(sides, shape, chosen.sources, chosen.rounds)
    title = (
        f"{chosen.shape}: {shape.layers} + {shape.layers} layers of {shape.width}, {shape.words} words; beam "
        f"{chosen.beams}, {chosen.sources} sources at once, {tokens} tokens written; {chosen.threads} thread(s)"
    )
    console = Console()
    console.print(as_table(title, seconds, tokens))
    console.print("the outputs of the first two are equal, token by token")


if __name__ == "__main__":
    main()
