"""A tiny classifier of whole sequences, with dropout, for what acts on those alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from clearhead.batches.batch import Batch, Item, collate
from clearhead.models.states import States
from clearhead.objectives.loss import Loss, asked_places, token_loss
from clearhead.training.task import Task


class Bag(nn.Module):
    """States are the mean of a sequence's embeddings, transformed, at each of its tokens."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.width = 8
        self.token_embedding = nn.Embedding(20, 8)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(8, 8)

    def forward(self, batch: Batch) -> States:
        layout = batch.layout
        embedded = layout.grid(self.dropout(self.token_embedding(batch.token_ids)))  # (B, T, D)
        mean = (embedded * layout.real_grid[..., None]).sum(1) / layout.lengths[:, None]
        hidden = self.dense(mean).tanh()[layout.sequence_ids]
        return States(hidden, layout, (hidden,))


class Classes(nn.Module):
    """The class of a sequence, asked at its first token."""

    asks = ("class",)

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Linear(8, 3)

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        return batch

    def loss(self, states: States, batch: Batch) -> Loss:
        asked = asked_places(batch.labels["class"])
        return token_loss(self.decoder(states.hidden[asked]), batch.labels["class"][asked])


class Whole(nn.Module):
    """As `Classes`, but it does not show its logits, as a CRF does not."""

    asks = ("class",)

    def __init__(self) -> None:
        super().__init__()
        self.inner = Classes()
        self.ask = self.inner.ask

    def loss(self, states: States, batch: Batch) -> Loss:
        return replace(self.inner.loss(states, batch), logits=None)


def classifier(dropout: float = 0.0, objective: nn.Module | None = None) -> Task:
    torch.manual_seed(0)
    return Task(Bag(dropout), objective or Classes()).double()  # type: ignore[arg-type]


def texts(lengths: list[int], *, packed: bool = True, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    items = []
    for length in lengths:
        label = np.full(length, -100)
        label[0] = rng.integers(3)
        items.append(Item(rng.integers(5, 20, length), labels={"class": label}))
    return collate(items, packed=packed)
