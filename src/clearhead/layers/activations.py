"""Activations: what stands between the two matrices of a feed-forward layer."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def gelu() -> nn.Module:
    """x Phi(x) (Hendrycks & Gimpel 2016, arXiv:1606.08415)."""
    return nn.GELU()


def gelu_tanh() -> nn.Module:
    """The tanh approximation of gelu (the same paper, section 2), as in GPT-2."""
    return nn.GELU(approximate="tanh")


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,  # another name of silu (Ramachandran et al. 2017, arXiv:1710.05941, with beta 1)
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "linear": nn.Identity,
}
