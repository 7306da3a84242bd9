"""Masks: may this query see this key? A function of their positions, composed with `&` and `|`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mask:
    """`mask(query_position, key_position)` -> bool, for position tensors that broadcast. Equal by what it computes."""

    allows: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, query_position: Tensor, key_position: Tensor) -> Tensor:
        return self.allows(query_position, key_position)

    def __and__(self, other: Mask) -> Mask:
        return Mask(functools.partial(_both, self, other))

    def __or__(self, other: Mask) -> Mask:
        return Mask(functools.partial(_either, self, other))


def _both(one: Mask, other: Mask, query: Tensor, key: Tensor) -> Tensor:
    return one(query, key) & other(query, key)


def _either(one: Mask, other: Mask, query: Tensor, key: Tensor) -> Tensor:
    return one(query, key) | other(query, key)


def _always(query: Tensor, key: Tensor) -> Tensor:
    return (query >= 0) & (key >= 0)


def _not_after(query: Tensor, key: Tensor) -> Tensor:
    return key <= query


def _not_before(query: Tensor, key: Tensor) -> Tensor:
    return key >= query


def _within(width: int, query: Tensor, key: Tensor) -> Tensor:
    return (query - key).abs() <= width


def _at_the_start(length: int, query: Tensor, key: Tensor) -> Tensor:
    return (key < length) & (query >= 0)


FULL = Mask(_always)
CAUSAL = Mask(_not_after)
ANTICAUSAL = Mask(_not_before)


def full() -> Mask:
    """Every key (Devlin et al. 2018)."""
    return FULL


def causal() -> Mask:
    """Keys at or before the query (Vaswani et al. 2017, arXiv:1706.03762, 3.2.3)."""
    return CAUSAL


def anticausal() -> Mask:
    """Keys at or after the query: the causal mask of the reversed sequence."""
    return ANTICAUSAL


def window(width: int) -> Mask:
    """Keys at most `width` places away, on either side (Beltagy et al. 2020, arXiv:2004.05150, 3.1)."""
    return Mask(functools.partial(_within, width))


def prefix(length: int) -> Mask:
    """The first `length` keys."""
    return Mask(functools.partial(_at_the_start, length))


def causal_window(width: int) -> Mask:
    """Keys at or before the query, at most `width` places back."""
    return CAUSAL & window(width)


def prefix_lm(length: int) -> Mask:
    """Keys at or before the query, and the first `length` (Raffel et al. 2019, arXiv:1910.10683, 3.2.1)."""
    return CAUSAL | prefix(length)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def square(mask: Mask, length: int, device: torch.device) -> Tensor:
    """`mask` among the first `length` positions: (length, length) bool, a row a query."""
    positions = torch.arange(length, device=device)
    return mask(positions[:, None], positions[None, :])


@functools.lru_cache(maxsize=64)
def looks_ahead(mask: Mask) -> bool:
    """Whether a query may see a key behind it, among the first 64 positions."""
    return bool(square(mask, 64, torch.device("cpu")).triu(1).any())


MASKS: dict[str, Callable[[], Mask]] = {"full": full, "causal": causal, "anticausal": anticausal}
SIZED_MASKS: dict[str, Callable[[int], Mask]] = {
    "window": window,
    "causal_window": causal_window,
    "prefix": prefix_lm,
}
