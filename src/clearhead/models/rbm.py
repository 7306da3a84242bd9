"""A stack of restricted Boltzmann machines over a text's bag of words or over its tokens, which
`contrastive_divergence` trains one by one (Hinton et al. 2006, Neural Computation 18: a deep belief network's way up).
"""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch
from clearhead.layers.boltzmann_machine import BoltzmannMachine, Units
from clearhead.layers.embeddings import BagOfWords
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.layers.two_way import TwoWay
from clearhead.models.autoencoder import check_stack
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

WEIGHTING = {"bernoulli": "binary", "gaussian": "log_counts"}
INITIAL_STD = 0.01  # Hinton 2010, "A practical guide to training restricted Boltzmann machines", section 8


class Spec(SpecModel):
    """`hidden_sizes` are those of the machines' hidden units, the lowest first; the visible units of a machine are the
    hidden ones of that below it.

    `kind` "dense": the lowest machine's visible units are a sequence's bag of words, `visible` bernoulli units for
    whether a word is there, gaussian ones (of variance 1) for log(1 + how often); special tokens are not counted.
    "convolutional": they are its tokens, one of V each, and weights reach over windows of `kernel_size` tokens.
    """

    kind: Literal["dense", "convolutional"] = "dense"
    hidden_sizes: tuple[int, ...] = Field(default=(128, 64), min_length=1)
    visible: Literal["bernoulli", "gaussian"] = "bernoulli"
    kernel_size: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _fields_of_this_kind(self) -> Spec:
        check_stack(self.kind, self.hidden_sizes, self.kernel_size)
        field = "kernel_size" if self.kind == "dense" else "visible"
        if getattr(self, field) != type(self).model_fields[field].default:
            raise ValueError(f"{field} has no meaning where kind is {self.kind}; take it out")
        return self


class BoltzmannStack(nn.Module):
    """`Batch` -> `States` (N, D): the top machine's p(h = 1), of each sequence at each of its tokens, or of each token.

    Every machine reads the probabilities of that below it. `layers` are those of every machine.
    """

    def __init__(self, bag: BagOfWords | None, vocabulary_size: int, stack: list[BoltzmannMachine]) -> None:
        super().__init__()
        self.sees_ahead = True
        self.width = stack[-1].layer.linear.out_features
        self.bag = bag
        self.vocabulary_size = vocabulary_size
        self.stack = nn.ModuleList(stack)

    def forward(self, batch: Batch) -> States:
        layout = batch.layout
        x = self.visible(batch)
        layers = []
        for machine in self.stack:
            x = machine(x, layout)
            layers.append(x if self.bag is None else x.index_select(0, layout.sequence_ids))
        return States(layers[-1], layout, tuple(layers))

    def visible(self, batch: Batch) -> Tensor:
        """What the lowest machine reads: bags (B, V'), or tokens as one of V (N, V)."""
        dtype = next(self.stack.parameters()).dtype
        if self.bag is None:
            return F.one_hot(batch.token_ids, self.vocabulary_size).to(dtype)
        bags: Tensor = self.bag(batch.token_ids, batch.layout, dtype)
        return bags


def build(spec: Spec, inventory: Inventory) -> BoltzmannStack:
    """The stack for the words of `inventory`: weights from N(0, 0.01^2), biases 0. Its `max_length` plays no part."""
    make = functools.partial(_assembled, spec, inventory)
    model: BoltzmannStack = built(make, functools.partial(initialize_transformer, std=INITIAL_STD))
    return model


def _assembled(spec: Spec, inventory: Inventory) -> BoltzmannStack:
    dense = spec.kind == "dense"
    bag = BagOfWords(inventory.vocabulary, WEIGHTING[spec.visible]) if dense else None
    widths = [inventory.vocabulary.size if bag is None else bag.width, *spec.hidden_sizes]
    lowest: Units = spec.visible if dense else "softmax"
    return BoltzmannStack(
        bag,
        inventory.vocabulary.size,
        [
            BoltzmannMachine(
                TwoWay(widths[i], widths[i + 1], nn.Sigmoid(), window=1 if dense else spec.kernel_size),
                "bernoulli" if i else lowest,
            )
            for i in range(len(spec.hidden_sizes))
        ],
    )
