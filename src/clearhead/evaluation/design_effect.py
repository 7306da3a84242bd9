"""How many independent tokens a batch of text is worth."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clearhead.errors import InputError


def design_effect(values: Tensor, groups: Tensor) -> float:
    """E|batch mean - mean|^2 / (variance / n) for batches of whole random groups, from `values` (N, D), `groups` (N,).

    A group is what enters a batch together: a sentence, or a run of neighbouring ones. With t_s the sum over group s
    of (x - mean), S groups and N tokens, a batch of groups drawn at random has

        effect = [sum_s |t_s|^2 / (S - 1) * S / N] / [sum_i |x_i - mean|^2 / (N - 1)],

    whatever the size of the batch (Kish 1965, Survey Sampling, 5.4). It is 1 for independent tokens, the length of the
    groups where their tokens are all alike; n tokens are worth n / effect. NaN where all
    tokens are equal. Raises `InputError` for fewer than 2 groups.
    """
    _, group = torch.unique(groups, return_inverse=True)
    tokens, count = len(values), int(group.max()) + 1 if len(values) else 0
    if count < 2:
        raise InputError(f"design effect: {count} group of tokens; it needs at least 2")
    deviations = values.detach().double() - values.detach().double().mean(0)  # (N, D)
    sums = torch.zeros(count, deviations.shape[1], dtype=torch.float64, device=values.device)
    sums.index_add_(0, group, deviations)  # (S, D)
    between = float(sums.square().sum()) / (count - 1) * count / tokens
    within = float(deviations.square().sum()) / (tokens - 1)
    return between / within if within > 0 else math.nan
