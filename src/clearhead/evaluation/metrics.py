"""Scores on held-out text, item by item."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clearhead.batches.batch import Batch
from clearhead.objectives.loss import Loss, asked_places, asked_sequences
from clearhead.training.task import Task


@dataclass(frozen=True)
class HeldOut:
    """`nats` (n,) of every asked token, and the `sequences` (n,) they stand in, numbered in the order of reading.

    `right` (n,): whether the likeliest answer is the one; None where answers are not given one by one.
    """

    nats: NDArray[np.float64]
    sequences: NDArray[np.int64]
    right: NDArray[np.bool_] | None = None

    @property
    def count(self) -> int:
        return len(self.nats)

    @property
    def total(self) -> float:
        """Nats of all asked tokens together."""
        return float(self.nats.sum())

    @property
    def mean(self) -> float:
        """Nats per asked token; NaN where nothing was asked."""
        return self.total / self.count if self.count else math.nan

    @property
    def accuracy(self) -> float:
        """The share of asked tokens whose likeliest answer is the right one; NaN where there is no such thing."""
        return float(self.right.mean()) if self.right is not None and self.count else math.nan


def held_out(task: Task, batches: Iterable[Batch], *, seed: int) -> HeldOut:
    """The loss of the first objective of `task`, in evaluation mode, on every token asked in `batches`.

    `seed` decides what is masked: equal sequences in equal order are asked the same, packed or dense, in batches of any
    size.
    """
    generator = torch.Generator().manual_seed(seed)
    nats: list[NDArray[np.float64]] = []
    sequences: list[NDArray[np.int64]] = []
    right: list[NDArray[np.bool_]] = []
    read = 0
    was_training = {module: module.training for module in task.modules()}
    task.eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                asked = task.ask(batch, generator)
                loss = task(asked)
                nats.append(loss.each.double().cpu().numpy())
                right += _right(loss, asked, task.objective.asks)
                sequences.append(asked_sequences(asked, task.objective.asks).cpu().numpy() + read)
                read += len(batch.layout.lengths)
    finally:
        for module, training in was_training.items():
            module.training = training
    if not nats:
        return HeldOut(np.zeros(0), np.zeros(0, np.int64))
    answered = np.concatenate(right) if len(right) == len(nats) else None
    return HeldOut(np.concatenate(nats), np.concatenate(sequences), answered)


def _right(loss: Loss, asked: Batch, asks: Sequence[str]) -> list[NDArray[np.bool_]]:
    if loss.logits is None:
        return []
    labels = torch.cat([asked.labels[name][asked_places(asked.labels[name])] for name in asks])
    return [(loss.logits.argmax(-1) == labels).cpu().numpy()]


def bits_per_byte(nats: float, size: int) -> float:
    """Bits per byte of raw text from the `nats` that a language model spends on all of it, whatever its tokenizer."""
    return nats / (math.log(2) * size)
