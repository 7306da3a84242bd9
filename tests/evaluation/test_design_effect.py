"""The design effect in closed form, and against batches that are really drawn."""

from __future__ import annotations

import math

import pytest
import torch

from clearhead.errors import InputError
from clearhead.evaluation.design_effect import design_effect


def correlated(lengths: torch.Tensor, share: float, width: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of unit variance, of which `share` is common to the sentence."""
    generator = torch.Generator().manual_seed(1)
    groups = torch.arange(len(lengths)).repeat_interleave(lengths)
    common = torch.randn(len(lengths), width, generator=generator, dtype=torch.float64)[groups]
    own = torch.randn(len(groups), width, generator=generator, dtype=torch.float64)
    return share**0.5 * common + (1 - share) ** 0.5 * own, groups


def test_tokens_that_come_alone_are_worth_themselves() -> None:
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert design_effect(values, torch.arange(50)) == pytest.approx(1.0, abs=1e-12)


def test_tokens_that_are_all_alike_count_once_a_sentence() -> None:
    values, groups = correlated(torch.full((40,), 7), share=1.0)
    assert design_effect(values, groups) == pytest.approx(7 * (40 - 1 / 7) / 39, abs=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_it_is_one_plus_length_minus_one_times_the_correlation(share: float) -> None:
    values, groups = correlated(torch.full((4000,), 10), share)
    assert design_effect(values, groups) == pytest.approx(1 + 9 * share, rel=0.05)


def test_it_is_the_excess_variance_of_drawn_batches() -> None:
    lengths = torch.randint(2, 20, (600,), generator=torch.Generator().manual_seed(2))
    values, groups = correlated(lengths, 0.3)
    generator = torch.Generator().manual_seed(3)
    deviations = values - values.mean(0)
    excess, per_batch = [], 24
    for _ in range(3000):
        drawn = torch.isin(groups, torch.randperm(600, generator=generator)[:per_batch])
        batch = deviations[drawn]
        excess.append((batch.mean(0).square().sum() * len(batch) / deviations.square().mean(0).sum()).item())
    without_replacement = 1 - per_batch / 600
    assert design_effect(values, groups) == pytest.approx(sum(excess) / 3000 / without_replacement, rel=0.08)


def test_names_and_order_of_groups_do_not_matter() -> None:
    values, groups = correlated(torch.tensor([3, 5, 2, 6]), 0.4)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(4))
    assert design_effect(values[order], 100 - 7 * groups[order]) == pytest.approx(design_effect(values, groups))


def test_what_cannot_be_said() -> None:
    assert math.isnan(design_effect(torch.ones(6, 2), torch.tensor([0, 0, 0, 1, 1, 1])))
    for values in (torch.ones(3, 2), torch.ones(0, 2)):
        with pytest.raises(InputError, match="at least 2"):
            design_effect(values, torch.zeros(len(values), dtype=torch.long))
