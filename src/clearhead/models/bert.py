"""BERT: an encoder whose tokens see both sides at every layer (Devlin et al. 2018, arXiv:1810.04805).

Every sublayer is followed by its norm, so are the embeddings; heads for whole sequences read the pooled first token.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from clearhead.batches.batch import Batch, Item, collate
from clearhead.batches.inputs import Rows, from_rows
from clearhead.errors import InputError
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.layers.masks import full
from clearhead.layers.pooling import Pooler
from clearhead.layers.positions import LearnedPositions
from clearhead.models.fields import (
    AttentionScore,
    FeedForwardActivation,
    Initialization,
    Norm,
    Position,
    Rate,
    Size,
    check_heads,
    check_score,
)
from clearhead.models.states import States
from clearhead.models.transformer import Transformer, TransformerSpec, assembled
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

ENGINE_NAMES = {
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "layer_norm_eps": "norm_eps",
}


class Spec(SpecModel):
    """BERT's fields under Hugging Face's names, at BERT's values but for the first three, which are small enough to be
    trained anywhere: BERT-base has width 768, 12 layers and 12 heads. It has as many positions as the data needs.

    `intermediate_size` left out is 4 * `hidden_size`. From `norm` on: what a Transformer may do otherwise, as in
    `TransformerSpec`.
    """

    hidden_size: Size = 64
    num_hidden_layers: int = Field(default=2, ge=0)
    num_attention_heads: Size = 4
    intermediate_size: Size | None = None
    hidden_act: FeedForwardActivation = "gelu"
    hidden_dropout_prob: Rate = 0.1
    attention_probs_dropout_prob: Rate = 0.1
    type_vocab_size: int = Field(default=2, ge=0)
    layer_norm_eps: float = Field(default=1e-12, gt=0)
    initializer_range: float = Field(default=0.02, gt=0)
    norm: Norm = "layer"
    norm_place: Literal["pre", "post"] = "post"
    embedding_norm: bool = True
    positions: Position = "learned"
    scale_embedding: bool | None = None
    attention_score: AttentionScore = "scaled"
    attention_temperature: float | None = Field(default=None, gt=0)
    fused: bool = True
    residual: bool = True
    layer_dropout: Rate = 0.0
    initialization: Initialization = "normal"

    @model_validator(mode="after")
    def _fits(self) -> Spec:
        check_heads(self.hidden_size, self.num_attention_heads, self.positions)
        check_score(self.attention_score, self.positions)
        return self

    def as_transformer(self) -> TransformerSpec:
        """The same under the engine's names."""
        return TransformerSpec(**{ENGINE_NAMES.get(name, name): value for name, value in self.model_dump().items()})


class Bert(nn.Module):
    """`Batch` -> `States` (N, D): x = LN(token + position + type), then blocks x = LN(x + f(x)) of attention and
    feed-forward. `pooler`, tanh(W h_1 + b), is the way from the states to a head that judges a whole sequence."""

    def __init__(self, encoder: Transformer, pooler: Pooler, pad: int) -> None:
        super().__init__()
        self.sees_ahead = True
        self.width = encoder.width
        self.pad = pad
        self.encoder = encoder
        self.pooler = pooler

    @property
    def token_embedding(self) -> nn.Embedding:
        """The matrix (V, D) that a masked language model's head is tied to."""
        return self.encoder.token_embedding

    def forward(self, batch: Batch) -> States:
        states: States = self.encoder(batch)
        return states


def build(spec: Spec, inventory: Inventory) -> Bert:
    """BERT for the token ids of `inventory` and sequences of at most its `max_length` tokens."""
    make = functools.partial(_assembled, spec, inventory)
    model: Bert = built(make, functools.partial(_initialize, spec))
    return model


def _assembled(spec: Spec, inventory: Inventory) -> Bert:
    encoder = assembled(spec.as_transformer(), full(), inventory)
    return Bert(encoder, Pooler(spec.hidden_size), inventory.vocabulary.pad)


def _initialize(spec: Spec, model: Bert, seed: int) -> None:
    """Part by part, so that the encoder starts as `transformer_encoder` does under the same seed."""
    for part in (model.encoder, model.pooler):
        initialize_transformer(part, seed, std=spec.initializer_range, matrices=spec.initialization)


def read_inputs(
    model: Bert,
    input_ids: Rows,
    attention_mask: Rows | None = None,
    token_type_ids: Rows | None = None,
    position_ids: Rows | None = None,
    *,
    packed: bool = True,
) -> Batch:
    """The batch of rows (B, T) that `model` can read, or an `InputError` that names what is wrong with them.

    Defaults are those of `from_rows`. In float32 a row with its mask gives the states of the row alone to 1e-6 of
    their size, however many pads stand behind it. Rows that hold pads and come without a mask are refused, with the
    greatest error that their tokens' states would have had; whoever means it gives a mask of ones.
    """
    batch = from_rows(input_ids, attention_mask, token_type_ids, position_ids, packed=packed, pad=model.pad)
    _check_ranges(model, batch)
    if attention_mask is None:
        _check_pads(model, batch)
    return batch


def _check_ranges(model: Bert, batch: Batch) -> None:
    """Raises where the model has no such token, token type or position."""
    types, positions = model.encoder.token_type_embedding, model.encoder.position_embedding
    token_ids = batch.layout.take_real(batch.token_ids)
    _check_ids("input_ids", token_ids, model.token_embedding.num_embeddings, "token ids")
    if batch.token_type_ids is not None:
        type_ids = batch.layout.take_real(batch.token_type_ids)
        _check_ids("token_type_ids", type_ids, 0 if types is None else types.num_embeddings, "token types")
    if isinstance(positions, LearnedPositions) and batch.layout.longest > positions.table.num_embeddings:
        raise InputError(
            f"input_ids: a row of {batch.layout.longest} tokens is longer than the {positions.table.num_embeddings} "
            "positions of this model; cut it, or split it into several rows"
        )


def _check_ids(name: str, ids: torch.Tensor, size: int, what: str) -> None:
    wrong = ids[(ids < 0) | (ids >= size)]
    if len(wrong):
        offered = f"0..{size - 1}" if size else "none"
        raise InputError(f"{name}: {int(wrong[0])} is not one of this model's {what}, {offered}")


def _check_pads(model: Bert, batch: Batch) -> None:
    """Raises where pads would be read as tokens."""
    pads = batch.token_ids == model.pad
    if not pads.any():
        return
    sizes = batch.layout.sizes
    kept = [row[row != model.pad] for row in torch.split(batch.token_ids, sizes)]
    empty = [number for number, row in enumerate(kept) if not len(row)]
    if empty:
        raise InputError(f"input_ids: row {empty[0]} holds pads only (id {model.pad}); leave that row out")
    raise InputError(
        f"attention_mask: it is missing, and {int(pads.sum())} pads (id {model.pad}) would be read as tokens, so that "
        f"the states of the real ones would be off by up to {_error_of_no_mask(model, batch, pads):.2g}; give 1 at "
        "tokens and 0 at pads"
    )


@torch.no_grad()
def _error_of_no_mask(model: Bert, batch: Batch, pads: torch.Tensor) -> float:
    """The greatest difference of a real token's last state (any feature) between reading the pads and not."""
    sizes = batch.layout.sizes
    types = torch.zeros_like(batch.token_ids) if batch.token_type_ids is None else batch.token_type_ids
    rows = zip(*(torch.split(stream, sizes) for stream in (batch.token_ids, types, ~pads)), strict=True)
    alone = collate([Item(ids[real], kinds[real]) for ids, kinds, real in rows], packed=True)
    if batch.token_type_ids is None:
        alone = replace(alone, token_type_ids=None)
    training = model.training
    model.eval()
    wrong, right = (model(read).hidden for read in (batch, alone))
    model.train(training)
    return float((wrong[~pads] - right).abs().max())
