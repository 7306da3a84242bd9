"""Tokens a second of masked-LM training: clearhead, packed, against Hugging Face's BertForMaskedLM, padded.

    python benchmarks/mlm_training.py [--shape small|base] [--rounds N] [--precision fp32|bf16|auto]

One step is collating, masking, forward, backward and the optimizer (AdamW, fused, on both sides). All sides see the
same sentences of the Python documentation, as many a step, with the same vocabulary, dtype and threads, in one
process, round by round in turn; the table holds medians over rounds. Hugging Face's sides pad to the longest of the
batch, (a) as the sentences come and (b) sorted by length within the round. Only real tokens are counted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

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
    "small": Shape(128, 2, 2, 512, sentences=32, steps=12),
    "base": Shape(768, 12, 12, 3072, sentences=16, steps=3),
}
LONGEST = 128
DROPOUT = 0.1
PROBABILITY = 0.15


def matmul_peak(dtype: torch.dtype, size: int = 1536) -> float:
    """The best of a few square products, in floating-point operations a second."""
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best, spent = float("inf"), 0.0
    while spent < 2.0:
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
        spent += time.perf_counter() - started
    return 2 * size**3 / best


def autocast(precision: str) -> AbstractContextManager[object]:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")


def clearhead_side(shape: Shape, text: TokenizedText, vocabulary: int, precision: str) -> tuple[str, Train, Task]:
    """Ours: packed, in the order in which the sentences come."""
    sizes = {
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate_size,
        "norm_place": "post",
        "dropout": DROPOUT,
    }
    words = text.tokenizer.vocabulary
    model = transformer_encoder.build(transformer_encoder.Spec.model_validate(sizes), vocabulary, LONGEST)
    task = Task(model, masked_lm.build(masked_lm.Spec(probability=PROBABILITY), model, words))
    optimizer = build_optimizer(task, OptimizerSpec(), 1e-4)
    generator = torch.Generator().manual_seed(0)

    def train(sentences: Sentences) -> None:
        batch = task.ask(collate(sentences, packed=True), generator)
        with autocast(precision):
            loss = task(batch).total / asked_count(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return "clearhead, packed", train, task


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
        attention_probs_dropout_prob=DROPOUT,
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


def seconds_for(train: Train, sentences: Sentences, per_step: int) -> float:
    started = time.perf_counter()
    for start in range(0, len(sentences), per_step):
        train(sentences[start : start + per_step])
    return time.perf_counter() - started


def measure(
    shape: Shape, text: TokenizedText, vocabulary: int, rounds: int, precision: str
) -> tuple[dict[str, list[float]], list[Sentences]]:
    """Seconds of each side, round by round, and the sentences of each round."""
    name, ours, _ = clearhead_side(shape, text, vocabulary, precision)
    theirs = hugging_face_side(shape, text, vocabulary, precision)
    rng = np.random.default_rng(0)
    drawn = [
        [text.train[int(i)] for i in rng.choice(len(text.train), shape.sentences * shape.steps)] for _ in range(rounds)
    ]
    ours(drawn[0][: shape.sentences])
    theirs(drawn[0][: shape.sentences])
    seconds: dict[str, list[float]] = {name: [], "Hugging Face, padded": [], "Hugging Face, padded, sorted": []}
    for sentences in drawn:
        seconds[name].append(seconds_for(ours, sentences, shape.sentences))
        seconds["Hugging Face, padded"].append(seconds_for(theirs, sentences, shape.sentences))
        by_length = sorted(sentences, key=len)
        seconds["Hugging Face, padded, sorted"].append(seconds_for(theirs, by_length, shape.sentences))
    return seconds, drawn


def print_table(
    console: Console, title: str, seconds: dict[str, list[float]], work: list[tuple[float, float]], peak: float
) -> None:
    """One row a side; `work` is (real tokens, floating-point operations) of each round."""
    table = Table(title=title)
    for column in ("side", "real tokens/s", "clearhead is", "share of matmul peak"):
        table.add_column(column, justify="left" if column == "side" else "right")
    ours = next(iter(seconds.values()))
    for side, spent in seconds.items():
        rate = statistics.median(tokens / s for (tokens, _), s in zip(work, spent, strict=True))
        ratio = statistics.median(theirs / own for theirs, own in zip(spent, ours, strict=True))
        share = statistics.median(flops / s for (_, flops), s in zip(work, spent, strict=True)) / peak
        table.add_row(side, f"{rate:,.0f}", f"{ratio:.2f}x" if spent is not ours else "", f"{share:.0%}")
    console.print(table)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Masked-LM training speed against Hugging Face.")
    arguments.add_argument("--shape", choices=sorted(SHAPES), action="append")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--precision", choices=("fp32", "bf16", "auto"), default="auto")
    arguments.add_argument("--vocabulary", type=int, default=30522)
    chosen = arguments.parse_args()
    torch.set_flush_denormal(True)
    console = Console()
    peaks = {"fp32": matmul_peak(torch.float32), "bf16": matmul_peak(torch.bfloat16, 768)}
    for dtype, peak in peaks.items():
        console.print(f"{dtype} matmul peak: {peak / 1e9:,.1f} GFLOP/s on {torch.get_num_threads()} threads")
    worth = ["fp32", "bf16"] if peaks["bf16"] > 1.2 * peaks["fp32"] else ["fp32"]
    text = tokenize_corpus(
        open_corpus(None), TextSpec(tokenizer="wordpiece", vocabulary_size=8192, max_length=LONGEST), None
    )
    for name in chosen.shape or ["small", "base"]:
        for precision in worth if chosen.precision == "auto" else [chosen.precision]:
            shape = SHAPES[name]
            seconds, drawn = measure(shape, text, chosen.vocabulary, chosen.rounds, precision)
            work = [(float(sum(map(len, ids))), shape.flops(ids, PROBABILITY, chosen.vocabulary)) for ids in drawn]
            real = statistics.mean(len(ids) for ids in text.train)
            title = f"{name}: {shape.layers} layers of {shape.hidden_size}, {precision}, {real:.0f} tokens a sentence"
            print_table(console, title, seconds, work, peaks[precision])


if __name__ == "__main__":
    main()
