"""The next token inside each sequence, never across."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearhead.batches.batch import collate
from clearhead.errors import InputError
from clearhead.models.states import States
from clearhead.objectives import causal_lm
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

VOCABULARY = Vocabulary(size=12, pad=0, unknown=1, begin=2, end=3, mask=4)
INVENTORY = Inventory(VOCABULARY, 16)
SEQUENCES = [np.array([2, 7, 8, 3]), np.array([5]), np.array([2, 3])]


class Trunk(nn.Module):
    """Only what a head asks of a trunk: its width and its token embeddings."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.width = width
        self.token_embedding = nn.Embedding(VOCABULARY.size, 6)


@pytest.mark.parametrize(
    ("packed", "labels"),
    [(True, [7, 8, 3, -100, -100, 3, -100]), (False, [7, 8, 3, -100, -100, -100, -100, -100, 3, -100, -100, -100])],
)
def test_labels_by_hand(packed: bool, labels: list[int]) -> None:
    objective = causal_lm.build(causal_lm.Spec(), Trunk(), INVENTORY)
    asked = objective.ask(collate(SEQUENCES, packed=packed), torch.Generator())
    assert asked.labels["next"].tolist() == labels


def test_the_loss_is_the_naive_one_sequence_by_sequence() -> None:
    torch.manual_seed(0)
    trunk = Trunk()
    objective = causal_lm.build(causal_lm.Spec(tie_embeddings=False), trunk, INVENTORY).double()
    asked = objective.ask(collate(SEQUENCES, packed=True), torch.Generator())
    hidden = torch.randn(7, 6, dtype=torch.float64)
    loss = objective.loss(States(hidden, asked.layout, (hidden,)), asked)
    naive, start = torch.zeros((), dtype=torch.float64), 0
    for ids in SEQUENCES:
        logits = hidden[start : start + len(ids) - 1] @ objective.decoder.weight.T
        naive = naive + F.cross_entropy(logits, torch.as_tensor(ids[1:]), reduction="sum")
        start += len(ids)
    torch.testing.assert_close(loss.total, naive, rtol=0, atol=1e-12)
    assert int(loss.count) == 4


@pytest.mark.parametrize("vocabulary_size", [12, causal_lm.WORDS_AT_ONCE, 2 * causal_lm.WORDS_AT_ONCE + 7])
def test_a_search_reads_the_logits_that_training_judges(vocabulary_size: int) -> None:
    torch.manual_seed(0)
    inventory = Inventory(Vocabulary(vocabulary_size), 16)
    objective = causal_lm.build(causal_lm.Spec(tie_embeddings=False), Trunk(), inventory).double()
    hidden = torch.randn(3, 6, dtype=torch.float64)
    expected = hidden @ objective.decoder.weight.T
    torch.testing.assert_close(objective.logits(hidden), expected, rtol=0, atol=1e-14)
    batch = objective.ask(collate([np.array([2, 7, 8])], packed=True), torch.Generator())
    judged = objective.loss(States(hidden, batch.layout, (hidden,)), batch).logits
    assert judged is not None
    torch.testing.assert_close(judged, expected[:2], rtol=0, atol=1e-14)


@pytest.mark.parametrize("loss", ["mse", "mse_logits", {"name": "focal", "gamma": 1.0}, {"label_smoothing": 0.1}])
def test_what_is_reported_is_nats_whatever_is_minimised(loss: object) -> None:
    torch.manual_seed(0)
    trunk = Trunk()
    hidden = torch.randn(7, 6, dtype=torch.float64)
    found = []
    for chosen in ("cross_entropy", loss):
        spec = causal_lm.Spec.model_validate({"loss": chosen})
        objective = causal_lm.build(spec, trunk, INVENTORY).double()
        batch = objective.ask(collate(SEQUENCES, packed=True), torch.Generator())
        found.append(objective.loss(States(hidden, batch.layout, (hidden,)), batch))
    assert torch.equal(found[0].each, found[1].each)
    torch.testing.assert_close(found[0].total, found[0].each.sum(), rtol=0, atol=1e-12)
    assert abs((found[1].total - found[0].total).item()) > 1e-3


def test_label_smoothing_is_torchs() -> None:
    torch.manual_seed(0)
    spec = causal_lm.Spec.model_validate({"tie_embeddings": False, "loss": {"label_smoothing": 0.2}})
    objective = causal_lm.build(spec, Trunk(), INVENTORY).double()
    batch = objective.ask(collate(SEQUENCES, packed=True), torch.Generator())
    hidden = torch.randn(7, 6, dtype=torch.float64)
    labels = batch.labels["next"]
    expected = F.cross_entropy(objective.decoder(hidden), labels, label_smoothing=0.2, reduction="sum")
    found = objective.loss(States(hidden, batch.layout, (hidden,)), batch)
    torch.testing.assert_close(found.total, expected, rtol=0, atol=1e-12)


def test_tying_needs_equal_widths() -> None:
    with pytest.raises(InputError, match="states of width 10 do not fit embeddings of width 6"):
        causal_lm.build(causal_lm.Spec(), Trunk(width=10), INVENTORY)
