"""R-Drop: two passes through a net with different dropout must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from clearhead.errors import InputError
from clearhead.objectives.loss import Loss


def agreeing(first: Sequence[Loss | None], second: Sequence[Loss | None], weight: float) -> list[Loss | None]:
    """From the losses of two passes: their mean + `weight` / 2 (KL(p1 || p2) + KL(p2 || p1)), summed over all asked
    labels (Liang et al. 2021, arXiv:2106.14448, eq. 4, over 2 as in the authors' code).

    A label that is not known takes part in the KL, which needs none. Raises `InputError` for a loss without logits.
    """
    return [
        None if one is None or two is None else _agreeing(one, two, weight)
        for one, two in zip(first, second, strict=True)
    ]


def _agreeing(one: Loss, two: Loss, weight: float) -> Loss:
    if one.logits is None or two.logits is None:
        raise InputError(
            "training.r_drop compares the probabilities of single labels, and this objective judges whole sequences; "
            "set it to 0"
        )
    return replace(one, total=(one.total + two.total) / 2 + weight * disagreement(one.logits, two.logits).sum())


def disagreement(one: Tensor, two: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 of the rows of logits (n, C): (n,) nats."""
    p, q = one.log_softmax(-1), two.log_softmax(-1)
    both: Tensor = F.kl_div(p, q, reduction="none", log_target=True) + F.kl_div(q, p, reduction="none", log_target=True)
    return both.sum(-1) / 2
