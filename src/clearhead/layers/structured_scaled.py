"""Forward-backward with probabilities in place of logarithms, every step divided by its sum, compiled: the fast path.

Everything is computed in float64 whatever comes in. A step's emissions and transitions are taken relative to their
highest, so potentials of any size do. What can be lost is a way more than `SMALLEST` below the best one that turns out
to be the only one that may go on, which takes impossible steps and potentials hundreds apart: `filtered` finds that out
and gives None; log-space serves then. Where every step is possible, the lost share is below `SMALLEST`.
"""

from __future__ import annotations

import functools
import importlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clearhead.batches.layout import Layout
from clearhead.layers.semirings import LOG, totals
from clearhead.layers.structured_chain import Chain, ends, packed_layout, plain, real_transition, refuse_infinite

Rest = tuple[Layout, "Filtered"]
SMALLEST = 1e-100  # the product of three such is still a normal number


@functools.cache
def kernels() -> Any:
    """The module of compiled loops, None where numba is missing. Imported at the first use, since numba is heavy."""
    try:
        return importlib.import_module("clearhead.layers.structured_kernels")
    except ImportError:
        return None


@dataclass(frozen=True, eq=False)
class Potentials:
    """Log-potentials as the kernels read them: a stream without pads, contiguous float64 on a CPU, without gradient."""

    emissions: Tensor  # (n, K)
    transition: Tensor  # (1 or n, K, K)
    shared: bool  # one transition for all steps
    start: Tensor  # (K,)
    end: Tensor  # (K,)
    layout: Layout
    offsets: np.ndarray  # (B + 1,)

    @property
    def threads(self) -> int:
        threads: int = kernels().threads_for(*self.emissions.shape, len(self.offsets) - 1)
        return threads


@torch.no_grad()
def potentials(chain: Chain) -> Potentials | None:
    """What the kernels read; None where they cannot run. Raises `InputError` for NaN and +inf."""
    if chain.emissions.device.type != "cpu" or kernels() is None:
        return None
    refuse_infinite(chain)
    layout = packed_layout(chain)
    emissions = chain.layout.take_real(chain.emissions).double().contiguous()
    transition = real_transition(chain, layout).double()
    shared = transition.dim() == 2
    transition = (transition[None] if shared else transition).contiguous()
    start, end = (
        emissions.new_zeros(emissions.shape[1]) if weights is None else weights.double().contiguous()
        for weights in (chain.start, chain.end)
    )
    offsets = np.zeros(len(layout.sizes) + 1, np.int64)
    np.cumsum(layout.sizes, out=offsets[1:])
    return Potentials(emissions, transition, shared, start, end, layout, offsets)


@dataclass(frozen=True, eq=False)
class Filtered:
    """What a forward pass leaves: alpha, p(y_t given all up to t), and log Z; and what it was made of."""

    potentials: Potentials
    weights: Tensor  # (n, K), emissions relative to the highest of the step
    matrix: Tensor  # (1 or n, K, K), transitions likewise
    alpha: Tensor  # (n, K)
    scale: Tensor  # (n,)
    log_z: Tensor  # (B,)


@torch.no_grad()
def filtered(given: Potentials | None) -> Filtered | None:
    """The forward pass, None where the kernels cannot run or a possible way may have been lost (see above)."""
    if given is None:
        return None
    shift = given.transition.amax((1, 2))
    shift = shift.masked_fill_(shift == -torch.inf, 0.0)
    relative = given.transition - shift[:, None, None]
    dense = bool((relative >= math.log(SMALLEST)).all())
    if not dense and bool(((relative < math.log(SMALLEST)) & (relative > -torch.inf)).any()):
        return None
    matrix = relative.exp_()
    weights, alpha = torch.empty_like(given.emissions), torch.empty_like(given.emissions)
    scale = weights.new_empty(len(weights))
    log_z, least = weights.new_empty(len(given.layout.sizes)), weights.new_empty(len(given.layout.sizes))
    read = [tensor.numpy() for tensor in (given.emissions, given.start, given.end, matrix, shift)]
    filled = [tensor.numpy() for tensor in (weights, alpha, scale, log_z, least)]

    def run(number: int, first: int, last: int) -> None:
        kernels().filter_forward(*read, not dense, given.offsets, first, last, *filled)

    kernels().over_sequences(run, given.offsets, given.threads)
    if not dense and bool((least < SMALLEST).any()):
        return None
    return Filtered(given, weights, matrix, alpha, scale, log_z)


@torch.no_grad()
def smoothed(forward: Filtered, each: Tensor) -> tuple[Tensor, Tensor]:
    """The backward pass: each[b] p(y_t = k given all) (n, K), and each[b] p(y_{t-1} = i, y_t = j given all), summed
    over the stream (K, K) or, with a matrix a token, for each (n, K, K). `each` (B,) is a factor a sequence."""
    given, matrix = forward.potentials, forward.matrix
    transposed = matrix.mT.contiguous()
    occupancy = torch.empty_like(forward.alpha)
    pairs = matrix.new_zeros(given.threads if given.shared else 1, *matrix.shape)
    read = [tensor.numpy() for tensor in (forward.weights, matrix, transposed)]
    middle = [tensor.numpy() for tensor in (forward.alpha, forward.scale, each.double().contiguous(), occupancy)]
    parts = pairs.numpy()

    def run(number: int, first: int, last: int) -> None:
        part = parts[number if given.shared else 0]
        kernels().smooth_backward(*read, given.offsets, first, last, *middle, part)

    kernels().over_sequences(run, given.offsets, given.threads)
    pairs = pairs.sum(0).mul_(matrix)
    return occupancy, pairs[0] if given.shared else pairs


@torch.no_grad()
def best_paths(given: Potentials) -> tuple[Tensor, Tensor]:
    """The best path of each sequence (n,) and its log-weight (B,)."""
    best, scores = torch.empty_like(given.emissions), given.emissions.new_zeros(len(given.layout.sizes))
    paths = torch.empty(len(best), dtype=torch.int64)
    read = [tensor.numpy() for tensor in (given.emissions, given.start, given.end, given.transition)]
    filled = [tensor.numpy() for tensor in (best, paths, scores)]

    def run(number: int, first: int, last: int) -> None:
        kernels().best_paths(*read, given.offsets, first, last, *filled)

    kernels().over_sequences(run, given.offsets, given.threads)
    return paths, scores


class LogPartition(torch.autograd.Function):
    """log Z (B,) of a forward pass, whose gradients are posteriors: d log Z / d emissions[t, k] = p(y_t = k given all),
    and so for the other potentials (Lafferty et al. 2001, section 3; Eisner 2016). Their own gradients, where they are
    asked for, come from the log-space twin."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, transition: Tensor, start: Tensor | None, end: Tensor | None, rest: Rest
    ) -> Tensor:
        ctx.save_for_backward(emissions, transition, start, end)
        ctx.layout, ctx.filtered = rest
        log_z: Tensor = ctx.filtered.log_z
        return log_z.clone()

    @staticmethod
    def backward(ctx: Any, each: Tensor) -> tuple[Tensor | None, ...]:
        parts, wanted = ctx.saved_tensors, ctx.needs_input_grad
        if torch.is_grad_enabled():  # create_graph
            return *_twin_gradients(parts, ctx.layout, each), None
        occupancy, pairs = smoothed(ctx.filtered, each)
        given: Potentials = ctx.filtered.potentials
        firsts, lasts = ends(given.layout)
        gradients = (
            ctx.layout.put_real(occupancy) if wanted[0] else None,
            (pairs if given.shared else ctx.layout.put_real(pairs)) if wanted[1] else None,
            occupancy.index_select(0, firsts).sum(0) if wanted[2] else None,
            occupancy.index_select(0, lasts).sum(0) if wanted[3] else None,
        )
        cast = (
            None if gradient is None else gradient.to(part.dtype)
            for gradient, part in zip(gradients, parts, strict=True)
        )  # fmt: skip
        return *cast, None


def _twin_gradients(parts: tuple[Any, ...], layout: Layout, each: Tensor) -> list[Tensor | None]:
    """The gradients of log Z (B,) weighted by `each` (B,), as parts of a graph."""
    emissions, transition, start, end = parts
    whole = plain(Chain(emissions, transition, layout, start, end))
    log_z = totals(whole.emissions, whole.transition, whole.layout, LOG)
    wanted = [part for part in parts if part is not None and part.requires_grad]
    found = iter(torch.autograd.grad(log_z, wanted, each, create_graph=True, materialize_grads=True))
    return [next(found) if part is not None and part.requires_grad else None for part in parts]


def with_gradient(chain: Chain, forward: Filtered) -> Tensor:
    """The log Z (B,) of `forward`, tied to the potentials it came from."""
    parts = chain.emissions, chain.transition, chain.start, chain.end
    log_z: Tensor = LogPartition.apply(*parts, (chain.layout, forward))  # type: ignore[no-untyped-call]
    return log_z
