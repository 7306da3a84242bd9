"""A trunk of one layer, sentences of unequal length, and a masked-LM task on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, collate
from clearhead.models.states import States
from clearhead.objectives import masked_lm
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.task import Task

VOCABULARY = Vocabulary(size=20, pad=0, unknown=1, begin=2, end=3, mask=4)
INVENTORY = Inventory(VOCABULARY, 16)


class Trunk(nn.Module):
    """Embedding, dropout, one dense layer, a norm."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.width = 8
        self.token_embedding = nn.Embedding(VOCABULARY.size, 8)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, batch: Batch) -> States:
        embedded: Tensor = self.dropout(self.token_embedding(batch.token_ids))
        return States(self.norm(embedded + self.dense(embedded).tanh()), batch.layout, (embedded,))


@pytest.fixture
def make_task() -> Callable[..., Task]:
    def make(*, dropout: float = 0.0, dtype: torch.dtype = torch.float32) -> Task:
        torch.manual_seed(0)
        trunk = Trunk(dropout)
        return Task(trunk, masked_lm.build(masked_lm.Spec(probability=0.3), trunk, INVENTORY)).to(dtype)

    return make


@pytest.fixture
def batches() -> list[Batch]:
    rng = np.random.default_rng(0)
    return [collate([rng.integers(5, 20, rng.integers(3, 12)) for _ in range(4)], packed=True) for _ in range(24)]


@pytest.fixture
def silent() -> Batch:
    """A batch of nothing but begin and end: nothing can be asked."""
    return collate([np.array([2, 3])] * 3, packed=True)
