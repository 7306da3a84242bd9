"""Sums of rows of a matrix, chosen by ids: what a linear model of sparse features computes for each token."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from clearhead.errors import InputError
from clearhead.layers.structured_kernels import Array, machine

LEAST_WORK = 200_000  # additions that pay for one more thread


def sum_rows(weight: Tensor, ids: Tensor, *, fused: bool = True) -> Tensor:
    """(F, K) and ids (N, M) int64 -> (N, K): the sum of the rows that each token's ids name; -1 names none.

    `fused` takes compiled loops on a CPU, whose gradient is one pass over the ids in a fixed order, whatever the
    threads; `fused=False` is torch's own. Raises `InputError` for an id that is no row.
    """
    if ids.numel() and not (int(ids.min()) >= -1 and int(ids.max()) < len(weight)):
        raise InputError(
            f"a feature's id is {int(ids.max())} and another {int(ids.min())}, but they must lie between -1 (none) and "
            f"{len(weight) - 1}; encode the text with the index of features that the model was built for"
        )
    if fused and weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64):
        summed: Tensor = SumRows.apply(weight, ids.contiguous())  # type: ignore[no-untyped-call]
        return summed
    padded = torch.cat((weight, weight.new_zeros(1, weight.shape[1])))  # what -1 names, from the end
    return F.embedding_bag(ids % len(padded), padded, mode="sum")


class SumRows(torch.autograd.Function):
    """Gather forward, scatter backward."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.rows = len(weight)
        summed = weight.new_empty((len(ids), weight.shape[1]))
        bounds = np.linspace(0, len(ids), _threads(ids, weight.shape[1]) + 1).astype(np.int64)
        arrays = weight.detach().contiguous().numpy(), ids.numpy(), summed.numpy()
        _together(gather, [(*arrays, first, last) for first, last in pairwise(bounds.tolist())])
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (ids,) = ctx.saved_tensors
        collected = gradient.new_zeros((ctx.rows, gradient.shape[1]))
        threads = _threads(ids, gradient.shape[1])
        arrays = gradient.contiguous().numpy(), ids.numpy(), collected.numpy()
        _together(scatter, [(*arrays, part, threads) for part in range(threads)])
        return collected, None


@machine(entry=True)
def gather(weight: Array, ids: Array, summed: Array, first: int, last: int) -> None:
    """Fills summed (N, K) from token `first` to `last`."""
    K = weight.shape[1]
    for n in range(first, last):
        for k in range(K):
            summed[n, k] = 0.0
        for m in range(ids.shape[1]):
            row = ids[n, m]
            if row >= 0:
                for k in range(K):
                    summed[n, k] += weight[row, k]


@machine(entry=True)
def scatter(gradient: Array, ids: Array, collected: Array, part: int, parts: int) -> None:
    """Adds the gradients (N, K) into the rows of collected (F, K) whose number leaves `part` when divided by `parts`.

    Every row is added to by one thread alone, token after token.
    """
    K = gradient.shape[1]
    for n in range(len(ids)):
        for m in range(ids.shape[1]):
            row = ids[n, m]
            if row >= 0 and (parts == 1 or row % parts == part):
                for k in range(K):
                    collected[row, k] += gradient[n, k]


def _threads(ids: Tensor, labels: int) -> int:
    return max(1, min(torch.get_num_threads(), ids.numel() * labels // LEAST_WORK))


def _together(kernel: Callable[..., None], calls: list[tuple[Any, ...]]) -> None:
    """Runs the first call here and the others in threads of their own."""
    others = [threading.Thread(target=kernel, args=arguments) for arguments in calls[1:]]
    for thread in others:
        thread.start()
    kernel(*calls[0])
    for thread in others:
        thread.join()
