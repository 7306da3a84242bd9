"""Causal language modelling: every token is asked for from those before it in its own sequence, and, where the trunk
reads one, from its source: translation, too, is asked this way."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.models.states import States
from clearhead.objectives.decoder import INITIAL_STD, embedding_matrix, hidden_width, tie
from clearhead.objectives.loss import Loss, LossSpec, asked_places, token_loss
from clearhead.objectives.shifted import next_tokens
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

NEXT = "next"
ASKING: frozenset[str] = frozenset()  # the fields that change what is asked
WORDS_AT_ONCE = 512  # rows of the projection that stay in a CPU's cache


class Spec(SpecModel):
    """`tie_embeddings`: the vocabulary projection is the token embeddings (Radford et al. 2018, GPT). `loss`: what is
    minimised; held-out numbers are nats whatever it is."""

    tie_embeddings: bool = True
    loss: LossSpec = LossSpec()


class CausalLM(nn.Module):
    """-log p(x[t+1] | h[t]) with logits h W^T, for every t that has a next token in its sequence."""

    asks = (NEXT,)

    def __init__(self, width: int, vocabulary_size: int, loss: LossSpec) -> None:
        super().__init__()
        self.decoder = nn.Linear(width, vocabulary_size, bias=False)
        self.minimised = loss

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Labels `next` (N,): the token after each one, none across the end of a sequence. Draws nothing."""
        return replace(batch, labels={**batch.labels, NEXT: next_tokens(batch)})

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of each asked token; the vocabulary projection is computed only there."""
        labels = batch.labels[NEXT]
        asked = asked_places(labels)
        return token_loss(self.decoder(states.hidden.index_select(0, asked)), labels[asked], self.minimised)

    @torch.no_grad()
    def logits(self, hidden: Tensor) -> Tensor:
        """What a search reads: the states of R rows (R, D) -> the logits of each one's next token (R, V)."""
        if hidden.device.type != "cpu":
            whole: Tensor = self.decoder(hidden)
            return whole
        # Of the few rows that a search has, the product with the whole matrix takes half as long again as by parts.
        weight = self.decoder.weight
        logits = hidden.new_empty(len(hidden), len(weight))
        for words, out in zip(torch.split(weight, WORDS_AT_ONCE), torch.split(logits, WORDS_AT_ONCE, 1), strict=True):
            torch.mm(hidden, words.T, out=out)
        return logits


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> CausalLM:
    """The head for a trunk whose states at t have seen nothing after t. Raises `InputError` for one that sees ahead,
    and where the head is to be tied and cannot, or must be tied and is not."""
    if getattr(model, "sees_ahead", False):
        raise InputError(
            "objective.name: causal_lm asks for the next token, and this model's states have seen it; take a model (or "
            "model.mask, model.bidirectional) that reads from the left, or masked_lm"
        )
    make = functools.partial(CausalLM, hidden_width(model), inventory.vocabulary.size, spec.loss)
    head: CausalLM = built(make, functools.partial(initialize_transformer, std=INITIAL_STD))
    if spec.tie_embeddings:
        tie(head.decoder, embedding_matrix(model))
    elif getattr(model, "reads_off_embeddings", False):
        raise InputError(
            "objective.tie_embeddings: under model.scheduled_sampling the model reads its own words off the token "
            "embeddings, so they must be the projection; set it to true"
        )
    return head
