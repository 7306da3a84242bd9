"""ELMo's objective: the next token from the left, the previous one from the right (Peters et al. 2018)."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch
from torch import nn

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.models.states import States
from clearhead.objectives.decoder import INITIAL_STD, embedding_matrix, hidden_width, tie
from clearhead.objectives.loss import Loss, LossSpec, asked_places, token_loss
from clearhead.objectives.shifted import next_tokens, previous_tokens
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

NEXT = "next"
PREVIOUS = "previous"
ASKING: frozenset[str] = frozenset()  # the fields that change what is asked


class Spec(SpecModel):
    """`tie_embeddings`: the shared vocabulary projection is the token embeddings; ELMo's is its own. `loss`: what is
    minimised (see `LOSSES`)."""

    tie_embeddings: bool = False
    loss: LossSpec = LossSpec()


class BidirectionalLM(nn.Module):
    """-log p(x[t+1] | forward[t]) and -log p(x[t-1] | backward[t]), with one softmax shared by both directions.

    The last of the trunk's layers is [forward; backward], half each; what a task reads may stand on top of it (see
    `elmo`), where both sides have met. A sequence of T tokens asks T - 1 in either direction, so the mean over
    all asked is 0.5 * (forward mean + backward mean) (Peters et al. 2018, arXiv:1802.05365, 3.1).
    """

    asks = (NEXT, PREVIOUS)

    def __init__(self, width: int, vocabulary_size: int, loss: LossSpec) -> None:
        super().__init__()
        self.minimised = loss
        self.decoder = nn.Linear(width // 2, vocabulary_size)

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Labels `next` and `previous` (N,), none across the ends of a sequence. Draws nothing."""
        return replace(batch, labels={**batch.labels, NEXT: next_tokens(batch), PREVIOUS: previous_tokens(batch)})

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of every `next`, then of every `previous`; the vocabulary projection is computed only there."""
        forward, backward = states.layers[-1].chunk(2, dim=-1)  # (N, D / 2) each
        following, preceding = batch.labels[NEXT], batch.labels[PREVIOUS]
        ahead, behind = asked_places(following), asked_places(preceding)
        asked = torch.cat([forward.index_select(0, ahead), backward.index_select(0, behind)])  # (n, D / 2)
        return token_loss(self.decoder(asked), torch.cat([following[ahead], preceding[behind]]), self.minimised)


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> BidirectionalLM:
    """The head for a trunk whose layers are [forward; backward]. Raises `InputError` for one that is frozen."""
    if getattr(model, "frozen", False):
        raise InputError(
            "model.frozen: a language model trains the reader, and this one stays as it is; set it to false, or start "
            "from a run that has learned to read (init)"
        )
    width: int = getattr(model, "reader_width", hidden_width(model))
    make = functools.partial(BidirectionalLM, width, inventory.vocabulary.size, spec.loss)
    head: BidirectionalLM = built(make, functools.partial(initialize_transformer, std=INITIAL_STD))
    if spec.tie_embeddings:
        tie(head.decoder, embedding_matrix(model))
    return head
