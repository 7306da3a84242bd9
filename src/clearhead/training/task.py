"""`Task`: one trunk and its objectives, the thing that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import nn

from clearhead.batches.batch import Batch
from clearhead.models.states import States
from clearhead.objectives.loss import Loss, Objective, asked_count

Turns = Literal["joint", "alternating"]


class Task(nn.Module):
    """A trunk, and one objective or several on its states. Tied parameters are counted once.

    `turns`: "joint", every objective asks of every batch, and what is minimised is the sum of their mean losses;
    "alternating", they take turns, a batch each.
    """

    def __init__(self, model: nn.Module, *objectives: Objective, turns: Turns = "joint") -> None:
        super().__init__()
        self.model = model
        self.objectives = nn.ModuleList(cast(Sequence[nn.Module], objectives))
        self.turns = turns

    @property
    def objective(self) -> Objective:
        """The first objective, the one that is scored and that answers."""
        return cast(Objective, self.objectives[0])

    def ask(self, batch: Batch, generator: torch.Generator, turn: int | None = None) -> Batch:
        """The batch with what is asked written into `labels` and hidden from `token_ids` where it must be.

        `turn` is the number of the batch, which decides who asks where objectives take turns.
        """
        asking = [cast(Objective, objective) for objective in self.objectives]
        if self.turns == "alternating" and turn is not None:
            asking = [asking[turn % len(asking)]]
        for objective in asking:
            batch = objective.ask(batch, generator)
        return batch

    def counts(self, batch: Batch) -> list[int]:
        """How many labels each objective asks of an asked batch."""
        return [asked_count(batch, cast(Objective, objective).asks) for objective in self.objectives]

    def losses(self, batch: Batch) -> list[Loss | None]:
        """The loss of each objective on one run of the trunk; None for those that ask nothing of this batch."""
        return self.judged(self.model(batch), batch)

    def judged(self, states: States, batch: Batch) -> list[Loss | None]:
        """As `losses`, of a run of the trunk that has been made."""
        counts = self.counts(batch)
        return [
            cast(Objective, objective).loss(states, batch) if count else None
            for objective, count in zip(self.objectives, counts, strict=True)
        ]

    def forward(self, batch: Batch) -> Loss:
        """The loss of the first objective."""
        return self.objective.loss(self.model(batch), batch)
