"""Causal language modelling: every token is asked for from those before it in its own sequence."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch
from torch import nn

from clearhead.batches.batch import Batch
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.models.states import States
from clearhead.objectives.decoder import INITIAL_STD, embedding_matrix, hidden_width, tie
from clearhead.objectives.loss import Loss, asked_places, token_loss
from clearhead.objectives.shifted import next_tokens
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

NEXT = "next"


class Spec(SpecModel):
    """`tie_embeddings`: the vocabulary projection is the token embeddings (Radford et al. 2018, GPT)."""

    tie_embeddings: bool = True


class CausalLM(nn.Module):
    """-log p(x[t+1] | h[t]) with logits h W^T, for every t that has a next token in its sequence."""

    asks = (NEXT,)

    def __init__(self, width: int, vocabulary_size: int) -> None:
        super().__init__()
        self.decoder = nn.Linear(width, vocabulary_size, bias=False)

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Labels `next` (N,): the token after each one, none across the end of a sequence. Draws nothing."""
        return replace(batch, labels={**batch.labels, NEXT: next_tokens(batch)})

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of each asked token; the vocabulary projection is computed only there."""
        labels = batch.labels[NEXT]
        asked = asked_places(labels)
        return token_loss(self.decoder(states.hidden.index_select(0, asked)), labels[asked])


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> CausalLM:
    """The head for a trunk whose states at t have seen nothing after t."""
    make = functools.partial(CausalLM, hidden_width(model), inventory.vocabulary.size)
    head: CausalLM = built(make, functools.partial(initialize_transformer, std=INITIAL_STD))
    if spec.tie_embeddings:
        tie(head.decoder, embedding_matrix(model))
    return head
