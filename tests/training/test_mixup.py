"""Mixup: what is blended, what is asked, and where it cannot act."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.objectives.loss import Loss
from clearhead.training.loop import fit
from clearhead.training.mixup import mixed_losses
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

sys.path.insert(0, str(Path(__file__).parent))
from classifying import classifier, texts

PARTNERS = torch.tensor([2, 0, 1, 3])
UNLIKE = [3, 7, 5, 4]


def mixed(task: Task, batch: Batch, share: float, partners: Tensor = PARTNERS) -> Loss:
    (loss,) = mixed_losses(task, batch, share, partners)
    assert loss is not None
    return loss


def written_out(task: Task, batch: Batch, share: float) -> Tensor:
    """Zero-padded vectors and one-hot labels blended, sentence by sentence."""
    lengths, total = batch.layout.lengths.tolist(), torch.zeros((), dtype=torch.float64)
    vectors = [task.model.token_embedding(ids) for ids in batch.layout.take_real(batch.token_ids).split(lengths)]  # type: ignore[union-attr, operator]
    classes = batch.labels["class"][batch.labels["class"] != -100]
    for own, other in enumerate(PARTNERS.tolist()):
        length = max(lengths[own], lengths[other])
        one, two = (F.pad(vectors[i], (0, 0, 0, length - lengths[i])) for i in (own, other))
        hidden = task.model.dense((share * one + (1 - share) * two).sum(0) / length).tanh()  # type: ignore[union-attr, operator]
        nats = -task.objective.decoder(hidden).log_softmax(-1)  # type: ignore[attr-defined]
        total = total + share * nats[classes[own]] + (1 - share) * nats[classes[other]]
    return total


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_blends_vectors_and_labels(packed: bool, share: float) -> None:
    """Sequences of unlike length too, packed or padded; values and gradients."""
    task, batch = classifier(), texts(UNLIKE, packed=packed)
    found, expected = mixed(task, batch, share), written_out(task, batch, share)
    torch.testing.assert_close(found.total, expected, rtol=0, atol=1e-12)
    assert int(found.count) == 4
    left, right = (torch.autograd.grad(total, list(task.parameters())) for total in (found.total, expected))
    for one, two in zip(left, right, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_a_share_of_one_is_plain_training() -> None:
    task, batch = classifier(), texts([5, 5, 5, 5])
    torch.testing.assert_close(mixed(task, batch, 1.0).total, task(batch).total, rtol=0, atol=1e-13)
    alone = torch.arange(4)
    torch.testing.assert_close(mixed(task, batch, 0.4, alone).total, task(batch).total, rtol=0, atol=1e-13)


def test_the_model_is_as_before_afterwards() -> None:
    task, batch = classifier(), texts(UNLIKE)
    before = task(batch).total
    mixed(task, batch, 0.5)
    assert torch.equal(task(batch).total, before)


def test_where_it_cannot_act_it_says_why(make_task: Callable[..., Task], batches: list[Batch]) -> None:
    spec = TrainingSpec(steps=1, mixup=0.2)
    with pytest.raises(InputError, match="this objective asks word by word"):
        next(fit(make_task(), iter(batches), spec, seed=0))
    batch = texts(UNLIKE)
    with pytest.raises(InputError, match="this data has features or a source"):
        mixed(classifier(), replace(batch, features={"characters": batch.token_ids[:, None]}), 0.5)
    task = classifier()
    task.model.token_embedding, task.model.words = None, task.model.token_embedding  # type: ignore[assignment]
    task.model.forward = lambda batch: classifier().model(batch)  # type: ignore[method-assign]
    with pytest.raises(InputError, match="this model looks up none"):
        mixed(task, batch, 0.5)


def test_fit_draws_shares_from_beta_and_repeats_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(
        "clearhead.training.gradients.mixed_losses",
        lambda task, batch, share, partners: (shares.append(share), mixed_losses(task, batch, share, partners))[1],
    )
    batches = [texts([4, 6, 3], seed=number) for number in range(5)]
    spec = TrainingSpec(steps=120, mixup=0.4)
    runs = [[s.loss for s in fit(classifier(0.1), cycle(batches), spec, seed=1)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert shares[:120] == shares[120:]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.1)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.04)
