"""Tokens a second of masked-LM training: clearhead, packed, against Hugging Face's BertForMaskedLM, padded.

    python benchmarks/mlm_training.py [--shape small|base] [--rounds N] [--precision fp32|bf16|auto] [--threads N]

One step is collating, masking, forward, backward and the optimizer (AdamW, fused, on both sides). All sides run in one
process, round by round in turn, with the same vocabulary, dtype, threads and number of sentences a step, on sentences
of the Python documentation; the table holds medians over rounds. Hugging Face's sides pad to the longest of the batch:
(a) the very batches that clearhead packs, and (b) batches of neighbours in the whole text sorted by length, from all
parts of it. Only real tokens are counted, and only the products that they need count towards the matmul peak.
Dropout is 0.1 on both sides, but none falls on attention weights, where clearhead has none.
One thread is the default, as clearhead's own experiments run; name more with --threads on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import BertConfig, BertForMaskedLM

from clearhead.batches.batch import collate
from clearhead.models import transformer_encoder
from clearhead.objectives import masked_lm
from clearhead.objectives.loss import asked_count
from clearhead.text.corpora import open_corpus
from clearhead.text.inventory import Inventory
from clearhead.text.tokenized import TextSpec, TokenizedText, tokenize_corpus
from clearhead.training.optimizers import build_optimizer
from clearhead.training.spec import OptimizerSpec
from clearhead.training.task import Task

Sentences = list[np.ndarray]
Train = Callable[[Sentences], None]


@dataclass(frozen=True)
class Shape:
    """A model and how much of it one round trains."""

    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    sentences: int
    steps: int

    def flops(self, sentences: Sentences, asked_share: float, vocabulary: int) -> float:
        """Floating-point operations that training on these needs: products over real tokens, the head where asked."""
        width, lengths = self.hidden_size, np.array([len(ids) for ids in sentences])
        weights = self.layers * (4 * width**2 + 2 * width * self.intermediate_size)
        attention = self.layers * 2 * width * float((lengths**2).sum())
        head = asked_share * float(lengths.sum()) * (width**2 + width * vocabulary)
        return 3 * 2 * (weights * float(lengths.sum()) + attention + head)


SHAPES = {
    "small": Shape(128, 2, 2, 512, sentences=32, steps=8),
    "base": Shape(768, 12, 12, 3072, sentences=16, steps=3),
}
LONGEST = 128
DROPOUT = 0.1
PROBABILITY = 0.15
OURS, PADDED, SORTED = "clearhead, packed", "Hugging Face, padded", "Hugging Face, padded, sorted"


def matmul_peak(precision: str) -> float:
    """The best of a few square products, in floating-point operations a second."""
    dtype, size = (torch.bfloat16, 768) if precision == "bf16" else (torch.float32, 1536)
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best, spent = float("inf"), 0.0
    while spent < 1.0:
        started = time.perf_counter()
        left @ right
        seconds = time.perf_counter() - started
        best, spent = min(best, seconds), spent + seconds
    return 2 * size**3 / best


def autocast(precision: str) -> AbstractContextManager[object]:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")


def clearhead_side(shape: Shape, text: TokenizedText, vocabulary: int, precision: str) -> Train:
    """Ours: packed, in the order in which the sentences come."""
    sizes = {
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate_size,
        "norm_place": "post",
        "norm_eps": 1e-12,
        "embedding_norm": True,
        "type_vocab_size": 2,
        "dropout": DROPOUT,
    }
    words = replace(text.tokenizer.vocabulary, size=vocabulary)
    model = transformer_encoder.build(transformer_encoder.Spec.model_validate(sizes), Inventory(words, LONGEST))
    task = Task(model, masked_lm.build(masked_lm.Spec(probability=PROBABILITY), model, Inventory(words, LONGEST)))
    optimizer = build_optimizer(task, OptimizerSpec(), 1e-4)
    generator = torch.Generator().manual_seed(0)

    def train(sentences: Sentences) -> None:
        batch = task.ask(collate(sentences, packed=True), generator)
        with autocast(precision):
            loss = task(batch).total / asked_count(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return train


def hugging_face_side(shape: Shape, text: TokenizedText, vocabulary: int, precision: str) -> Train:
    """BertForMaskedLM with its default attention; sentences padded and masked as its usual collator does."""
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=LONGEST,
        hidden_dropout_prob=DROPOUT,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForMaskedLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    mask = text.tokenizer.vocabulary.mask

    def train(sentences: Sentences) -> None:
        ids = torch.nn.utils.rnn.pad_sequence([torch.as_tensor(one).long() for one in sentences], batch_first=True)
        attention_mask = (torch.arange(ids.shape[1]) < torch.tensor([[len(one)] for one in sentences])).long()
        chosen = (torch.rand(ids.shape) < PROBABILITY) & (ids > mask)
        labels = ids.masked_fill(~chosen, -100)
        kind = torch.rand(ids.shape)
        ids = ids.masked_fill(chosen & (kind < 0.8), mask)
        ids = torch.where(chosen & (kind >= 0.9), torch.randint(vocabulary, ids.shape), ids)
        with autocast(precision):
            loss = model(input_ids=ids, attention_mask=attention_mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return train


@dataclass(frozen=True)
class Draw:
    """The steps of one round: sentences as they come, and sentences that stand together when all are sorted."""

    shuffled: list[Sentences]
    sorted: list[Sentences]


def draw(text: TokenizedText, shape: Shape, rng: np.random.Generator) -> Draw:
    """Every step of `sorted` is a run of neighbours in the sorted text, one from each of as many equal strata."""
    numbers = rng.choice(len(text.train), (shape.steps, shape.sentences))
    by_length = np.argsort(text.train.lengths, kind="stable")
    bounds = np.linspace(0, len(by_length) - shape.sentences, shape.steps + 1).astype(int)
    starts = [int(rng.integers(low, high)) for low, high in pairwise(bounds)]
    runs = [by_length[start : start + shape.sentences] for start in starts]
    return Draw(
        [[text.train[int(i)] for i in step] for step in numbers], [[text.train[int(i)] for i in run] for run in runs]
    )


@dataclass(frozen=True)
class Speed:
    """Of one side in one round: real tokens a second, and needed floating-point operations a second."""

    tokens: float
    flops: float


def timed(train: Train, steps: list[Sentences], shape: Shape, vocabulary: int) -> Speed:
    """The speed over all steps together."""
    started = time.perf_counter()
    for sentences in steps:
        train(sentences)
    seconds = time.perf_counter() - started
    tokens = sum(len(ids) for sentences in steps for ids in sentences)
    return Speed(tokens / seconds, sum(shape.flops(step, PROBABILITY, vocabulary) for step in steps) / seconds)


def measure(
    shape: Shape, text: TokenizedText, vocabulary: int, rounds: int, precision: str
) -> tuple[dict[str, list[Speed]], float]:
    """The speed of each side, round by round, in turn; and the best matmul speed that any round began with."""
    ours = clearhead_side(shape, text, vocabulary, precision)
    theirs = hugging_face_side(shape, text, vocabulary, precision)
    rng = np.random.default_rng(0)
    drawn = [draw(text, shape, rng) for _ in range(rounds)]
    for train in (ours, theirs):
        train(drawn[0].shuffled[0])
    speeds: dict[str, list[Speed]] = {OURS: [], PADDED: [], SORTED: []}
    peaks = []
    for one in drawn:
        peaks.append(matmul_peak(precision))
        speeds[OURS].append(timed(ours, one.shuffled, shape, vocabulary))
        speeds[PADDED].append(timed(theirs, one.shuffled, shape, vocabulary))
        speeds[SORTED].append(timed(theirs, one.sorted, shape, vocabulary))
    return speeds, max(peaks)


def as_table(title: str, speeds: dict[str, list[Speed]], peak: float) -> Table:
    """One row a side, medians over rounds; the ratio is taken within each round."""
    table = Table(title=title)
    for column in ("side", "real tokens/s", "clearhead is", "of matmul peak"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for side, rounds in speeds.items():
        rate = statistics.median(speed.tokens for speed in rounds)
        ratio = statistics.median(own.tokens / one.tokens for own, one in zip(speeds[OURS], rounds, strict=True))
        share = statistics.median(speed.flops for speed in rounds) / peak
        table.add_row(side, f"{rate:,.0f}", "" if side == OURS else f"{ratio:.2f}x as fast", f"{share:.0%}")
    return table


def parsed() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description="Masked-LM training speed against Hugging Face.")
    arguments.add_argument("--shape", choices=sorted(SHAPES), action="append", help="default: both")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--precision", choices=("fp32", "bf16", "auto"), default="auto", help="auto: bf16 if fast")
    arguments.add_argument("--vocabulary", type=int, default=30522)
    arguments.add_argument("--threads", type=int, default=1)
    return arguments.parse_args()


def main() -> None:
    chosen = parsed()
    torch.set_num_threads(chosen.threads)
    torch.set_flush_denormal(True)
    console = Console()
    fast_bf16 = matmul_peak("bf16") > 1.2 * matmul_peak("fp32")
    precisions = {"auto": ["fp32", "bf16"] if fast_bf16 else ["fp32"]}.get(chosen.precision, [chosen.precision])
    spec = TextSpec(tokenizer="wordpiece", vocabulary_size=8192, max_length=LONGEST)
    text = tokenize_corpus(open_corpus(None), spec, None)
    for name in chosen.shape or ["small", "base"]:
        for precision in precisions:
            shape = SHAPES[name]
            speeds, peak = measure(shape, text, chosen.vocabulary, chosen.rounds, precision)
            title = f"{name}: {shape.layers} layers of {shape.hidden_size}, {precision}, vocabulary {chosen.vocabulary}"
            console.print(as_table(title, speeds, peak))
            console.print(f"matmul peak, {precision}: {peak / 1e9:,.0f} GFLOP/s on {chosen.threads} threads\n")
    if not fast_bf16 and chosen.precision == "auto":
        console.print("bf16 is left out: products are no faster in it on this CPU")


if __name__ == "__main__":
    main()
