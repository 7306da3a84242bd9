"""`Loss`: a sum and a count, never a mean, so that parts of a batch add up to the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.models.states import States

UNKNOWN = -1  # a label that is asked for and not known: it is summed over, and costs nothing


@dataclass(frozen=True)
class Loss:
    """What is minimised, `total` () over `count` () asked labels, and what is reported, `each` (n,): the negative
    log-likelihood of every asked label in nats. `total` is the sum of `each` unless the loss is another one.

    `logits` (n, C) are those that `each` comes from, where labels are answered one by one.
    """

    total: Tensor
    count: Tensor
    each: Tensor
    logits: Tensor | None = None


class Objective(Protocol):
    """What every objective's module offers; `torch.nn.Module` in all other respects.

    `asks` are the label maps that it reads: `Loss.each` follows them, map after map. An objective that answers also
    has `answer(states, batch)`, an entry a sequence.
    """

    @property
    def asks(self) -> tuple[str, ...]: ...

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch: ...

    def loss(self, states: States, batch: Batch) -> Loss: ...


def token_loss(logits: Tensor, labels: Tensor) -> Loss:
    """The cross-entropy of `labels` (n,) under `logits` (n, V); total 0 and count 0 where n is 0."""
    precise = logits if logits.dtype == torch.float64 else logits.float()
    each = F.cross_entropy(precise, labels, reduction="none")  # (n,)
    return Loss(each.sum(), torch.tensor(labels.numel(), device=labels.device), each, precise)


def asked_places(labels: Tensor) -> Tensor:
    """The places in the stream where something is asked (n,), in order."""
    return (labels != NOT_ASKED).nonzero().squeeze(1)


def asked_count(batch: Batch, asks: Sequence[str] | None = None) -> int:
    """How many labels of the batch are asked, over the maps `asks` (None: all): the `count` that its loss will have."""
    return sum(int((labels != NOT_ASKED).sum()) for labels in _asked_maps(batch, asks))


def asked_sequences(batch: Batch, asks: Sequence[str] | None = None) -> Tensor:
    """The number of the sequence, within the batch, that each entry of `Loss.each` belongs to (n,)."""
    found = [batch.layout.sequence_ids[asked_places(labels)] for labels in _asked_maps(batch, asks)]
    return torch.cat(found) if found else batch.layout.sequence_ids[:0]


def _asked_maps(batch: Batch, asks: Sequence[str] | None) -> list[Tensor]:
    return [batch.labels[name] for name in (batch.labels if asks is None else asks) if name in batch.labels]
