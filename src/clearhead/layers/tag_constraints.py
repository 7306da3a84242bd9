"""Which tag may follow which, by the scheme that tags mark spans in: -inf where a chain must not go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clearhead.layers.structured import Chain
from clearhead.text.examples import Scheme
from clearhead.text.tag_schemes import faults

OUTSIDE = "O"


@dataclass(frozen=True, eq=False)
class TagConstraints:
    """`follows` (K, K) bool, [i, j]: j may stand behind i; `begins` and `ends` (K,): at the edges of a sentence."""

    begins: Tensor
    follows: Tensor
    ends: Tensor


def tag_constraints(labels: Sequence[str], scheme: Scheme) -> TagConstraints:
    """What a scheme allows of `labels`. At the edges of a sentence it allows what it does next to O.

    Raises `InputError` for a label that is not of the scheme, such as `NN`.
    """

    def allowed(before: str, tag: str) -> bool:
        return 1 not in faults([before, tag, OUTSIDE], scheme)

    return TagConstraints(
        torch.tensor([allowed(OUTSIDE, tag) for tag in labels]),
        torch.tensor([[allowed(before, tag) for tag in labels] for before in labels]),
        torch.tensor([allowed(tag, OUTSIDE) for tag in labels]),
    )


def constrain(chain: Chain, constraints: TagConstraints) -> Chain:
    """The chain in which only what the scheme allows is possible; weights that it has not are 0."""
    nothing = chain.emissions.new_zeros(chain.emissions.shape[1])

    def within(weights: Tensor | None, allowed: Tensor) -> Tensor:
        return (nothing if weights is None else weights).masked_fill(~allowed.to(nothing.device), -torch.inf)

    return replace(
        chain,
        start=within(chain.start, constraints.begins),
        transition=within(chain.transition, constraints.follows),
        end=within(chain.end, constraints.ends),
    )
