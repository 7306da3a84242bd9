"""The Transformer trunk that encoder and decoder share: they differ in what a token may see."""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.layers.activations import ACTIVATIONS
from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.feedforward import FeedForward
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.layers.masks import Mask
from clearhead.layers.normalization import NORMS
from clearhead.layers.positions import POSITIONS, Positions
from clearhead.layers.transformer import Block
from clearhead.models.fields import Activation, AttentionScale, Norm, Position, check_heads
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory


class TransformerSpec(SpecModel):
    """What may be chosen of a Transformer, under Hugging Face's names where there are some.

    `norm` is every norm of the trunk; a pre-norm trunk ends with one more. `embedding_norm` adds BERT's after the
    embeddings. `attention_scale`: scores times 1/sqrt(d_k), or plain. `fused` False computes attention in the open:
    weights that can be watched, second derivatives. `intermediate_size` left out is 4 * `hidden_size`.
    `dropout` falls on the embeddings and on each sublayer's output (Vaswani et al. 2017, 5.4).
    """

    hidden_size: int = Field(default=64, ge=1)
    num_hidden_layers: int = Field(default=2, ge=0)
    num_attention_heads: int = Field(default=4, ge=1)
    intermediate_size: int | None = Field(default=None, ge=1)
    hidden_act: Activation = "gelu"
    norm: Norm = "layer"
    norm_eps: float = Field(default=1e-5, gt=0)
    norm_place: Literal["pre", "post"] = "pre"
    embedding_norm: bool = False
    positions: Position = "learned"
    attention_scale: AttentionScale = "scaled"
    fused: bool = True
    type_vocab_size: int = Field(default=0, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    initializer_range: float = Field(default=0.02, gt=0)

    @model_validator(mode="after")
    def _heads_fit(self) -> TransformerSpec:
        check_heads(self.hidden_size, self.num_attention_heads, self.positions)
        return self


class Transformer(nn.Module):
    """`Batch` -> `States` (N, D): embeddings (token + position + type), then blocks, then a last norm if pre-norm."""

    def __init__(
        self,
        token_embedding: nn.Embedding,
        *,
        position_embedding: nn.Module | None,
        token_type_embedding: nn.Embedding | None,
        embedding_norm: nn.Module | None,
        blocks: list[Block],
        final_norm: nn.Module | None,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width = token_embedding.embedding_dim
        self.token_embedding = token_embedding
        self.position_embedding = position_embedding
        self.token_type_embedding = token_type_embedding
        self.embedding_norm = embedding_norm
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = final_norm

    def forward(self, batch: Batch) -> States:
        layout = batch.layout
        x = self._embedded(batch)
        layers = [x]
        for block in self.blocks:
            x = block(x, layout)
            layers.append(x)
        hidden = x if self.final_norm is None else self.final_norm(x, layout)
        return States(hidden, layout, tuple(layers))

    def _embedded(self, batch: Batch) -> Tensor:
        x: Tensor = self.token_embedding(batch.token_ids)  # (N, D)
        if self.position_embedding is not None:
            x = self.position_embedding(x, batch.layout)
        if self.token_type_embedding is not None:
            types = batch.token_type_ids
            x = x + (self.token_type_embedding.weight[0] if types is None else self.token_type_embedding(types))
        elif batch.token_type_ids is not None:
            raise InputError("the batch has token types, and this model has none; set model.type_vocab_size")
        if self.embedding_norm is not None:
            x = self.embedding_norm(x, batch.layout)
        dropped: Tensor = self.dropout(x)
        return dropped


def build_transformer(spec: TransformerSpec, mask: Mask, inventory: Inventory) -> Transformer:
    """The trunk of `spec` whose tokens see what `mask` lets them."""
    make = functools.partial(_assembled, spec, mask, inventory)
    model: Transformer = built(make, functools.partial(initialize_transformer, std=spec.initializer_range))
    return model


def _assembled(spec: TransformerSpec, mask: Mask, inventory: Inventory) -> Transformer:
    width = spec.hidden_size
    make_norm = functools.partial(NORMS[spec.norm], width, eps=spec.norm_eps)
    positions = POSITIONS[spec.positions](width, spec.num_attention_heads, inventory.max_length)
    return Transformer(
        nn.Embedding(inventory.vocabulary.size, width),
        position_embedding=positions.added,
        token_type_embedding=nn.Embedding(spec.type_vocab_size, width) if spec.type_vocab_size else None,
        embedding_norm=make_norm() if spec.embedding_norm else None,
        blocks=[_block(spec, mask, positions) for _ in range(spec.num_hidden_layers)],
        final_norm=make_norm() if spec.norm_place == "pre" else None,
        dropout=spec.dropout,
    )


def _block(spec: TransformerSpec, mask: Mask, positions: Positions) -> Block:
    width = spec.hidden_size
    attention = MultiHeadAttention(
        width,
        spec.num_attention_heads,
        mask=mask,
        scale=None if spec.attention_scale == "scaled" else 1.0,
        fused=spec.fused,
        rotation=positions.rotation,
        bias=positions.bias,
    )
    feedforward = FeedForward(width, spec.intermediate_size or 4 * width, ACTIVATIONS[spec.hidden_act]())
    make_norm = functools.partial(NORMS[spec.norm], width, eps=spec.norm_eps)
    return Block(attention, feedforward, make_norm, norm_place=spec.norm_place, dropout=spec.dropout)
