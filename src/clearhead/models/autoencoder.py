"""A stack of encoding layers over a text's bag of words or over its tokens, which `reconstruction` trains to be undone
(Hinton & Salakhutdinov 2006, Science 313; Vincent et al. 2010, JMLR 11)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.layers.activations import ACTIVATIONS
from clearhead.layers.embeddings import BagOfWords
from clearhead.layers.initialization import built, initialize_embeddings, initialize_transformer
from clearhead.layers.two_way import TwoWay
from clearhead.models.fields import Activation
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory


class Spec(SpecModel):
    """`hidden_sizes` are those of the layers, the first one first, all with the activation `hidden_act`.

    `kind` "dense": layers of a sequence's bag of words, whose `input` is binary, counts or log_counts; special tokens
    are not counted. "convolutional": layers over windows of `kernel_size` tokens, from embeddings `embedding_size` wide
    that start from N(0, 1).
    """

    kind: Literal["dense", "convolutional"] = "dense"
    hidden_sizes: tuple[int, ...] = Field(default=(128, 64), min_length=1)
    hidden_act: Activation = "sigmoid"
    input: Literal["binary", "counts", "log_counts"] = "binary"
    embedding_size: int = Field(default=64, ge=1)
    kernel_size: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _fields_of_this_kind(self) -> Spec:
        check_stack(self.kind, self.hidden_sizes, self.kernel_size)
        for field in ("embedding_size", "kernel_size") if self.kind == "dense" else ("input",):
            if getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(f"{field} has no meaning where kind is {self.kind}; take it out")
        return self


def check_stack(kind: str, hidden_sizes: Sequence[int], kernel_size: int) -> None:
    """Raises `ValueError` for layers without units, and for windows without a middle."""
    if min(hidden_sizes) < 1:
        raise ValueError("hidden_sizes must all be at least 1")
    if kind == "convolutional" and kernel_size % 2 == 0:
        raise ValueError(f"kernel_size {kernel_size} has no token in its middle; take {kernel_size + 1}")


class Autoencoder(nn.Module):
    """`Batch` -> `States` (N, D): the code of each sequence at each of its tokens, or each token's own code.

    `layers` are the codes of the `stack`, after the embeddings where there are some. `bag` (dense) or `token_embedding`
    (convolutional) is what the first layer reads.
    """

    def __init__(self, bag: BagOfWords | None, token_embedding: nn.Embedding | None, stack: list[TwoWay]) -> None:
        super().__init__()
        self.sees_ahead = True
        self.width = stack[-1].linear.out_features
        self.bag = bag
        if token_embedding is not None:
            self.token_embedding = token_embedding
        self.stack = nn.ModuleList(stack)

    def forward(self, batch: Batch) -> States:
        layout = batch.layout
        x = self.visible(batch)
        layers = [x] if self.bag is None else []
        for layer in self.stack:
            x = layer(x, layout)
            layers.append(x if self.bag is None else x.index_select(0, layout.sequence_ids))
        return States(layers[-1], layout, tuple(layers))

    def visible(self, batch: Batch) -> Tensor:
        """What the first layer reads: bags (B, V'), or embedded tokens (N, E)."""
        if self.bag is None:
            embedded: Tensor = self.token_embedding(batch.token_ids)
            return embedded
        bags: Tensor = self.bag(batch.token_ids, batch.layout, next(self.stack.parameters()).dtype)
        return bags


def build(spec: Spec, inventory: Inventory) -> Autoencoder:
    """The stack for the words of `inventory`. No part of it depends on its `max_length`."""
    model: Autoencoder = built(functools.partial(_assembled, spec, inventory), _initialize)
    return model


def _assembled(spec: Spec, inventory: Inventory) -> Autoencoder:
    dense = spec.kind == "dense"
    bag = BagOfWords(inventory.vocabulary, spec.input) if dense else None
    embedding = None if dense else nn.Embedding(inventory.vocabulary.size, spec.embedding_size)
    widths = [bag.width if bag is not None else spec.embedding_size, *spec.hidden_sizes]
    window = 1 if dense else spec.kernel_size
    return Autoencoder(
        bag,
        embedding,
        [
            TwoWay(below, above, ACTIVATIONS[spec.hidden_act](), window=window)
            for below, above in itertools.pairwise(widths)
        ],
    )


def _initialize(model: nn.Module, seed: int) -> None:
    initialize_transformer(model, seed, std=1.0, matrices="xavier")
    initialize_embeddings(model, seed, std=1.0)
