"""ELMo's joint objective by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearhead.batches.batch import collate
from clearhead.errors import InputError
from clearhead.models import elmo
from clearhead.models.states import States
from clearhead.objectives import bidirectional_lm
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.task import Task

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


def test_it_trains_the_reader_beneath_what_a_task_reads() -> None:
    """With a mix and an LSTM on top, where both sides have met, the language model is as honest as without."""
    losses = []
    for fields in ({}, {"output": "mix", "head_size": 3}):
        torch.manual_seed(0)
        trunk = elmo.build(elmo.Spec(hidden_size=4, **fields), INVENTORY)
        objective = bidirectional_lm.build(bidirectional_lm.Spec(), trunk, INVENTORY)
        task = Task(trunk, objective).double()
        losses.append(task(task.ask(collate(SEQUENCES, packed=True), torch.Generator())))
        losses[-1].total.backward()
        assert all(parameter.grad is None for name, parameter in trunk.named_parameters() if name.startswith("head"))
        assert trunk.token_embedding.weight.grad is not None
    torch.testing.assert_close(losses[0].each, losses[1].each, rtol=0, atol=1e-12)


def test_a_frozen_reader_is_refused_with_the_mend() -> None:
    trunk = elmo.build(elmo.Spec(hidden_size=4, output="mix", frozen=True), INVENTORY)
    with pytest.raises(InputError, match=r"model\.frozen"):
        bidirectional_lm.build(bidirectional_lm.Spec(), trunk, INVENTORY)
