"""Tagging: a label for every token, each by itself (softmax), or all of a sentence together (CRF, MEMM)."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator, model_validator
from torch import Tensor, nn

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.errors import InputError
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.layers.structured import Chain, keep, log_partition
from clearhead.layers.tag_constraints import constrain, tag_constraints
from clearhead.models.states import States
from clearhead.objectives.chains import (
    TAGS,
    Decoding,
    agreeing,
    asked_tags,
    check_finite,
    check_tags,
    check_tokens,
    decoded,
    impossible,
    known_weight,
    shared_out,
)
from clearhead.objectives.decoder import INITIAL_STD, hidden_width
from clearhead.objectives.loss import Loss, LossSpec, asked_places, token_loss
from clearhead.spec import SpecModel
from clearhead.text.examples import Scheme
from clearhead.text.inventory import Inventory
from clearhead.text.tag_schemes import scheme_named

ASKING: frozenset[str] = frozenset()  # the fields that change what is asked


def _scheme(value: Any) -> Any:
    if value in (None, "", "none", "null"):
        return None
    return scheme_named(value) if isinstance(value, str) else value


class Spec(SpecModel):
    """`output`: "softmax", each label by itself, under `loss`; "crf", the whole tagging under one normalisation;
    "memm", the same scores normalised step by step.

    `scheme` (bio, iob1, bioes, bmes) forbids tags where they cannot stand. A softmax is held to it when it answers. A
    crf or memm has it in its likelihood too, a distribution over the taggings that can be answered, and so spends no
    weight on those that cannot (Papay et al. 2022, arXiv:2106.07306); labels that break the scheme are then refused.

    `decoding`: "viterbi", the likeliest tagging; "posterior", the likeliest label of each token by itself.
    """

    output: Literal["softmax", "crf", "memm"] = "softmax"
    scheme: Annotated[Scheme | None, BeforeValidator(_scheme)] = None
    decoding: Decoding = "viterbi"
    loss: LossSpec = LossSpec()

    @model_validator(mode="after")
    def _what_can_act(self) -> Spec:
        if self.output != "softmax" and self.loss != LossSpec():
            raise ValueError(f"loss is that of labels answered one by one, and a {self.output} answers them together")
        if self.scheme and self.decoding == "posterior":
            raise ValueError("decoding posterior picks each tag by itself and can break the scheme; take viterbi")
        return self


class Tagging(nn.Module):
    """-log p(labels | states) a sentence, from log-potentials: e = head(states) (N, K), and with a crf or memm A[i, j]
    for label j behind label i, at first 0 (Lafferty et al. 2001, eq. 1; Lample et al. 2016, arXiv:1603.01360, eq. 1).

    A label -100 takes its token out, as if never written; -1 is a label that is not known: the likelihood is summed
    over all that it may be (Täckström et al. 2013). A sentence of which nothing is known costs 0.
    """

    asks = (TAGS,)

    def __init__(self, spec: Spec, head: nn.Module, labels: tuple[str, ...], symbols: int) -> None:
        super().__init__()
        self.spec = spec
        self.labels = labels
        self.symbols = symbols
        self.head = head
        self.constraints = tag_constraints(labels, spec.scheme) if spec.scheme else None
        if spec.output != "softmax":
            self.start = nn.Parameter(torch.zeros(len(labels)))
            self.transition = nn.Parameter(torch.zeros(len(labels), len(labels)))
        if spec.output == "crf":
            self.end = nn.Parameter(torch.zeros(len(labels)))

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch as it is: its labels `tags` (N,) are what is asked. Draws nothing.

        Raises `InputError` where they are missing, and for labels and tokens that do not exist.
        """
        if TAGS not in batch.labels:
            raise InputError(f"tagging learns from labels {TAGS!r}; the batch has {', '.join(batch.labels) or 'none'}")
        check_tokens(batch, self.symbols)
        check_tags(batch, batch.labels[TAGS], len(self.labels))
        return batch

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of every asked label; those of a crf's or memm's sentence in equal shares. NaN where the scores are not
        finite. Raises `InputError` where the labels of a sentence break the scheme of a crf or memm."""
        labels = batch.labels[TAGS]
        asked = asked_places(labels)
        if self.spec.output == "softmax":
            return token_loss(self.head(states.hidden.index_select(0, asked)), labels[asked], self.spec.loss)
        scored = self._scored(states, labels)
        if not bool(scored.emissions.sum().isfinite()):
            return shared_out(scored.emissions.new_full((len(scored.layout.sizes),), torch.nan), scored.layout)
        chain, tags = self._modelled(scored), labels[asked]
        known = known_weight(chain, tags)
        if bool((known == -torch.inf).any()):
            why = f"the labels up to here break the scheme {self.spec.scheme}; mend them, or set scheme to none"
            raise impossible(agreeing(chain, tags), labels, batch.layout, why)
        return shared_out(log_partition(chain) - known, chain.layout)

    def chain(self, states: States, batch: Batch) -> Chain:
        """The distribution over taggings of the asked tokens (all, where the batch has no `tags`), packed, for
        `layers.structured` to ask: its `marginals`, `n_best`, `sample`. Raises `InputError` for scores not finite."""
        labels = asked_tags(batch)
        scored = self._scored(states, labels)
        check_finite(scored, labels, batch.layout)
        chain = self._modelled(scored)
        return constrain(chain, self.constraints) if self.constraints and self.spec.output == "softmax" else chain

    def answer(self, states: States, batch: Batch) -> list[NDArray[np.int64]]:
        """The labels (n,) of each sentence's asked tokens (all, where the batch has no `tags`). Raises `InputError` for
        scores that are not finite, and where the scheme allows no tagging."""
        chain, labels = self.chain(states, batch), asked_tags(batch)
        why = f"with these labels the scheme {self.spec.scheme} has no tagging of so many tokens"
        return decoded(chain, labels, batch.layout, self.spec.decoding, why)

    def _scored(self, states: States, labels: Tensor) -> Chain:
        """The scores of the asked tokens, in float64: log Z less a score loses digits in less."""
        emissions = self.head(states.hidden).double()  # (N, K)
        if self.spec.output == "softmax":
            free = emissions.new_zeros(emissions.shape[1], emissions.shape[1])
            return keep(Chain(emissions, free, states.layout), labels != NOT_ASKED)
        end = self.end.double() if self.spec.output == "crf" else None
        chain = Chain(emissions, self.transition.double(), states.layout, self.start.double(), end)
        return keep(chain, labels != NOT_ASKED)

    def _modelled(self, scored: Chain) -> Chain:
        """The chain whose log Z normalises what is trained."""
        if self.spec.output == "softmax":
            return replace(scored, emissions=scored.emissions.log_softmax(1))
        if self.constraints:
            scored = constrain(scored, self.constraints)
        return scored if self.spec.output == "crf" else normalised_step_by_step(scored)


def normalised_step_by_step(chain: Chain) -> Chain:
    """The Markov chain with p(y_t = j | y_{t-1} = i, x) in proportion to exp(transition[i, j] + emissions[t, j])
    (McCallum, Freitag & Pereira 2000, eq. 1): log Z is 0, unless an `end` forbids something.

    Each step shares out all that comes into it, so the scores of later tokens cannot move it: the label bias (Lafferty
    et al. 2001, section 2). Where all steps are equally likely, it is a softmax a token.
    """
    begun = chain.emissions if chain.start is None else chain.emissions + chain.start
    first = (chain.layout.position_ids == 0)[:, None]  # (n, 1)
    steps = chain.transition + chain.emissions[:, None]  # (n, K, K)
    return Chain(begun.log_softmax(1).where(first, 0.0), _shares(steps), chain.layout, None, chain.end)


def _shares(x: Tensor) -> Tensor:
    """The log-softmax over the last dimension; -inf where all of it is."""
    dead = (x == -torch.inf).all(-1, keepdim=True)
    return x.masked_fill(dead, 0.0).log_softmax(-1).masked_fill(dead, -torch.inf)


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> Tagging:
    """The head for the labels of `inventory`: a projection, unless the trunk's states are scores of labels already.

    Raises `InputError` where there are no labels, or `scheme` knows nothing of one.
    """
    labels = inventory.labels
    if not labels:
        raise InputError("tagging needs labels, and the data has none; give words with a tag each")

    def make() -> Tagging:
        scores = bool(getattr(model, "gives_scores", False))
        head = nn.Identity() if scores else nn.Linear(hidden_width(model), len(labels))
        return Tagging(spec, head, labels, inventory.vocabulary.size)

    objective: Tagging = built(make, functools.partial(initialize_transformer, std=INITIAL_STD))
    return objective
