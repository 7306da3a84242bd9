"""Contrastive divergence: one Boltzmann machine of a stack is trained on what it reads (Hinton 2002, Neural Computation
14), or against chains that are never started anew (Tieleman 2008, ICML)."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.boltzmann_machine import BoltzmannMachine
from clearhead.layers.embeddings import BagOfWords, first_word
from clearhead.layers.pooling import first, first_places
from clearhead.models.states import States
from clearhead.objectives.loss import Loss, asked_places
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

VISIBLE = "visible"
ASKING: frozenset[str] = frozenset({"layer", "steps", "persistent"})  # the fields that change what is asked


class Spec(SpecModel):
    """`layer` of the stack is trained, from 0, on what those below it, untouched, make of the text; `steps` is k.

    `persistent`: the negative phase goes on from `chains` fantasies of its own instead of from the data.
    """

    layer: int = Field(default=0, ge=0)
    steps: int = Field(default=1, ge=1)
    persistent: bool = False
    chains: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _chains_persist(self) -> Spec:
        if not self.persistent and self.chains != type(self).model_fields["chains"].default:
            raise ValueError("chains go on from step to step only where persistent is true; set it, or take chains out")
        return self


class ContrastiveDivergence(nn.Module):
    """F(v_0) - F(v_k) summed over sequences, v_k k Gibbs steps away from v_0 and held fixed: its gradient is minus the
    CD-k update (Hinton 2002, eq. 5), with p(h | v) in place of h at both ends, as in Hinton 2010, section 3.

    v_0 is what the machine reads: the text, or the probabilities of the machine below (Hinton et al. 2006). With chains
    v_k is theirs, weighted to as many as the sequences, and they go on in training alone. A sequence that has a word is
    one label, at its first token. The total may be negative, and is no likelihood. `each` are nats of a sequence: for
    bernoulli units minus the pseudo-log-likelihood, all of it in evaluation and an unbiased guess from one unit a
    sequence in training (both as scikit-learn's `BernoulliRBM.score_samples`, with the sign turned); for other units,
    which have none in closed form, -log p(v | h) at h = p(h = 1 | v), and that is no likelihood either.
    """

    asks = (VISIBLE,)

    def __init__(
        self, spec: Spec, machine: BoltzmannMachine, bag: BagOfWords | None, *, above: int, first_id: int
    ) -> None:
        super().__init__()
        self.spec = spec
        self.machine = machine
        self.bag = bag
        self.above = above  # how many layers of the stack lie above the machine
        self.first_id = first_id
        self.chains: Tensor | None
        hidden = machine.visible_bias.new_zeros(spec.chains, machine.layer.linear.out_features)
        self.register_buffer("chains", hidden if spec.persistent else None)

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Label `visible` (N,): 0 at the first token of every sequence that has a word. Draws nothing."""
        layout = batch.layout
        words = (layout.real & (batch.token_ids >= self.first_id)).long()  # (N,)
        found = words.new_zeros(len(layout.sizes)).index_add(0, layout.sequence_ids, words)
        labels = torch.full_like(batch.token_ids, NOT_ASKED)
        labels[first_places(layout)[found > 0]] = 0
        return replace(batch, labels={**batch.labels, VISIBLE: labels})

    def loss(self, states: States, batch: Batch) -> Loss:
        """The difference of free energies, over the sequences that are asked. Gibbs steps draw from torch's default
        generator."""
        layout = batch.layout
        chosen = layout.sequence_ids[asked_places(batch.labels[VISIBLE])]  # (n,)
        v = self._visible(states, batch)
        if self.bag is not None:
            v = v.index_select(0, chosen)  # (n, I)
        data, fantasy = self.machine.free_energy(v, layout), self._fantasy_energy(v, layout)
        with torch.no_grad():
            each = self._nats(v, layout)
        if self.bag is None:
            data, fantasy, each = (_by_sequence(x, layout).index_select(0, chosen) for x in (data, fantasy, each))
        return Loss(data.sum() - fantasy.sum(), torch.tensor(len(chosen), device=v.device), each)

    def _visible(self, states: States, batch: Batch) -> Tensor:
        """What the machine reads: (B, I), or (N, I) where its rows are tokens. No gradient goes below it."""
        if self.spec.layer > 0:
            below = states.layers[-self.above - 2].detach()
            return below if self.bag is None else first(below, batch.layout)
        dtype = self.machine.visible_bias.dtype
        if self.bag is None:
            return F.one_hot(batch.token_ids, self.machine.layer.input_size).to(dtype)
        bags: Tensor = self.bag(batch.token_ids, batch.layout, dtype)
        return bags

    def _fantasy_energy(self, v: Tensor, layout: Layout) -> Tensor:
        """F(v_k) of each row."""
        with torch.no_grad():
            start = self.machine.sample_hidden(v, layout) if self.chains is None else self.chains
            fantasy, hidden = self.machine.gibbs(start, layout, self.spec.steps)
            if self.chains is not None and self.training:
                self.chains.copy_(hidden)
        share = 1.0 if self.chains is None else len(v) / len(fantasy)
        return share * self.machine.free_energy(fantasy, layout)

    def _nats(self, v: Tensor, layout: Layout) -> Tensor:
        if self.machine.units != "bernoulli" or self.bag is None:
            return self.machine.reconstruction_nats(v, layout)
        if not self.training:
            return self.machine.pseudo_nats(v, layout)
        unit = torch.randint(v.shape[1], (len(v), 1), device=v.device)
        return v.shape[1] * self.machine.conditional_nats(v, layout, unit)[:, 0]


def _by_sequence(x: Tensor, layout: Layout) -> Tensor:
    """(N,) -> (B,): the sum over each sequence's real tokens."""
    return x.new_zeros(len(layout.sizes)).index_add(0, layout.sequence_ids, x * layout.real)


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> ContrastiveDivergence:
    """The objective for one machine of a trunk that is a stack of them. Raises `InputError` for other trunks."""
    machines = [part for part in model.modules() if isinstance(part, BoltzmannMachine)]
    if not machines:
        raise InputError("objective.name: contrastive_divergence trains Boltzmann machines; set model.name to rbm")
    if spec.layer >= len(machines):
        raise InputError(f"objective.layer: {spec.layer} is not one of the stack's {len(machines)}, numbered from 0")
    bag = next((part for part in model.modules() if isinstance(part, BagOfWords)), None)
    if spec.persistent and bag is None:
        raise InputError(
            "objective.persistent: chains go on between texts of one size, and the convolutional kind reads texts of "
            "any; set it to false, or model.kind to dense"
        )
    machine, above = machines[spec.layer], len(machines) - 1 - spec.layer
    return ContrastiveDivergence(spec, machine, bag, above=above, first_id=first_word(inventory.vocabulary))
