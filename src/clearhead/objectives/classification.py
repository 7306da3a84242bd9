"""Classification: one class for a whole sequence, or a pair of them, from the pooled states of its tokens."""

from __future__ import annotations

import functools
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.errors import InputError
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.layers.pooling import POOLINGS, Pooler, first, pooler_of
from clearhead.models.states import States
from clearhead.objectives.decoder import INITIAL_STD, hidden_width
from clearhead.objectives.loss import UNKNOWN, Loss, LossSpec, asked_places, token_loss
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

CLASS = "class"
ASKING: frozenset[str] = frozenset()  # the fields that change what is asked


class Spec(SpecModel):
    """`pool`: what the class is read from, over real tokens only: the first token's state, or tanh(W h_1 + b) of it
    (`pooler`: BERT's own, where the trunk is one), their mean, each feature's greatest, or the last token's state.

    `dropout` falls on what was pooled; Devlin et al. 2018 take 0.1 (A.3). `loss`: see `LOSSES`.
    """

    pool: Literal["first", "pooler", "mean", "max", "last"] = "pooler"
    dropout: float = Field(default=0.1, ge=0, lt=1)
    loss: LossSpec = LossSpec()


class Classification(nn.Module):
    """-log p(c | v) of each sequence, logits W v + b, v the pooled states (Devlin et al. 2018, arXiv:1810.04805, 4.1).

    The class stands as the label `class` of a sequence's first token.
    """

    asks = (CLASS,)

    def __init__(self, spec: Spec, width: int, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.spec = spec
        self.labels = labels
        self.pooler = Pooler(width) if spec.pool == "pooler" else None
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = nn.Linear(width, len(labels))

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch as it is: its classes are given. Draws nothing. Raises `InputError` for classes that are not."""
        if CLASS not in batch.labels:
            raise InputError("objective.name: classification needs a class for every text, and this data has none")
        given = batch.labels[CLASS]
        wrong = given[(given != NOT_ASKED) & ((given < UNKNOWN) | (given >= len(self.labels)))]
        if len(wrong):
            raise InputError(
                f"a text has the class number {int(wrong[0])}, and there are {len(self.labels)}, numbered from 0: "
                f"{', '.join(self.labels)}"
            )
        return batch

    def loss(self, states: States, batch: Batch) -> Loss:
        """What is minimised of each class that is asked, and its nats."""
        labels = batch.labels[CLASS]
        asked = asked_places(labels)
        logits = self.logits(states)[batch.layout.sequence_ids[asked]]  # (n, C)
        return token_loss(logits, labels[asked], self.spec.loss)

    def answer(self, states: States, batch: Batch) -> list[int]:
        """The likeliest class of each sequence."""
        answers: list[int] = self.logits(states).argmax(-1).tolist()
        return answers

    def probabilities(self, states: States) -> Tensor:
        """p(c) of each sequence (B, C)."""
        return self.logits(states).softmax(-1)

    def logits(self, states: States) -> Tensor:
        """(B, C)."""
        if self.pooler is not None:
            pooled = self.pooler(first(states.hidden, states.layout))  # (B, D)
        else:
            pooled = POOLINGS[self.spec.pool](states.hidden, states.layout)
        scored: Tensor = self.classifier(self.dropout(pooled))
        return scored


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> Classification:
    """The head for the classes of `inventory`. Raises `InputError` where they are fewer than two."""
    labels = inventory.labels
    if len(labels) < 2:
        found = f"one class only, {labels[0]!r}" if labels else "no classes"
        raise InputError(f"objective.name: classification needs two classes or more, and the data has {found}")
    make = functools.partial(Classification, spec, hidden_width(model), labels)
    head: Classification = built(make, functools.partial(initialize_transformer, std=INITIAL_STD))
    if head.pooler is not None:
        head.pooler = pooler_of(model) or head.pooler
    return head
