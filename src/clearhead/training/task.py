"""`Task`: one trunk and one objective, the thing that is trained."""

from __future__ import annotations

import torch
from torch import nn

from clearhead.batches.batch import Batch
from clearhead.objectives.loss import Loss, Objective


class Task(nn.Module):
    """The loss of an asked batch: `objective.loss(model(batch), batch)`. Tied parameters are counted once."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective: Objective = objective

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch with what is asked written into `labels` and hidden from `token_ids` where it must be."""
        return self.objective.ask(batch, generator)

    def forward(self, batch: Batch) -> Loss:
        return self.objective.loss(self.model(batch), batch)
