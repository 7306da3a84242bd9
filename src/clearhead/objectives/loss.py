"""`Loss`: a sum and a count, never a mean, so that parts of a batch add up to the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from clearhead.batches.batch import Batch
from clearhead.models.states import States

NOT_ASKED = -100


@dataclass(frozen=True)
class Loss:
    """Negative log-likelihood in nats: `total` (), the sum of `each` (n,), over `count` () asked tokens."""

    total: Tensor
    count: Tensor
    each: Tensor


class Objective(Protocol):
    """What every objective's module offers; `torch.nn.Module` in all other respects."""

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch: ...

    def loss(self, states: States, batch: Batch) -> Loss: ...


def token_loss(logits: Tensor, labels: Tensor) -> Loss:
    """The cross-entropy of `labels` (n,) under `logits` (n, V); total 0 and count 0 where n is 0."""
    precise = logits if logits.dtype == torch.float64 else logits.float()
    each = F.cross_entropy(precise, labels, reduction="none")  # (n,)
    return Loss(each.sum(), torch.tensor(labels.numel(), device=labels.device), each)


def asked_places(labels: Tensor) -> Tensor:
    """The places in the stream where something is asked (n,), in order."""
    return (labels != NOT_ASKED).nonzero().squeeze(1)


def asked_count(batch: Batch) -> int:
    """How many labels of the batch are asked, over all of its label maps: the `count` that its loss will have."""
    return sum(int((labels != NOT_ASKED).sum()) for labels in batch.labels.values())


def asked_sequences(batch: Batch) -> Tensor:
    """The number of the sequence, within the batch, that each entry of `Loss.each` belongs to (n,)."""
    return torch.cat([batch.layout.sequence_ids[asked_places(labels)] for labels in batch.labels.values()])
