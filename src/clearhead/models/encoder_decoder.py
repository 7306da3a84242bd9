"""The Transformer: an encoder reads the source, a decoder writes the target and looks back at it in every layer
(Vaswani et al. 2017, arXiv:1706.03762).

As it comes, it is laid out as in that paper: norms after the residual sums, sinusoidal positions, relu.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.layers.cache import Cache
from clearhead.layers.cross_attention import Source
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.layers.masks import CAUSAL, FULL
from clearhead.layers.pairing import Pairing
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
)
from clearhead.models.states import States
from clearhead.models.transformer import Transformer, TransformerSpec, assembled, blocked_keys
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory


class Spec(SpecModel):
    """What may be chosen, as in `TransformerSpec`, for both sides.

    `num_hidden_layers` is that of each side, `num_decoder_layers` another number for the decoder. `share_embeddings`:
    source and target have one table of token embeddings, which their vocabularies must allow (Vaswani et al. 2017,
    3.4); the objective's `tie_embeddings` makes it the output's too. `mask` and `mask_size` are the target's.
    """

    hidden_size: Size = 64
    num_hidden_layers: int = Field(default=2, ge=0)
    num_decoder_layers: int | None = Field(default=None, ge=0)
    num_attention_heads: Size = 4
    intermediate_size: Size | None = None
    hidden_act: FeedForwardActivation = "relu"
    norm: Norm = "layer"
    norm_eps: float = Field(default=1e-5, gt=0)
    norm_place: Literal["pre", "post"] = "post"
    embedding_norm: bool = False
    positions: Position = "sinusoidal"
    scale_embedding: bool | None = None
    share_embeddings: bool = False
    mask: MaskName | None = None
    mask_size: int | None = Field(default=None, ge=0)
    attention_score: AttentionScore = "scaled"
    attention_temperature: float | None = Field(default=None, gt=0)
    fused: bool = True
    residual: bool = True
    dropout: Rate = 0.0
    attention_dropout: Rate = 0.0
    layer_dropout: Rate = 0.0
    initialization: Initialization = "normal"
    initializer_range: float = Field(default=0.02, gt=0)

    @model_validator(mode="after")
    def _sides_fit(self) -> Spec:
        self.as_encoder()
        self.as_decoder()
        return self

    def as_encoder(self) -> TransformerSpec:
        """The source's side, which sees itself whole."""
        fields = self.model_dump(include=set(TransformerSpec.model_fields) - {"mask", "mask_size"})
        return TransformerSpec(**fields)

    def as_decoder(self) -> TransformerSpec:
        """The target's side."""
        fields = self.model_dump(include=set(TransformerSpec.model_fields))
        if self.num_decoder_layers is not None:
            fields["num_hidden_layers"] = self.num_decoder_layers
        return TransformerSpec(**fields)


class EncoderDecoder(nn.Module):
    """A `Batch` and its `source` -> the `States` of the target (N, D); those of the source are inside.

    The feature `blocked` (N, 1) of either side is 1 where no query may see a token's key.
    """

    def __init__(self, encoder: Transformer, decoder: Transformer) -> None:
        super().__init__()
        self.width = decoder.width
        self.encoder = encoder
        self.decoder = decoder

    @property
    def token_embedding(self) -> nn.Embedding:
        """The target's table (V, D), to which a head can be tied."""
        return self.decoder.token_embedding

    def forward(self, batch: Batch) -> States:
        source = _source_of(batch)
        if len(source.layout.sizes) != len(batch.layout.sizes):
            raise InputError(
                f"a batch of {len(batch.layout.sizes)} sequences has {len(source.layout.sizes)} sources; give one each"
            )
        hidden = self.encoder(source).hidden  # (M, D)
        read = Source(hidden, Pairing(batch.layout, source.layout), blocked_keys(source))
        states: States = self.decoder(batch, read)
        return states

    @torch.no_grad()
    def begin(self, batch: Batch | None, rows: int) -> Cache:
        """A cache whose rows have written nothing and read the sources of `batch`, R / B rows each, side by side.

        Raises `InputError` as `Transformer.begin` does, and where there is no source.
        """
        source = _source_of(batch)
        cache = self.decoder.empty_cache(rows, groups=len(source.layout.sizes))
        hidden = self.encoder(source).hidden  # (M, D)
        read = [block.cross.keys_values(hidden) for block in self.decoder.layers if block.cross is not None]
        cache.read(read, source.layout, blocked_keys(source))
        return cache

    def step(self, token_ids: Tensor, cache: Cache) -> Tensor:
        """Each row writes a token: `token_ids` (R,) -> its state (R, D), as the whole sequence would give it."""
        return self.decoder.step(token_ids, cache)


def _source_of(batch: Batch | None) -> Batch:
    if batch is None or batch.source is None:
        raise InputError("model.name: encoder_decoder reads a source, and the batch has none; give pairs of sequences")
    return batch.source


def build(spec: Spec, inventory: Inventory) -> EncoderDecoder:
    """The model for the two sides of `inventory`. Raises `InputError` where there is one side only, and where
    embeddings are to be shared by vocabularies that differ."""
    if inventory.source is None:
        raise InputError("model.name: encoder_decoder reads a source, and the data has one side only; give pairs")
    if spec.share_embeddings and inventory.source.vocabulary != inventory.vocabulary:
        raise InputError(
            f"model.share_embeddings: the source's vocabulary ({inventory.source.vocabulary.size} ids) is not the "
            f"target's ({inventory.vocabulary.size} ids); make one for both sides, or set it to false"
        )
    model: EncoderDecoder = built(
        functools.partial(_assembled, spec, inventory, inventory.source),
        functools.partial(initialize_transformer, std=spec.initializer_range, matrices=spec.initialization),
    )
    return model


def _assembled(spec: Spec, inventory: Inventory, source: Inventory) -> EncoderDecoder:
    encoder = assembled(spec.as_encoder(), FULL, source)
    shared = encoder.token_embedding if spec.share_embeddings else None
    mask = as_mask(spec.mask, spec.mask_size, CAUSAL)
    return EncoderDecoder(encoder, assembled(spec.as_decoder(), mask, inventory, token_embedding=shared, cross=True))
