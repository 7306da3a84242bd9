"""Probes: what named submodules take in or put out, how large their gradients are, and what depends on what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clearhead.errors import InputError, did_you_mean

ROWS_AT_ONCE = 128


@contextmanager
def watch(
    module: nn.Module, names: Sequence[str], *, side: Literal["input", "output"] = "output"
) -> Iterator[dict[str, list[Any]]]:
    """What each named submodule puts out (or takes in as its first argument), a list entry a call, graph attached.

    Raises `InputError` with the nearest name where a submodule is not there.
    """
    submodules = dict(module.named_modules())
    for name in names:
        if name not in submodules:
            raise InputError(f"watch: there is no submodule {name!r} in this model{did_you_mean(name, submodules)}")
    seen: dict[str, list[Any]] = {name: [] for name in names}

    def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        return lambda _, inputs, output: seen[name].append(inputs[0] if side == "input" else output)

    handles = [submodules[name].register_forward_hook(keep(name)) for name in names]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def gradient_norms(module: nn.Module, prefixes: Sequence[str]) -> dict[str, float]:
    """The Euclidean norm of the gradient over the parameters whose name starts with each prefix; 0 for none."""
    named = [(name, parameter.grad) for name, parameter in module.named_parameters() if parameter.grad is not None]
    return {
        prefix: math.sqrt(sum(float(grad.double().square().sum()) for name, grad in named if name.startswith(prefix)))
        for prefix in prefixes
    }


def influence(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """How much output token i depends on input token j: the sum over features of |d out[i, e] / d in[j, d]| (I, J).

    `function` maps `inputs` (J, D) to (I, E). Exact, by autograd, in float64: `function` must compute in it. A fused
    attention kernel is differentiated one output at a time, slowly; use the watched one.
    """
    inputs = inputs.detach().double().requires_grad_()
    outputs = function(inputs)  # (I, E)
    if not outputs.requires_grad:
        return torch.zeros(len(outputs), len(inputs), dtype=torch.float64)
    rows = _derivatives(outputs.reshape(-1), inputs).abs().sum(-1)  # (I * E, J)
    return rows.reshape(len(outputs), -1, len(inputs)).sum(1)  # (I, J)


def mixed_derivative(function: Callable[[Tensor, Tensor], Tensor], left: Tensor, right: Tensor) -> Tensor:
    """The second derivatives d^2 f / (d left d right) of a scalar f, left.shape + right.shape, in float64.

    All of them are 0 exactly where f(left, right) = g(left) + h(right): where the two never interact.
    """
    left = left.detach().double().requires_grad_()
    right = right.detach().double().requires_grad_()
    value = function(left, right)
    shape = left.shape + right.shape
    if not value.requires_grad:
        return torch.zeros(shape, dtype=torch.float64)
    (first,) = torch.autograd.grad(value, left, create_graph=True, materialize_grads=True)
    if not first.requires_grad:
        return torch.zeros(shape, dtype=torch.float64)
    return _derivatives(first.reshape(-1), right).reshape(shape)


def _derivatives(outputs: Tensor, inputs: Tensor) -> Tensor:
    """d outputs (K,) / d inputs: (K, *inputs.shape), many rows of the Jacobian in one backward pass."""
    rows = []
    basis = torch.eye(len(outputs), dtype=outputs.dtype, device=outputs.device)
    for chunk in torch.split(basis, ROWS_AT_ONCE):
        (row,) = torch.autograd.grad(
            outputs, inputs, chunk, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
        rows.append(inputs.new_zeros(len(chunk), *inputs.shape) if row is None else row)
    return torch.cat(rows)
