"""R-Drop: two passes and what they must agree on."""

from __future__ import annotations

import sys
from itertools import cycle
from pathlib import Path

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from clearhead.errors import InputError
from clearhead.training.loop import fit
from clearhead.training.r_drop import agreeing, disagreement
from clearhead.training.spec import TrainingSpec

sys.path.insert(0, str(Path(__file__).parent))
from classifying import Whole, classifier, texts

LENGTHS = [3, 6, 2, 5]


def test_the_disagreement_is_half_the_two_divergences() -> None:
    one, two = torch.randn(2, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, q = Categorical(logits=one), Categorical(logits=two)
    expected = (kl_divergence(p, q) + kl_divergence(q, p)) / 2
    torch.testing.assert_close(disagreement(one, two), expected, rtol=0, atol=1e-12)


def test_without_dropout_two_passes_are_one() -> None:
    task, batch = classifier(), texts(LENGTHS)
    (loss,) = agreeing(task.losses(batch), task.losses(batch), 5.0)
    assert loss is not None
    torch.testing.assert_close(loss.total, task(batch).total, rtol=0, atol=1e-13)


def test_two_passes_are_averaged_and_their_disagreement_added() -> None:
    task, batch = classifier(0.5).train(), texts(LENGTHS)
    torch.manual_seed(1)
    one, two = task(batch), task(batch)
    (loss,) = agreeing([one], [two], 3.0)
    assert loss is not None
    expected = (one.total + two.total) / 2 + 3 * disagreement(one.logits, two.logits).sum()  # type: ignore[arg-type]
    torch.testing.assert_close(loss.total, expected, rtol=0, atol=1e-13)
    assert int(loss.count) == 4
    assert float(loss.total.detach()) > float((one.total + two.total).detach()) / 2


def test_fit_repeats_it_and_it_makes_passes_agree() -> None:
    batches = [texts(LENGTHS, seed=number) for number in range(3)]

    def apart(weight: float) -> float:
        task = classifier(0.5)
        for _ in fit(task, cycle(batches), TrainingSpec(steps=80, learning_rate=0.02, r_drop=weight), seed=0):
            pass
        torch.manual_seed(2)
        pairs = [(task(batch).logits, task(batch).logits) for batch in batches for _ in range(20)]
        return sum(float(disagreement(*pair).mean().detach()) for pair in pairs)  # type: ignore[arg-type]

    losses = [
        [s.loss for s in fit(classifier(0.5), cycle(batches), TrainingSpec(steps=3, r_drop=1.0), seed=0)]
        for _ in range(2)
    ]
    assert losses[0] == losses[1]
    assert apart(20.0) < 0.5 * apart(1e-9)


def test_where_it_cannot_act_it_says_why() -> None:
    spec = TrainingSpec(steps=1, r_drop=1.0)
    with pytest.raises(InputError, match="nothing is dropped here; give the model some dropout"):
        next(fit(classifier(), iter([texts(LENGTHS)]), spec, seed=0))
    with pytest.raises(InputError, match="this objective judges whole sequences"):
        next(fit(classifier(0.5, Whole()), iter([texts(LENGTHS)]), spec, seed=0))
