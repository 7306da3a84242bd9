"""Tagging with a hidden Markov model: words and labels together, by joint likelihood; unlabelled words too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.errors import InputError
from clearhead.layers.structured import Chain, keep
from clearhead.models.states import States
from clearhead.objectives.chains import (
    TAGS,
    Decoding,
    agreeing,
    asked_tags,
    check_tags,
    decoded,
    impossible,
    known_weight,
    shared_out,
)
from clearhead.objectives.loss import Loss, asked_places
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

WHY = (
    "no path of states reaches this token: by the start, transition and emission probabilities (and the labels, if "
    "there are any) the sequence up to here is impossible; train with smoothing, or start from probabilities above 0"
)

ASKING: frozenset[str] = frozenset()  # the fields that change what is asked


class Spec(SpecModel):
    """`decoding`: "viterbi", the likeliest tagging; "posterior", the likeliest label of each token by itself."""

    decoding: Decoding = "viterbi"


class GenerativeTagging(nn.Module):
    """-log p(words, labels) a sentence under the trunk's start, transition and emission probabilities (Rabiner 1989,
    eq. 13-19); where labels are not known (-1), summed over them: -log p(words, what is known).

    So labelled text is counted, unlabelled text is a language model's, and a text of both is semi-supervised (Merialdo
    1994). A label -100 takes its token out, word and all, as if never written.
    """

    asks = (TAGS,)

    def __init__(self, spec: Spec, start: nn.Parameter, transition: nn.Parameter) -> None:
        super().__init__()
        self.spec = spec
        self.start = start
        self.transition = transition

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The labels `tags` (N,) that the batch has; without them, every token's state is asked and none is known.

        Draws nothing. Raises `InputError` for labels that are no state.
        """
        tags = asked_tags(batch)
        check_tags(batch, tags, len(self.start))
        return replace(batch, labels={**batch.labels, TAGS: tags})

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of each sentence in equal shares. Raises `InputError` for a sentence that is impossible, and where."""
        labels = batch.labels[TAGS]
        chain, tags = self.chain(states, batch), labels[asked_places(labels)]
        known = known_weight(chain, tags)
        if bool((known == -torch.inf).any()):
            raise impossible(agreeing(chain, tags), labels, batch.layout, WHY)
        return shared_out(-known, chain.layout)

    def chain(self, states: States, batch: Batch) -> Chain:
        """log p(words, states) of the asked tokens (all, where the batch has no `tags`), packed, for
        `layers.structured` to ask: its `marginals`, `n_best`, `sample`."""
        chain = Chain(states.hidden, self.transition, states.layout, self.start)
        return keep(chain, asked_tags(batch) != NOT_ASKED)

    def answer(self, states: States, batch: Batch) -> list[NDArray[np.int64]]:
        """The states (n,) of each sentence's asked tokens (all, where the batch has no `tags`).

        Raises `InputError` for a sentence that is impossible, and where.
        """
        return decoded(self.chain(states, batch), asked_tags(batch), batch.layout, self.spec.decoding, WHY)


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> GenerativeTagging:
    """The joint likelihood of the HMM `model`, whose parameters it shares. Raises `InputError` for another trunk."""
    if not getattr(model, "distributions", False):
        raise InputError(
            "generative_tagging counts with the probabilities of a hidden Markov model; set model.name to hmm, or take "
            "the objective tagging"
        )
    return GenerativeTagging(spec, model.get_parameter("start"), model.get_parameter("transition"))
