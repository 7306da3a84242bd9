"""Causal language modelling: every token is asked for from those before it in its own sequence."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from clearhead.batches.batch import Batch
from clearhead.models.states import States
from clearhead.objectives.decoder import embedding_matrix, hidden_width, vocabulary_decoder
from clearhead.objectives.loss import Loss, asked_places, token_loss
from clearhead.objectives.shifted import next_tokens
from clearhead.spec import SpecModel
from clearhead.text.tokenizers import Vocabulary

NEXT = "next"


class Spec(SpecModel):
    """`tie_embeddings`: the vocabulary projection is the token embeddings (Radford et al. 2018, GPT)."""

    tie_embeddings: bool = True


class CausalLM(nn.Module):
    """-log p(x[t+1] | h[t]) with logits h W^T, for every t that has a next token in its sequence."""

    def __init__(self, decoder: nn.Linear) -> None:
        super().__init__()
        self.decoder = decoder

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Labels `next` (N,): the token after each one, none across the end of a sequence. Draws nothing."""
        return replace(batch, labels={NEXT: next_tokens(batch)})

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of each asked token; the vocabulary projection is computed only there."""
        labels = batch.labels[NEXT]
        asked = asked_places(labels)
        return token_loss(self.decoder(states.hidden.index_select(0, asked)), labels[asked])


def build(spec: Spec, model: nn.Module, vocabulary: Vocabulary) -> CausalLM:
    """The head for a trunk whose states at t have seen nothing after t."""
    embeddings = embedding_matrix(model)
    return CausalLM(vocabulary_decoder(hidden_width(model), embeddings, tied=spec.tie_embeddings, bias=False))
