"""Scores on held-out text, item by item."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clearhead.batches.batch import Batch
from clearhead.objectives.loss import asked_sequences
from clearhead.training.task import Task


@dataclass(frozen=True)
class HeldOut:
    """`nats` (n,) of every asked token, and the `sequences` (n,) they stand in, numbered in the order of reading."""

    nats: NDArray[np.float64]
    sequences: NDArray[np.int64]

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


def held_out(task: Task, batches: Iterable[Batch], *, seed: int) -> HeldOut:
    """The loss of `task`, in evaluation mode, on every token asked in `batches`; `seed` decides what is masked.

    Equal sequences in equal order are asked the same, packed or dense, in batches of any size.
    """
    generator = torch.Generator().manual_seed(seed)
    nats: list[NDArray[np.float64]] = []
    sequences: list[NDArray[np.int64]] = []
    read = 0
    was_training = {module: module.training for module in task.modules()}
    task.eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                asked = task.ask(batch, generator)
                nats.append(task(asked).each.double().cpu().numpy())
                sequences.append(asked_sequences(asked, task.objective.asks).cpu().numpy() + read)
                read += len(batch.layout.lengths)
    finally:
        for module, training in was_training.items():
            module.training = training
    if not nats:
        return HeldOut(np.zeros(0), np.zeros(0, np.int64))
    return HeldOut(np.concatenate(nats), np.concatenate(sequences))


def bits_per_byte(nats: float, size: int) -> float:
    """Bits per byte of raw text from the `nats` that a language model spends on all of it, whatever its tokenizer."""
    return nats / (math.log(2) * size)
