"""ELMo's two directions: one stack reads from the left, one from the right, and their states are joined at the end
(Peters et al. 2018, arXiv:1802.05365, 3.1). The two choices in that sentence, cell and join, can be varied."""

from __future__ import annotations

import functools
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.layers.activations import ACTIVATIONS
from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.feedforward import FeedForward
from clearhead.layers.initialization import built, initialize_embeddings, initialize_lstm, initialize_transformer
from clearhead.layers.masks import ANTICAUSAL, CAUSAL
from clearhead.layers.normalization import LayerNorm
from clearhead.layers.positions import Rotary
from clearhead.layers.recurrent import LSTM
from clearhead.layers.transformer import Block
from clearhead.models.fields import check_heads
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory


class Spec(SpecModel):
    """`hidden_size` is that of one direction; states are twice as wide.

    `directions` "apart" (ELMo): the stacks never meet; "mixed": from the second layer on, both read both, as in a deep
    bidirectional LSTM. `cell` "attention": each layer of a direction is a post-norm Transformer block that sees one
    side, with rotary positions; `num_attention_heads` and `fused` are its own. `residual`: LSTM layers from the second
    on add their input (blocks always do). Embeddings start from N(0, `initializer_range`^2), blocks from N(0, 1 / D).
    """

    hidden_size: int = Field(default=64, ge=1)
    num_hidden_layers: int = Field(default=2, ge=1)
    cell: Literal["lstm", "attention"] = "lstm"
    directions: Literal["apart", "mixed"] = "apart"
    residual: bool = True
    num_attention_heads: int = Field(default=4, ge=1)
    fused: bool = True
    dropout: float = Field(default=0.0, ge=0, lt=1)
    initializer_range: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _heads_fit(self) -> Spec:
        if self.cell == "attention":
            check_heads(self.hidden_size, self.num_attention_heads, "rotary")
        return self


class OneWayBlock(nn.Module):
    """(N, input) -> (N, D): a Transformer block that sees one side, after a projection where widths differ."""

    def __init__(self, input_size: int, block: Block, width: int) -> None:
        super().__init__()
        self.projection = None if input_size == width else nn.Linear(input_size, width)
        self.block = block

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        states: Tensor = self.block(x if self.projection is None else self.projection(x), layout)
        return states


class Elmo(nn.Module):
    """`Batch` -> `States` (N, 2 D), [forward; backward] at every layer; layer 0 is the token's embedding twice."""

    def __init__(
        self,
        token_embedding: nn.Embedding,
        forward_layers: list[nn.Module],
        backward_layers: list[nn.Module],
        *,
        mixed: bool,
        residual: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width = 2 * token_embedding.embedding_dim
        self.token_embedding = token_embedding
        self.forward_layers = nn.ModuleList(forward_layers)
        self.backward_layers = nn.ModuleList(backward_layers)
        self.mixed = mixed
        self.residual = residual
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: Batch) -> States:
        ahead = behind = self.token_embedding(batch.token_ids)  # (N, D) each
        layers = [torch.cat((ahead, behind), dim=-1)]  # (N, 2 D)
        for number, (one, other) in enumerate(zip(self.forward_layers, self.backward_layers, strict=True)):
            mixed = self.mixed and number > 0
            from_left = one(self.dropout(layers[-1] if mixed else ahead), batch.layout)
            from_right = other(self.dropout(layers[-1] if mixed else behind), batch.layout)
            added = self.residual and number > 0
            ahead, behind = (ahead + from_left, behind + from_right) if added else (from_left, from_right)
            layers.append(torch.cat((ahead, behind), dim=-1))
        return States(layers[-1], batch.layout, tuple(layers))


def build(spec: Spec, inventory: Inventory) -> Elmo:
    """The trunk for the token ids of `inventory`. No part of it depends on its `max_length`."""
    make = functools.partial(_assembled, spec, inventory.vocabulary.size)
    model: Elmo = built(make, functools.partial(_initialize, spec))
    return model


def _assembled(spec: Spec, vocabulary_size: int) -> Elmo:
    mixed = spec.directions == "mixed"
    widths = [spec.hidden_size * (2 if mixed and number > 0 else 1) for number in range(spec.num_hidden_layers)]
    layer = _lstm if spec.cell == "lstm" else _block
    return Elmo(
        nn.Embedding(vocabulary_size, spec.hidden_size),
        [layer(spec, width, backward=False) for width in widths],
        [layer(spec, width, backward=True) for width in widths],
        mixed=mixed,
        residual=spec.residual and spec.cell == "lstm",
        dropout=spec.dropout,
    )


def _lstm(spec: Spec, input_size: int, *, backward: bool) -> nn.Module:
    return LSTM(input_size, spec.hidden_size, backward=backward)


def _block(spec: Spec, input_size: int, *, backward: bool) -> nn.Module:
    width = spec.hidden_size
    attention = MultiHeadAttention(
        width,
        spec.num_attention_heads,
        mask=ANTICAUSAL if backward else CAUSAL,
        fused=spec.fused,
        rotation=Rotary(),
    )
    feedforward = FeedForward(width, 4 * width, ACTIVATIONS["gelu"]())
    make_norm = functools.partial(LayerNorm, width)
    block = Block(attention, feedforward, make_norm, norm_place="post", dropout=spec.dropout)
    return OneWayBlock(input_size, block, width)


def _initialize(spec: Spec, model: nn.Module, seed: int) -> None:
    initialize_transformer(model, seed, std=spec.hidden_size**-0.5)
    initialize_lstm(model, seed)
    initialize_embeddings(model, seed, std=spec.initializer_range)
