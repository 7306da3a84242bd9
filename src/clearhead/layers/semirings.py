"""Semirings, and the one recursion over a chain that each of them reads in its own way: plain, slow, differentiable.

A semiring says how the weights of two ways are joined (+) and how the weights along one way are chained (x). Here all
weights are logarithms, so x is always +, its one is 0 and its zero -inf (an impossible way). What (+) is makes the
algorithm: the logarithm of a sum gives the forward-backward algorithm, the maximum gives Viterbi's (Goodman 1999,
"Semiring parsing"; Rush 2020, torch-struct, arXiv:2002.00876, table 1).

The functions take a packed stream whose first and last emissions hold the start and end weights already. They are the
slow twin of `structured_scaled` and `structured_kernels`, and the numbers of every lattice that is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clearhead.batches.layout import Layout


@dataclass(frozen=True)
class Semiring:
    """`join(x, dimension)` is (+) over a dimension of log-weights; x is +, with one 0 and zero -inf."""

    name: str
    join: Callable[[Tensor, int], Tensor]


def log_of_sum(x: Tensor, dimension: int) -> Tensor:
    """log sum exp over a dimension; where all is -inf the value is -inf and the gradient 0, not NaN. Smooth twice."""
    highest = x.detach().amax(dimension, keepdim=True)
    highest = highest.masked_fill(highest == -torch.inf, 0.0)
    total = (x - highest).exp().sum(dimension)
    possible = total > 0
    value = torch.where(possible, total, 1.0).log() + highest.squeeze(dimension)
    return torch.where(possible, value, -torch.inf)


def highest(x: Tensor, dimension: int) -> Tensor:
    """max over a dimension; its gradient is shared among equals."""
    return x.amax(dimension)


LOG = Semiring("log", log_of_sum)
MAX = Semiring("max", highest)
SEMIRINGS = {semiring.name: semiring for semiring in (LOG, MAX)}


def forwards(emissions: Tensor, transition: Tensor, layout: Layout, semiring: Semiring) -> Tensor:
    """All ways that end in a label, joined, that label's emission included (n, K): alpha of Rabiner 1989, eq. 19-20.

    `emissions` (n, K); `transition` (K, K), or (n, K, K) for a step into each token.
    """
    step = layout.grid(emissions)  # (B, T, K)
    matrices = layout.grid(transition) if transition.dim() == 3 else None  # (B, T, K, K)
    alphas = [step[:, 0]] if layout.longest else []
    for place in range(1, layout.longest):
        matrix = transition if matrices is None else matrices[:, place]
        alphas.append(semiring.join(alphas[-1][:, :, None] + matrix, 1) + step[:, place])
    return layout.flat(torch.stack(alphas, 1)) if alphas else emissions


def backwards(emissions: Tensor, transition: Tensor, layout: Layout, semiring: Semiring) -> Tensor:
    """All ways that go on from a label, joined, that label's emission left out (n, K): beta of Rabiner 1989, eq. 24-25.

    `forwards` x `backwards` is everything that goes through a label.
    """
    step = layout.grid(emissions)  # (B, T, K)
    matrices = layout.grid(transition) if transition.dim() == 3 else None  # (B, T, K, K)
    beta = torch.zeros_like(step[:, 0]) if layout.longest else emissions
    betas = [beta]
    for place in range(layout.longest - 1, 0, -1):
        matrix = transition if matrices is None else matrices[:, place]
        beta = semiring.join(matrix + (step[:, place] + beta)[:, None, :], 2)
        beta = torch.where((layout.lengths > place)[:, None], beta, 0.0)
        betas.append(beta)
    return layout.flat(torch.stack(betas[::-1], 1)) if layout.longest else emissions


def totals(emissions: Tensor, transition: Tensor, layout: Layout, semiring: Semiring) -> Tensor:
    """All ways through each sequence, joined (B,): 0 for a sequence without a token, whose one way is empty."""
    alphas = forwards(emissions, transition, layout, semiring)
    lasts = layout.lengths.cumsum(0) - 1  # (B,)
    some = layout.lengths > 0
    ended = semiring.join(alphas.index_select(0, lasts[some]), 1)
    return ended.new_zeros(len(lasts)).index_copy(0, some.nonzero().squeeze(1), ended)
