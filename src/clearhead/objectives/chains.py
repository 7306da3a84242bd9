"""What the objectives over chains of labels share: which tokens are asked, what is known of them, and what is said."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.structured import Chain, allow, expectations, first_impossible, log_partition, score, viterbi
from clearhead.objectives.loss import UNKNOWN, Loss, asked_places

TAGS = "tags"
Decoding = Literal["viterbi", "posterior"]


def asked_tags(batch: Batch) -> Tensor:
    """The labels `tags` (N,) of a batch; where it has none, every token is asked and none is known."""
    if TAGS in batch.labels:
        return batch.labels[TAGS]
    return torch.where(batch.layout.real, UNKNOWN, NOT_ASKED)


def check_tags(batch: Batch, tags: Tensor, labels: int) -> None:
    """Raises `InputError` unless `tags` (N,) are numbers of labels, -1 (not known) or -100 (not asked, as are pads)."""
    if tags.shape != batch.token_ids.shape:
        raise InputError(f"the labels {TAGS!r} are {len(tags)} for {len(batch.token_ids)} tokens; give each token one")
    wrong = (tags >= labels) | ((tags < UNKNOWN) & (tags != NOT_ASKED)) | ((tags != NOT_ASKED) & ~batch.layout.real)
    if bool(wrong.any()):
        where, place = _place(batch.layout, int(wrong.nonzero()[0]))
        raise InputError(
            f"sequence {where}, token {place}: {int(tags[wrong][0])} is not one of the {labels} labels (0 on); "
            f"write {UNKNOWN} for a label that is not known and {NOT_ASKED} for a token of which none is asked"
        )


def check_tokens(batch: Batch, symbols: int) -> None:
    """Raises `InputError` unless all tokens are among the `symbols` of the vocabulary."""
    wrong = (batch.token_ids < 0) | (batch.token_ids >= symbols)
    if bool(wrong.any()):
        where, place = _place(batch.layout, int(wrong.nonzero()[0]))
        raise InputError(
            f"sequence {where}, token {place}: {int(batch.token_ids[wrong][0])} is not one of the {symbols} ids of the "
            "vocabulary; write what it does not know as its unknown one"
        )


def check_finite(chain: Chain, labels: Tensor, layout: Layout) -> None:
    """Raises `InputError` where an emission (n, K) is not finite; the chain's tokens are those asked in `layout`."""
    wrong = ~chain.emissions.isfinite().all(1)
    if bool(wrong.any()):
        where, place = _place(layout, int(asked_places(labels)[wrong][0]))
        raise InputError(
            f"sequence {where}, token {place}: its scores are not finite; look for NaN or infinity in what is read "
            "there, or for a model that has diverged"
        )


def known_weight(chain: Chain, tags: Tensor) -> Tensor:
    """The log-weight (B,) of all taggings that agree with what is known of `tags` (n,), -1 being not known."""
    return log_partition(agreeing(chain, tags)) if bool((tags == UNKNOWN).any()) else score(chain, tags)


def agreeing(chain: Chain, tags: Tensor) -> Chain:
    """The chain with only those labels possible that agree with `tags` (n,)."""
    labels = torch.arange(chain.emissions.shape[1], device=tags.device)
    return allow(chain, (tags[:, None] == labels) | (tags == UNKNOWN)[:, None])


def shared_out(nats: Tensor, layout: Layout) -> Loss:
    """The loss whose `nats` (B,) are those of whole sentences: each asked token (n,) gets an equal share."""
    each = (nats / layout.lengths.clamp_min(1)).index_select(0, layout.sequence_ids)
    return Loss(nats.sum(), torch.tensor(len(each), device=nats.device), each)


def decoded(chain: Chain, labels: Tensor, layout: Layout, decoding: Decoding, why: str) -> list[NDArray[np.int64]]:
    """The labels (n,) of each sentence's tokens in `chain`: its likeliest path (viterbi; Rabiner 1989, eq. 33), or the
    likeliest label of each token (posterior; eq. 28). Raises `InputError`, with `why`, where no path is possible."""
    if decoding == "viterbi":
        paths, weights = viterbi(chain)
    else:
        found = expectations(chain)
        paths, weights = found.occupancy.argmax(1), found.log_z
    if bool((weights == -torch.inf).any()):
        raise impossible(chain, labels, layout, why)
    return [path.cpu().numpy() for path in torch.split(paths, chain.layout.sizes)]


def impossible(chain: Chain, labels: Tensor, layout: Layout, why: str) -> InputError:
    """The error that names the first token which no path in `chain` reaches, counted in `layout`, whose asked tokens
    are those of the chain."""
    sequence, step = first_impossible(chain) or (0, 0)
    token = int(asked_places(labels)[sum(chain.layout.sizes[:sequence]) + step])
    where, place = _place(layout, token)
    return InputError(f"sequence {where}, token {place}: {why}")


def _place(layout: Layout, token: int) -> tuple[int, int]:
    """The numbers of a token's sequence in the batch, and of the token in its sequence."""
    return int(layout.sequence_ids[token]), int(layout.position_ids[token])
