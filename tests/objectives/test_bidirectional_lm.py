"""ELMo's joint objective by hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from clearhead.batches.batch import collate
from clearhead.models.states import States
from clearhead.objectives import bidirectional_lm
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

VOCABULARY = Vocabulary(size=12, pad=0, unknown=1, begin=2, end=3, mask=4)
INVENTORY = Inventory(VOCABULARY, 16)
SEQUENCES = [np.array([2, 7, 8, 3]), np.array([5]), np.array([2, 9, 3])]


class Trunk(nn.Module):
    """Only what a head asks of a trunk: its width and its token embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 8
        self.token_embedding = nn.Embedding(VOCABULARY.size, 4)


def test_labels_by_hand() -> None:
    objective = bidirectional_lm.build(bidirectional_lm.Spec(), Trunk(), INVENTORY)
    asked = objective.ask(collate(SEQUENCES, packed=True), torch.Generator())
    assert asked.labels["next"].tolist() == [7, 8, 3, -100, -100, 9, 3, -100]
    assert asked.labels["previous"].tolist() == [-100, 2, 7, 8, -100, -100, 2, 9]


def test_the_mean_is_half_the_forward_and_half_the_backward_mean() -> None:
    torch.manual_seed(0)
    objective = bidirectional_lm.build(bidirectional_lm.Spec(), Trunk(), INVENTORY).double()
    asked = objective.ask(collate(SEQUENCES, packed=True), torch.Generator())
    hidden = torch.randn(8, 8, dtype=torch.float64)
    loss = objective.loss(States(hidden, asked.layout, (hidden,)), asked)
    forward = F.cross_entropy(objective.decoder(hidden[:, :4]), asked.labels["next"])  # ignores -100
    backward = F.cross_entropy(objective.decoder(hidden[:, 4:]), asked.labels["previous"])
    torch.testing.assert_close(loss.total / loss.count, 0.5 * (forward + backward), rtol=0, atol=1e-12)


def test_a_tied_projection_is_the_embeddings() -> None:
    trunk = Trunk()
    objective = bidirectional_lm.build(bidirectional_lm.Spec(tie_embeddings=True), trunk, INVENTORY)
    assert objective.decoder.weight is trunk.token_embedding.weight
