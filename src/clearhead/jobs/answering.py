"""A task's answers to items, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import torch

from clearhead.batches.batch import Batch
from clearhead.batches.sampling import BatchSpec, ManySequences, numbered_batches
from clearhead.errors import InputError
from clearhead.evaluation.metrics import HeldOut, held_out
from clearhead.models.states import States
from clearhead.training.task import Task

TOKENS = 4096  # in a batch, whatever the training batch
SEED = 7  # of what is hidden when a model is scored
AT_ONCE = 64  # lines that are answered together

T = TypeVar("T")
Answer = Callable[[States, Batch], Sequence[Any]]  # an entry a sequence


def scores(task: Task, items: ManySequences, batches: BatchSpec, pad: int) -> HeldOut:
    """The nats of every label asked in the items."""
    spec = BatchSpec(layout=batches.layout, tokens=TOKENS)
    return held_out(task, (batch for _, batch in numbered_batches(items, spec, pad=pad)), seed=SEED)


def answers(task: Task, items: ManySequences, batches: BatchSpec, pad: int, answer: Answer | None = None) -> list[Any]:
    """What `answer` (None: that of the first objective) gives for each item, in their order.

    Raises `InputError` where the objective does not answer.
    """
    answer = answer or getattr(task.objective, "answer", None)
    if answer is None:
        raise InputError(f"an objective of {', '.join(task.objective.asks)} gives no answers; take another recipe")
    found: dict[int, Any] = {}
    training = task.training
    task.eval()
    try:
        with torch.inference_mode():
            for numbers, batch in numbered_batches(items, BatchSpec(layout=batches.layout, tokens=TOKENS), pad=pad):
                found.update(zip(numbers, answer(task.model(batch), batch), strict=True))
    finally:
        task.train(training)
    return [found[number] for number in range(len(items))]


def chunks(lines: Iterable[T]) -> Iterator[list[T]]:
    """The lines, some at a time."""
    left = iter(lines)
    while chunk := list(islice(left, AT_ONCE)):
        yield chunk
