"""What each step is made of: batches of which something is asked, and the seeds of all that is random about them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.text.inventory import Inventory
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task
from clearhead.training.token_noise import noisy

EMPTY_IN_A_ROW = 1000
MOST_PARTS = 100_000  # so that batches without end are told from the batches of a large text
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draw:
    """The asked batches of one step, how many labels each objective asks, and the seeds of dropout and of mixing."""

    parts: Sequence[Batch]
    counts: Sequence[int]
    dropout_seed: int
    mixing_seed: int

    @property
    def tokens(self) -> int:
        """Real tokens."""
        return sum(sum(part.layout.sizes) for part in self.parts)


def draws(
    task: Task, batches: Iterator[Batch], spec: TrainingSpec, seed: int, inventory: Inventory | None
) -> Iterator[Draw]:
    """A draw a step: `accumulate` batches, or all of them where the optimizer takes the full batch.

    An optimizer that climbs a fixed function (one without a learning rate) is given the same draw for ever. Raises
    `InputError` where nothing is asked, and where batches that should end do not.
    """
    if not spec.optimizer.full_batch:
        return _asked(task, batches, spec, spec.accumulate, seed, inventory)
    parts = list(itertools.islice(batches, MOST_PARTS + 1))
    if len(parts) > MOST_PARTS:
        raise InputError(
            f"training.optimizer: {spec.optimizer.name} takes all data for every step, and got more than {MOST_PARTS} "
            "batches; give it every sequence once, in larger batches"
        )
    if spec.optimizer.has_learning_rate:
        return _asked(task, itertools.cycle(parts), spec, len(parts), seed, inventory)
    only = next(_asked(task, iter(parts), spec, len(parts), seed, inventory), None)
    if only is None and parts:
        raise InputError("nothing is asked of any sequence; there is nothing to learn from")
    return iter(()) if only is None else itertools.repeat(only)


def _asked(
    task: Task, batches: Iterator[Batch], spec: TrainingSpec, together: int, seed: int, inventory: Inventory | None
) -> Iterator[Draw]:
    empty, told = 0, False
    for number in itertools.count():
        unasked = list(itertools.islice(batches, together))
        if not unasked:
            return
        states = np.random.SeedSequence((seed, number)).generate_state(3, np.uint64)
        mask_seed, dropout_seed, mixing_seed = states.tolist()
        generator = torch.Generator().manual_seed(mask_seed)
        parts = [noisy(task.ask(batch, generator, number), spec.token_noise, inventory, generator) for batch in unasked]
        counts = [sum(column) for column in zip(*map(task.counts, parts), strict=True)]
        if any(counts):
            empty = 0
            yield Draw(parts, counts, dropout_seed, mixing_seed)
            continue
        empty += 1
        if not told:
            log.warning("a batch in which nothing is asked is passed over; lines this short carry no signal")
            told = True
        if empty == EMPTY_IN_A_ROW:
            raise InputError(f"nothing is asked in {empty} batches in a row; the lines are too short to learn from")
