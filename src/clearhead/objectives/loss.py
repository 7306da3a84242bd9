"""`Loss`: a sum and a count, never a mean, so that parts of a batch add up to the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.models.states import States
from clearhead.spec import SpecModel

UNKNOWN = -1  # a label that is asked for and not known: it is summed over, and costs nothing
ONLY_FOR = {"label_smoothing": "cross_entropy", "gamma": "focal"}


class LossSpec(SpecModel):
    """What is minimised for a label that is answered by itself; a name alone will do. See `LOSSES` for the formulas.

    `label_smoothing` spreads that share of each label evenly over all C classes; `gamma` is how fast focal loss
    forgets what is right already, 0 being cross-entropy.
    """

    name: Literal["cross_entropy", "mse", "mse_logits", "focal"] = "cross_entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    gamma: float = Field(default=2.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _fields_of_this_one(self) -> LossSpec:
        for field, owner in ONLY_FOR.items():
            if owner != self.name and getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(f"{field} belongs to {owner}, not to {self.name}; take it out")
        return self


PLAIN = LossSpec()


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


def token_loss(logits: Tensor, labels: Tensor, spec: LossSpec = PLAIN) -> Loss:
    """The loss `spec` of `labels` (n,) under `logits` (n, C); total 0 and count 0 where n is 0.

    `each` are nats whatever is minimised. A label -1 (`UNKNOWN`) counts as asked, costs 0 and has no gradient.
    """
    precise = logits if logits.dtype == torch.float64 else logits.float()
    each = F.cross_entropy(precise, labels, ignore_index=UNKNOWN, reduction="none")  # (n,)
    total = LOSSES[spec.name](precise, labels, each, spec).sum()
    return Loss(total, torch.tensor(labels.numel(), device=labels.device), each, precise)


def cross_entropy(logits: Tensor, labels: Tensor, nats: Tensor, spec: LossSpec) -> Tensor:
    """-sum over c of q[c] ln p[c] (n,), where q is 1 - s at the label plus s / C everywhere, s the smoothing (Szegedy
    et al. 2015, arXiv:1512.00567, section 7). Its gradient at the logits is p - q."""
    if spec.label_smoothing == 0:
        return nats
    return F.cross_entropy(logits, labels, ignore_index=UNKNOWN, label_smoothing=spec.label_smoothing, reduction="none")


def mse(logits: Tensor, labels: Tensor, nats: Tensor, spec: LossSpec) -> Tensor:
    """Sum over c of (p[c] - y[c])^2 (n,), y one-hot (Brier 1950). Its gradient at the logits is
    2 p[k] (p[k] - y[k] - sum over j of p[j] (p[j] - y[j])), which vanishes where p is surely wrong, too."""
    return _squares(logits.softmax(dim=-1), labels)


def mse_logits(logits: Tensor, labels: Tensor, nats: Tensor, spec: LossSpec) -> Tensor:
    """Sum over c of (z[c] - y[c])^2 (n,), y one-hot, on the logits themselves (Hui & Belkin 2020, arXiv:2006.07322,
    section 2, without their rescaling). Its gradient at the logits is 2 (z - y)."""
    return _squares(logits, labels)


def focal(logits: Tensor, labels: Tensor, nats: Tensor, spec: LossSpec) -> Tensor:
    """-(1 - p)^gamma ln p (n,), p of the label (Lin et al. 2017, arXiv:1708.02002, eq. 4)."""
    wrong = -torch.expm1(-nats)  # 1 - p, exact where p is near 1
    return wrong.clamp_min(torch.finfo(wrong.dtype).tiny).pow(spec.gamma) * nats


def _squares(answers: Tensor, labels: Tensor) -> Tensor:
    """Sum over c of (answers[c] - y[c])^2 (n,), 0 where the label is not known."""
    off = answers.scatter_add(1, labels.clamp_min(0).unsqueeze(1), answers.new_full((len(labels), 1), -1.0))  # (n, C)
    return off.square().sum(dim=-1).masked_fill(labels == UNKNOWN, 0.0)


LOSSES = {"cross_entropy": cross_entropy, "mse": mse, "mse_logits": mse_logits, "focal": focal}


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
