"""Stacked LSTM, one way (a language model, Zaremba et al. 2014, arXiv:1409.2329) or both ways (a tagger, Huang et al.
2015, arXiv:1508.01991)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.layers.dropout import DROPOUTS, WordDropout
from clearhead.layers.embeddings import CharacterCNN
from clearhead.layers.initialization import built, initialize_embeddings, initialize_lstm, initialize_transformer
from clearhead.layers.recurrent import LSTM, LSTMState
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

CHARACTERS = "characters"


class CharacterSpec(SpecModel):
    """A CNN over the characters of a token (Kim et al. 2015): `filters` are pairs of a window's width and a count."""

    embedding_size: int = Field(default=16, ge=1)
    filters: tuple[tuple[int, int], ...] = Field(default=((1, 16), (2, 16), (3, 32), (4, 32)), min_length=1)
    highways: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _filters_are_positive(self) -> CharacterSpec:
        if any(width < 1 or count < 1 for width, count in self.filters):
            raise ValueError("filters are pairs of a window's width and a count, both at least 1")
        return self


class Spec(SpecModel):
    """`hidden_size` is that of one direction; states of a `bidirectional` trunk are twice as wide.

    `input`: a token's vector is its own (`tokens`), that of its `characters`, or `both` side by side, `embedding_size`
    (None: `hidden_size`) wide each. `projection` brings the last layer back to `embedding_size`, so that a head may be
    tied to the embeddings. `dropout` falls on what every layer reads and on what the last one gives; `dropout_kind`
    variational drops the same features at every token of a sequence (Gal & Ghahramani 2015; they mask the recurrent
    connection as well, which stays whole here). `word_dropout` leaves out whole words of the vocabulary.
    Embeddings start from N(0, `initializer_range`^2).
    """

    hidden_size: int = Field(default=64, ge=1)
    num_hidden_layers: int = Field(default=2, ge=1)
    bidirectional: bool = False
    input: Literal["tokens", "characters", "both"] = "tokens"
    characters: CharacterSpec = CharacterSpec()
    embedding_size: int | None = Field(default=None, ge=1)
    projection: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    dropout_kind: Literal["plain", "variational"] = "plain"
    word_dropout: float = Field(default=0.0, ge=0, lt=1)
    initializer_range: float = Field(default=0.3, gt=0)

    @model_validator(mode="after")
    def _switches_act(self) -> Spec:
        check_characters(self.characters, self.input)
        if self.word_dropout and self.input == "characters":
            raise ValueError("word_dropout leaves out rows of the token embeddings, and input characters has none")
        return self


def check_characters(characters: CharacterSpec, reads: str) -> None:
    """Raises `ValueError` where the fields of the character CNN are set and no characters are read."""
    if reads == "tokens" and characters != CharacterSpec():
        raise ValueError("characters describes a CNN that input tokens has not; set input to characters")


def character_cnn(spec: CharacterSpec, inventory: Inventory, output_size: int) -> CharacterCNN:
    """The CNN over the characters of `inventory`. Raises `InputError` where the data has none."""
    if inventory.characters == 0:
        raise InputError("model.input: the data has no characters of its tokens; set model.input to tokens")
    return CharacterCNN(inventory.characters, spec.embedding_size, spec.filters, output_size, highways=spec.highways)


def characters_of(batch: Batch) -> Tensor:
    """The character ids (N, C) of a batch. Raises `InputError` where it has none."""
    if CHARACTERS not in batch.features:
        raise InputError(f"the batch has no feature map {CHARACTERS!r}, which model.input reads")
    return batch.features[CHARACTERS]


@dataclass
class Cache:
    """The state of every layer after what R rows have written."""

    states: list[LSTMState]

    def select(self, rows: Tensor) -> None:
        """Row i goes on from what row `rows[i]` has written, (R',). Rows may be left out, repeated and reordered."""
        self.states = [(hidden[rows], cell[rows]) for hidden, cell in self.states]


class StackedLSTM(nn.Module):
    """`Batch` -> `States` (N, D): embeddings, then layers of one LSTM or of two, [forward; backward].

    Nothing is carried from call to call. `begin` and `step` write a token at a time, and carry what `Cache` holds.
    """

    def __init__(
        self,
        token_embedding: nn.Embedding | None,
        characters: CharacterCNN | None,
        forward_layers: list[LSTM],
        backward_layers: list[LSTM],
        projection: nn.Linear | None,
        *,
        width: int,
        dropout: nn.Module,
        word_dropout: float,
    ) -> None:
        super().__init__()
        self.width = width
        if token_embedding is not None:
            self.token_embedding = token_embedding
            self.word_dropout = WordDropout(token_embedding.num_embeddings, word_dropout)
        self.characters = characters
        self.forward_layers = nn.ModuleList(forward_layers)
        self.backward_layers = nn.ModuleList(backward_layers)
        self.sees_ahead = len(self.backward_layers) > 0
        self.projection = projection
        self.dropout = dropout

    def forward(self, batch: Batch) -> States:
        layout = batch.layout
        layers = [self._embedded(batch)]
        for number, onward in enumerate(self.forward_layers):
            read = self.dropout(layers[-1], layout)
            halves = [onward(read, layout)]
            if self.backward_layers:
                halves.append(self.backward_layers[number](read, layout))
            layers.append(torch.cat(halves, dim=-1))
        hidden = layers[-1] if self.projection is None else self.projection(self.dropout(layers[-1], layout))
        return States(self.dropout(hidden, layout), layout, tuple(layers))

    def begin(self, batch: Batch | None, rows: int) -> Cache:
        """The state of R rows that have written nothing, or the sequences of `batch`, R / B rows each.

        Raises `InputError` where this trunk cannot write token by token, and where R is no multiple of B.
        """
        _check_steps(self)
        if batch is None:
            return Cache([layer.start(rows) for layer in self._onward()])
        groups = len(batch.layout.sizes)
        if rows % groups:
            raise InputError(f"{rows} rows cannot be shared out among {groups} sequences; take a multiple of {groups}")
        states, x = [], self._embedded(batch)
        for layer in self._onward():
            x, state = layer.read(x, batch.layout)
            states.append(state)
        cache = Cache(states)
        cache.select(torch.arange(groups, device=x.device).repeat_interleave(rows // groups))
        return cache

    def step(self, token_ids: Tensor, cache: Cache) -> Tensor:
        """One token a row (R,) -> its state (R, D), without dropout; `cache` then has read it."""
        x: Tensor = self.token_embedding(token_ids)
        for number, layer in enumerate(self._onward()):
            x, cache.states[number] = layer.step(x, cache.states[number])
        return x if self.projection is None else self.projection(x)

    def _onward(self) -> list[LSTM]:
        return [layer for layer in self.forward_layers if isinstance(layer, LSTM)]

    def _embedded(self, batch: Batch) -> Tensor:
        parts = []
        if hasattr(self, "token_embedding"):
            parts.append(self.word_dropout(self.token_embedding(batch.token_ids), batch.token_ids))
        if self.characters is not None:
            parts.append(self.characters(characters_of(batch)))
        return torch.cat(parts, dim=-1)


def _check_steps(model: StackedLSTM) -> None:
    if len(model.backward_layers):
        raise InputError(
            "this model cannot write one token at a time, since its tokens see those after them; set "
            "model.bidirectional to false"
        )
    if model.characters is not None:
        raise InputError(
            "this model cannot write one token at a time, since it reads the characters of each and is given none of "
            "what it has just written; set model.input to tokens"
        )


def build(spec: Spec, inventory: Inventory) -> StackedLSTM:
    """The trunk for the token ids (and characters) of `inventory`. No part of it depends on its `max_length`."""
    model: StackedLSTM = built(functools.partial(_assembled, spec, inventory), functools.partial(_initialize, spec))
    return model


def _assembled(spec: Spec, inventory: Inventory) -> StackedLSTM:
    embedded = spec.embedding_size or spec.hidden_size
    reads_tokens, reads_characters = spec.input != "characters", spec.input != "tokens"
    output = spec.hidden_size * (2 if spec.bidirectional else 1)
    widths = [embedded * (reads_tokens + reads_characters), *[output] * (spec.num_hidden_layers - 1)]
    return StackedLSTM(
        nn.Embedding(inventory.vocabulary.size, embedded) if reads_tokens else None,
        character_cnn(spec.characters, inventory, embedded) if reads_characters else None,
        [LSTM(width, spec.hidden_size) for width in widths],
        [LSTM(width, spec.hidden_size, backward=True) for width in widths] if spec.bidirectional else [],
        nn.Linear(output, embedded) if spec.projection else None,
        width=embedded if spec.projection else output,
        dropout=DROPOUTS[spec.dropout_kind](spec.dropout),
        word_dropout=spec.word_dropout,
    )


def _initialize(spec: Spec, model: nn.Module, seed: int) -> None:
    initialize_transformer(model, seed, std=spec.hidden_size**-0.5)
    initialize_lstm(model, seed)
    initialize_embeddings(model, seed, std=spec.initializer_range)
