"""The Transformer trunk that encoder and decoder share: they differ in what a token may see."""

from __future__ import annotations

import functools
import math
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.cache import Cache
from clearhead.layers.cross_attention import CrossAttention, Source
from clearhead.layers.feedforward import feedforward
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.layers.masks import Mask, looks_ahead
from clearhead.layers.normalization import NORMS, BatchNorm, BatchNormPadded, BatchNormPerPosition
from clearhead.layers.positions import POSITIONS, LearnedPositions, Positions, SinusoidalPositions
from clearhead.layers.scores import SCORES
from clearhead.layers.transformer import Block
from clearhead.models.fields import (
    AttentionScore,
    FeedForwardActivation,
    Initialization,
    MaskName,
    Norm,
    Position,
    Rate,
    Size,
    as_mask,
    check_heads,
    check_mask,
    check_score,
)
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

BLOCKED = "blocked"  # the feature (N, 1) that is 1 where no query may see the token's key
SINUSOIDAL = ("sinusoidal", "sinusoidal_halves")


class TransformerSpec(SpecModel):
    """What may be chosen of a Transformer, under Hugging Face's names where there are some.

    `norm` is every norm of the trunk; a pre-norm trunk ends with one more. `embedding_norm` adds BERT's after the
    embeddings. `scale_embedding`: embeddings times sqrt(D); left out, with sinusoidal positions only, above which it
    keeps them (Vaswani et al. 2017, 3.4). `mask` left out is what the model's name says: an encoder's tokens see all,
    a decoder's the past; `mask_size` is the width of window and causal_window, the length of prefix.

    `attention_score`: scaled (1/sqrt(d_k)), plain, additive or cosine; `attention_temperature` divides it (left out:
    1; cosine learns its own). `fused` False computes attention in the open: weights that can be watched, second
    derivatives; an additive score always is. `intermediate_size` left out is 4 * `hidden_size`, for swiglu 8/3 of it.
    `residual` False leaves out every "x +".

    `dropout` falls on the embeddings and on each sublayer's output (Vaswani et al. 2017, 5.4), `attention_dropout` on
    attention weights, `layer_dropout` on whole layers (Fan et al. 2019, arXiv:1909.11556, 3.1: LayerDrop).
    `initialization` is the rule for matrices; embeddings (and matrices under normal) take `initializer_range`.
    """

    hidden_size: Size = 64
    num_hidden_layers: int = Field(default=2, ge=0)
    num_attention_heads: Size = 4
    intermediate_size: Size | None = None
    hidden_act: FeedForwardActivation = "gelu"
    norm: Norm = "layer"
    norm_eps: float = Field(default=1e-5, gt=0)
    norm_place: Literal["pre", "post"] = "pre"
    embedding_norm: bool = False
    positions: Position = "learned"
    scale_embedding: bool | None = None
    mask: MaskName | None = None
    mask_size: int | None = Field(default=None, ge=0)
    attention_score: AttentionScore = "scaled"
    attention_temperature: float | None = Field(default=None, gt=0)
    fused: bool = True
    residual: bool = True
    type_vocab_size: int = Field(default=0, ge=0)
    dropout: Rate = 0.0
    attention_dropout: Rate = 0.0
    layer_dropout: Rate = 0.0
    initialization: Initialization = "normal"
    initializer_range: float = Field(default=0.02, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> TransformerSpec:
        check_heads(self.hidden_size, self.num_attention_heads, self.positions)
        check_score(self.attention_score, self.positions)
        check_mask(self.mask, self.mask_size)
        return self


class Transformer(nn.Module):
    """`Batch` -> `States` (N, D): embeddings (token + position + type), then blocks, then a last norm if pre-norm.

    The feature `blocked` (N, 1) of a batch is 1 where no query, its own included, may see a token's key.
    """

    def __init__(
        self,
        token_embedding: nn.Embedding,
        *,
        embedding_scale: float,
        position_embedding: LearnedPositions | SinusoidalPositions | None,
        token_type_embedding: nn.Embedding | None,
        embedding_norm: nn.Module | None,
        blocks: list[Block],
        final_norm: nn.Module | None,
        dropout: float,
        layer_dropout: float,
        mask: Mask,
    ) -> None:
        super().__init__()
        self.width = token_embedding.embedding_dim
        self.token_embedding = token_embedding
        self.embedding_scale = embedding_scale
        self.position_embedding = position_embedding
        self.token_type_embedding = token_type_embedding
        self.embedding_norm = embedding_norm
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = final_norm
        self.layer_dropout = layer_dropout
        self.mask = mask
        self.sees_ahead = looks_ahead(mask)

    def forward(self, batch: Batch, source: Source | None = None) -> States:
        """`source` is what the blocks that have cross attention read."""
        layout = batch.layout
        blocked = blocked_keys(batch)
        x = self._embedded(batch.token_ids, batch.token_type_ids, layout.position_ids, layout.longest, layout)
        layers = [x]
        for block in self.blocks:
            if not (self.training and self.layer_dropout and torch.rand(()) < self.layer_dropout):
                x = block(x, layout, blocked=blocked, source=source)
            layers.append(x)
        hidden = x if self.final_norm is None else self.final_norm(x, layout)
        return States(hidden, layout, tuple(layers))

    def _embedded(
        self, token_ids: Tensor, token_type_ids: Tensor | None, places: Tensor, longest: int, layout: Layout
    ) -> Tensor:
        x: Tensor = self.token_embedding(token_ids)  # (N, D)
        if self.embedding_scale != 1:
            x = x * self.embedding_scale
        if self.position_embedding is not None:
            x = self.position_embedding.at(x, places, longest)
        if self.token_type_embedding is not None:
            types = token_type_ids
            x = x + (self.token_type_embedding.weight[0] if types is None else self.token_type_embedding(types))
        elif token_type_ids is not None:
            raise InputError("the batch has token types, and this model has none; set model.type_vocab_size")
        if self.embedding_norm is not None:
            x = self.embedding_norm(x, layout)
        dropped: Tensor = self.dropout(x)
        return dropped

    @property
    def layers(self) -> list[Block]:
        """The blocks, first to last."""
        return cast(list[Block], list(self.blocks))

    @torch.no_grad()
    def begin(self, batch: Batch | None, rows: int) -> Cache:
        """An empty cache of R rows, or one whose rows have written the sequences of `batch`, R / B rows each.

        Raises `InputError` where a token sees those after it, or where batch norm takes statistics of the batch.
        """
        if batch is None:
            return self.empty_cache(rows, groups=rows)
        layout, blocked = batch.layout, blocked_keys(batch)
        cache = self.empty_cache(rows, groups=len(layout.sizes), prompts=layout, blocked=blocked)
        x = self._embedded(batch.token_ids, batch.token_type_ids, layout.position_ids, layout.longest, layout)
        for number, block in enumerate(self.layers):
            key, value = block.keys_values(x, layout)
            cache.fill(number, key, value, layout)
            x = block(x, layout, blocked=blocked)
        return cache

    def empty_cache(
        self, rows: int, *, groups: int, prompts: Layout | None = None, blocked: Tensor | None = None
    ) -> Cache:
        """A cache for this trunk's layers. Raises `InputError` where it cannot write token by token (see `begin`)."""
        _check_steps(self)
        if rows % groups:
            raise InputError(f"{rows} rows cannot be shared out among {groups} sequences; take a multiple of {groups}")
        device = self.token_embedding.weight.device
        return Cache(rows, len(self.blocks), groups=groups, device=device, prompts=prompts, blocked=blocked)

    @torch.no_grad()
    def step(self, token_ids: Tensor, cache: Cache) -> Tensor:
        """Each row writes a token: `token_ids` (R,) -> its state (R, D), as the whole sequence would give it."""
        layout = Layout(torch.ones_like(token_ids), 1, packed=False)
        x = self._embedded(token_ids, None, cache.places, cache.longest + 1, layout)
        cache.open()
        for number, block in enumerate(self.layers):
            x = block.step(x, layout, cache, number)
        cache.close()
        return x if self.final_norm is None else self.final_norm(x, layout)


def blocked_keys(batch: Batch) -> Tensor | None:
    """True where no query may see the token's key (N,); None where the batch blocks none."""
    blocked = batch.features.get(BLOCKED)
    return None if blocked is None else blocked[:, 0] == 1


def _check_steps(model: Transformer) -> None:
    if model.sees_ahead:
        raise InputError(
            "this model cannot write one token at a time, since its tokens see those after them; "
            "set model.mask to causal or causal_window"
        )
    norms = [part for part in model.modules() if isinstance(part, BatchNorm | BatchNormPadded | BatchNormPerPosition)]
    if any(isinstance(norm, BatchNormPerPosition) for norm in norms):
        raise InputError("model.norm: batch_position reads whole sequences, not one token at a time; take batch")
    if any(norm.training for norm in norms):
        raise InputError("model.norm: batch norm in training reads whole batches; call eval() before writing")


def build_transformer(spec: TransformerSpec, mask: Mask, inventory: Inventory) -> Transformer:
    """The trunk of `spec` whose tokens see what `mask` lets them, unless the spec has a mask of its own."""
    model: Transformer = built(
        functools.partial(assembled, spec, as_mask(spec.mask, spec.mask_size, mask), inventory),
        functools.partial(initialize_transformer, std=spec.initializer_range, matrices=spec.initialization),
    )
    return model


def assembled(
    spec: TransformerSpec,
    mask: Mask,
    inventory: Inventory,
    *,
    token_embedding: nn.Embedding | None = None,
    cross: bool = False,
) -> Transformer:
    """The modules of `spec`, weights as they come; `cross`: every block reads a source too."""
    width = spec.hidden_size
    make_norm = functools.partial(NORMS[spec.norm], width, eps=spec.norm_eps)
    positions = POSITIONS[spec.positions](width, spec.num_attention_heads, inventory.max_length)
    scaled = spec.positions in SINUSOIDAL if spec.scale_embedding is None else spec.scale_embedding
    return Transformer(
        token_embedding or nn.Embedding(inventory.vocabulary.size, width),
        embedding_scale=math.sqrt(width) if scaled else 1.0,
        position_embedding=positions.added,
        token_type_embedding=nn.Embedding(spec.type_vocab_size, width) if spec.type_vocab_size else None,
        embedding_norm=make_norm() if spec.embedding_norm else None,
        blocks=[_block(spec, mask, positions, cross=cross) for _ in range(spec.num_hidden_layers)],
        final_norm=make_norm() if spec.norm_place == "pre" else None,
        dropout=spec.dropout,
        layer_dropout=spec.layer_dropout,
        mask=mask,
    )


def _block(spec: TransformerSpec, mask: Mask, positions: Positions, *, cross: bool) -> Block:
    width, heads = spec.hidden_size, spec.num_attention_heads
    make_score = functools.partial(SCORES[spec.attention_score], heads, width // heads, spec.attention_temperature)
    attention = MultiHeadAttention(
        width,
        heads,
        mask=mask,
        score=make_score(),
        dropout=spec.attention_dropout,
        fused=spec.fused,
        rotation=positions.rotation,
        bias=positions.bias,
    )
    reads = None
    if cross:
        reads = CrossAttention(width, heads, score=make_score(), dropout=spec.attention_dropout, fused=spec.fused)
    return Block(
        attention,
        feedforward(width, spec.intermediate_size, spec.hidden_act),
        functools.partial(NORMS[spec.norm], width, eps=spec.norm_eps),
        norm_place=spec.norm_place,
        dropout=spec.dropout,
        residual=spec.residual,
        cross=reads,
    )
