"""The CRF of `tagging` against pytorch-crf, and against it on shortened sequences where steps are masked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchcrf import CRF

from clearhead.batches.batch import Batch, Item, collate
from clearhead.models.states import States
from clearhead.objectives import tagging
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

K = 5
LENGTHS = (6, 1, 9, 3)


class Scores(torch.nn.Module):
    """A trunk whose states are scores."""

    width, gives_scores = K, True


def pair() -> tuple[tagging.Tagging, CRF]:
    objective = tagging.build(
        tagging.Spec(output="crf"), Scores(), Inventory(Vocabulary(9), 16, labels=tuple("ABCDE"))
    ).double()
    theirs = CRF(K, batch_first=True).double()
    with torch.no_grad():
        objective.start.copy_(theirs.start_transitions)
        objective.transition.copy_(theirs.transitions)
        objective.end.copy_(theirs.end_transitions)
    return objective, theirs


def labelled(masked: float) -> Batch:
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, K, length) for length in LENGTHS]
    holes = [np.where(rng.random(len(row)) < masked, -100, row) for row in labels]
    return collate([Item(row * 0, labels={"tags": row}) for row in holes], packed=True)


@pytest.mark.parametrize("masked", [0.0, 0.4])
def test_likelihood_gradients_and_paths(masked: float) -> None:
    objective, theirs = pair()
    batch = labelled(masked)
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(sum(LENGTHS), K, generator=generator, dtype=torch.float64).requires_grad_()
    states = States(scores, batch.layout, (scores,))
    expected: list[Tensor] = []
    paths = []
    for emissions, tags in zip(scores.split(LENGTHS), batch.labels["tags"].split(LENGTHS), strict=True):
        kept = tags != -100
        paths.append(theirs.decode(emissions[kept][None])[0] if kept.any() else [])
        if kept.any():
            expected.append(-theirs(emissions[kept][None], tags[kept][None], reduction="sum"))
    total = objective.loss(states, batch).total
    torch.testing.assert_close(total, torch.stack(expected).sum(), rtol=0, atol=1e-10)
    ours = torch.autograd.grad(total, [scores, objective.start, objective.transition, objective.end])
    asked = [scores, theirs.start_transitions, theirs.transitions, theirs.end_transitions]
    torch.testing.assert_close(ours, torch.autograd.grad(sum(expected), asked), rtol=0, atol=1e-10)
    assert [path.tolist() for path in objective.answer(states, batch)] == paths
