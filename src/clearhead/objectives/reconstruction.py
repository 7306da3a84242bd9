"""Reconstruction: a stack of layers makes a code, and the text is to be found again from the code, plain or from a text
with holes (Vincent et al. 2008, ICML; 2010, JMLR 11)."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.embeddings import BagOfWords, first_word
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.layers.pooling import first
from clearhead.layers.two_way import TwoWay
from clearhead.models.states import States
from clearhead.objectives.decoder import INITIAL_STD, embedding_matrix, tie
from clearhead.objectives.loss import Loss, asked_places, token_loss
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

WORDS = "words"
ASKING: frozenset[str] = frozenset({"layer", "noise", "loss"})  # the fields that change what is asked


class Spec(SpecModel):
    """`layer` None: the whole stack is undone, from its code to the text. A number, from 0: that layer alone is trained
    to be undone, on what those below it, untouched, make of the text (greedy, layer by layer: Bengio et al. 2007).

    `noise` is the share that is hidden from the encoder: words of the bag, or tokens, or, above layer 0, numbers of the
    code below, these in training alone. `loss`: `cross_entropy`, of what lies between 0 and 1 (or of a token), or
    `squared`, half the squared distance. `tie_weights`: the way down has the matrices of the way up.
    """

    layer: int | None = Field(default=None, ge=0)
    noise: float = Field(default=0.0, ge=0, lt=1)
    loss: Literal["cross_entropy", "squared"] = "cross_entropy"
    tie_weights: bool = True


class Reconstruction(nn.Module):
    """-log p(text | code), over sequences that have a word. Each of their words is asked, by its id, as label `words`.

    From a bag of words x the nats of a sequence are -sum_j x_j log y_j + (1 - x_j) log (1 - y_j), y = sigmoid(W'h + b')
    (Vincent et al. 2010, eq. 5), or |x - W'h - b'|^2 / 2, those of a density of variance 1 without its constant; spread
    evenly over its words. From tokens they are -log p(token) at each word. Above layer 0 the code below is x.
    """

    asks = (WORDS,)

    def __init__(self, spec: Spec, vocabulary: Vocabulary, bag: BagOfWords | None) -> None:
        super().__init__()
        self.spec = spec
        self.vocabulary = vocabulary
        self.bag = bag
        self.layers = nn.ModuleList()  # those of the stack that are undone, the lowest first
        self.above = 0  # how many layers of the stack lie above them
        self.biases = nn.ParameterList()  # of the way down where its matrices are those of the way up
        self.decoders = nn.ModuleList()  # the way down where it has its own
        self.decoder: nn.Linear | None = None  # from embeddings to tokens

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Labels `words` (N,), the ids of all tokens but special ones, and token ids in which some words are hidden.

        A number is drawn for each real token, in order. In a bag a word is hidden with all its places in the sequence,
        by the number of the first of them.
        """
        real = batch.layout.real
        token_ids, sequence_ids = batch.token_ids[real], batch.layout.sequence_ids[real]  # (n,)
        words = token_ids >= first_word(self.vocabulary)
        labels = torch.full_like(batch.token_ids, NOT_ASKED)
        labels[real] = token_ids.masked_fill(~words, NOT_ASKED)
        hidden = batch.token_ids.clone()
        if self.spec.noise and not self.spec.layer:
            draws = torch.rand(len(token_ids), generator=generator, dtype=torch.float64).to(token_ids.device)
            if self.bag is not None:
                draws = draws[_first_places(sequence_ids * self.vocabulary.size + token_ids)]
            hidden[real] = token_ids.masked_fill(words & (draws < self.spec.noise), self.vocabulary.mask)
        return replace(batch, token_ids=hidden, labels={**batch.labels, WORDS: labels})

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of each word that is asked. Noise above layer 0 draws from torch's default generator."""
        labels, layout = batch.labels[WORDS], batch.layout
        asked = asked_places(labels)
        if self.spec.layer:
            below = self._rows(states.layers[-self.above - 2], layout).detach()
            undone = self._undone(self.layers[0](self._with_holes(below), layout), layout)
            return _shared_out(self._nats(undone, below), asked, layout, by_sequence=self.bag is not None)
        undone = self._undone(self._rows(states.layers[-self.above - 1], layout), layout)
        if self.bag is not None:
            bags = self.bag(labels, layout, undone.dtype)
            return _shared_out(self._nats(undone, bags), asked, layout, by_sequence=True)
        undone = undone.index_select(0, asked)
        return token_loss(undone if self.decoder is None else self.decoder(undone), labels[asked])

    def _rows(self, x: Tensor, layout: Layout) -> Tensor:
        """(N, D) -> what the stack works on: a row a sequence (B, D), or the tokens as they are."""
        return x if self.bag is None else first(x, layout)

    def _with_holes(self, x: Tensor) -> Tensor:
        if not self.training or self.spec.noise == 0:
            return x
        return x * (torch.rand_like(x) >= self.spec.noise)

    def _undone(self, h: Tensor, layout: Layout) -> Tensor:
        """From the code (n, O) down to the scores of what the lowest of the layers read (n, I)."""
        layers = [layer for layer in self.layers if isinstance(layer, TwoWay)]
        for number in reversed(range(len(layers))):
            if self.spec.tie_weights:
                h = layers[number].down(h, layout) + self.biases[number]
            else:
                h = self.decoders[number](h, layout)
            if number:
                h = layers[number - 1].activation(h)
        return h

    def _nats(self, scores: Tensor, target: Tensor) -> Tensor:
        """-log p(target) of each row (n,)."""
        if self.spec.loss == "squared":
            return 0.5 * (scores - target).square().sum(-1)
        return F.binary_cross_entropy_with_logits(scores, target, reduction="none").sum(-1)


def _shared_out(nats: Tensor, asked: Tensor, layout: Layout, *, by_sequence: bool) -> Loss:
    """The loss of `nats` that are a token's (N,), or a sequence's (B,) and spread evenly over its asked tokens."""
    if by_sequence:
        owners = layout.sequence_ids[asked]
        nats, asked = nats / owners.bincount(minlength=len(nats)).clamp(min=1), owners
    each = nats.index_select(0, asked)
    return Loss(each.sum(), torch.tensor(len(each), device=each.device), each)


def _first_places(keys: Tensor) -> Tensor:
    """For each key (n,) the first place at which it stands."""
    distinct, kinds = torch.unique(keys, return_inverse=True)
    places = torch.arange(len(keys), device=keys.device)
    first_of = places.new_full((len(distinct),), len(keys)).scatter_reduce(0, kinds, places, "amin")
    return first_of[kinds]


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> Reconstruction:
    """The way down for a trunk that is a stack of layers. Raises `InputError` where it is none, and where what is to be
    found again does not fit the loss."""
    stack = [part for part in model.modules() if isinstance(part, TwoWay)]
    if not stack:
        raise InputError("objective.name: reconstruction undoes a stack of layers; set model.name to autoencoder")
    if spec.layer is not None and spec.layer >= len(stack):
        raise InputError(f"objective.layer: {spec.layer} is not one of the stack's {len(stack)}, numbered from 0")
    bag = next((part for part in model.modules() if isinstance(part, BagOfWords)), None)
    _check_loss(spec, bag, stack)
    layers = stack if spec.layer is None else [stack[spec.layer]]
    make = functools.partial(_assembled, spec, inventory.vocabulary, bag, layers, model)
    head: Reconstruction = built(make, functools.partial(initialize_transformer, std=INITIAL_STD, matrices="xavier"))
    head.layers.extend(layers)  # after the initial values, which are not theirs
    head.above = 0 if spec.layer is None else len(stack) - 1 - spec.layer
    if head.decoder is not None and spec.tie_weights:
        tie(head.decoder, embedding_matrix(model))
    return head


def _assembled(
    spec: Spec, vocabulary: Vocabulary, bag: BagOfWords | None, layers: list[TwoWay], model: nn.Module
) -> Reconstruction:
    head = Reconstruction(spec, vocabulary, bag)
    if spec.tie_weights:
        head.biases.extend(nn.Parameter(torch.zeros(layer.input_size)) for layer in layers)
    else:
        head.decoders.extend(_mirrored(layer) for layer in layers)
    if not spec.layer and hasattr(model, "token_embedding"):
        head.decoder = nn.Linear(layers[0].input_size, vocabulary.size)
    return head


def _mirrored(layer: TwoWay) -> TwoWay:
    return TwoWay(layer.linear.out_features, layer.input_size, nn.Identity(), window=layer.window)


def _check_loss(spec: Spec, bag: BagOfWords | None, stack: list[TwoWay]) -> None:
    """Raises `InputError` for a cross-entropy of what is not between 0 and 1, and for a distance between tokens."""
    if spec.loss == "squared":
        if bag is None and not spec.layer:
            raise InputError("objective.loss: tokens have no distance; set it to cross_entropy")
        return
    if spec.layer:
        if not isinstance(stack[spec.layer - 1].activation, nn.Sigmoid):
            raise InputError(
                "objective.loss: a cross_entropy needs codes between 0 and 1; set it to squared, or the layers' "
                "model.hidden_act to sigmoid"
            )
    elif bag is not None and not bag.binary:
        raise InputError(
            "objective.loss: a cross_entropy needs bags of 0 and 1, and this model reads counts; set it to squared"
        )
