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
from clearhead.layers.embeddings import CharacterCNN
from clearhead.layers.feedforward import FeedForward
from clearhead.layers.initialization import built, initialize_embeddings, initialize_lstm, initialize_transformer
from clearhead.layers.masks import ANTICAUSAL, CAUSAL
from clearhead.layers.normalization import LayerNorm
from clearhead.layers.positions import Rotary
from clearhead.layers.recurrent import LSTM
from clearhead.layers.scalar_mix import ScalarMix
from clearhead.layers.transformer import Block
from clearhead.models.fields import check_heads
from clearhead.models.lstm import CharacterSpec, character_cnn, characters_of, check_characters
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory


class Spec(SpecModel):
    """`hidden_size` is that of one direction; states are twice as wide.

    `directions` "apart" (ELMo): the stacks never meet; "mixed": from the second layer on, both read both, as in a deep
    bidirectional LSTM. `cell` "attention": each layer of a direction is a post-norm Transformer block that sees one
    side, with rotary positions; `num_attention_heads` and `fused` are its own. `residual`: LSTM layers from the second
    on add their input (blocks always do). `cell_size` (None: `hidden_size`) is that of an LSTM's inside, which is
    projected to `hidden_size`. `input`: a token's vector is its own, or that of its `characters`.
    Embeddings start from N(0, `initializer_range`^2), blocks from N(0, 1 / D).

    How it is used (Peters et al. 2018, 3.2 and 3.3): `output` "top" gives the last layer, "mix" the weighted sum of
    all, whose weights a task learns, of normed layers where `mix_norm`. `frozen`: the reader is not trained, whatever
    weights are loaded, and drops nothing out. `head_size` above 0 adds a bidirectional LSTM of that size on top. The
    reader's weights have the same names with and without these, so a run that reads may start from one that learned to.
    """

    hidden_size: int = Field(default=64, ge=1)
    num_hidden_layers: int = Field(default=2, ge=1)
    cell: Literal["lstm", "attention"] = "lstm"
    cell_size: int | None = Field(default=None, ge=1)
    directions: Literal["apart", "mixed"] = "apart"
    residual: bool = True
    num_attention_heads: int = Field(default=4, ge=1)
    fused: bool = True
    input: Literal["tokens", "characters"] = "tokens"
    characters: CharacterSpec = CharacterSpec()
    output: Literal["top", "mix"] = "top"
    mix_norm: bool = False
    frozen: bool = False
    head_size: int = Field(default=0, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    initializer_range: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _switches_act(self) -> Spec:
        if self.cell == "attention":
            check_heads(self.hidden_size, self.num_attention_heads, "rotary")
        if self.cell == "attention" and self.cell_size is not None:
            raise ValueError("cell_size is the inside of an LSTM, and cell attention has none; take it out")
        if self.cell_size is not None and self.cell_size < self.hidden_size:
            raise ValueError(
                f"cell_size {self.cell_size} is projected down to hidden_size {self.hidden_size}, so it cannot be less"
            )
        if self.mix_norm and self.output == "top":
            raise ValueError("mix_norm norms the layers that output mix weighs, and output top weighs none")
        if self.frozen and self.output == "top" and self.head_size == 0 and self.dropout:
            raise ValueError("dropout has nothing to fall on: a frozen reader drops nothing out; set it to 0")
        check_characters(self.characters, self.input)
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


class TaskLSTM(nn.Module):
    """(N, input) -> (N, 2 H): one layer of two LSTMs, [forward; backward], that a task trains on top of the reader."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.onward = LSTM(input_size, hidden_size)
        self.backward = LSTM(input_size, hidden_size, backward=True)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        return torch.cat((self.onward(x, layout), self.backward(x, layout)), dim=-1)


class Elmo(nn.Module):
    """`Batch` -> `States` (N, 2 D), [forward; backward] at every layer; layer 0 is the token's vector twice.

    `hidden` is the last layer, or the `mix` of all, or what the `head` makes of it (N, `width`); `layers` are the
    reader's own, `reader_width` wide. Nothing is carried from call to call.
    """

    def __init__(
        self,
        token_input: nn.Embedding | CharacterCNN,
        forward_layers: list[nn.Module],
        backward_layers: list[nn.Module],
        *,
        width: int,
        reader_width: int,
        mixed: bool,
        residual: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.sees_ahead = True
        self.width = width
        self.reader_width = reader_width
        self.frozen = False
        if isinstance(token_input, CharacterCNN):
            self.characters = token_input
        else:
            self.token_embedding = token_input
        self.forward_layers = nn.ModuleList(forward_layers)
        self.backward_layers = nn.ModuleList(backward_layers)
        self.mixed = mixed
        self.residual = residual
        self.dropout = nn.Dropout(dropout)
        self.mix: ScalarMix | None = None
        self.head: TaskLSTM | None = None
        self.task_dropout = nn.Dropout(0.0)

    def forward(self, batch: Batch) -> States:
        layers = self._read(batch)
        hidden = layers[-1]
        if self.mix is not None:
            hidden = self.task_dropout(self.mix(layers))
        if self.head is not None:
            hidden = self.task_dropout(self.head(hidden, batch.layout))
        return States(hidden, batch.layout, tuple(layers))

    def _read(self, batch: Batch) -> list[Tensor]:
        reads_characters = hasattr(self, "characters")
        embedded = self.characters(characters_of(batch)) if reads_characters else self.token_embedding(batch.token_ids)
        ahead = behind = embedded  # (N, D) each
        layers = [torch.cat((ahead, behind), dim=-1)]  # (N, 2 D)
        for number, (one, other) in enumerate(zip(self.forward_layers, self.backward_layers, strict=True)):
            mixed = self.mixed and number > 0
            from_left = one(self.dropout(layers[-1] if mixed else ahead), batch.layout)
            from_right = other(self.dropout(layers[-1] if mixed else behind), batch.layout)
            added = self.residual and number > 0
            ahead, behind = (ahead + from_left, behind + from_right) if added else (from_left, from_right)
            layers.append(torch.cat((ahead, behind), dim=-1))
        return layers


def build(spec: Spec, inventory: Inventory) -> Elmo:
    """The trunk for the token ids (or characters) of `inventory`. No part of it depends on its `max_length`."""
    model: Elmo = built(functools.partial(_assembled, spec, inventory), functools.partial(_initialize, spec))
    return model


def _assembled(spec: Spec, inventory: Inventory) -> Elmo:
    width = 2 * spec.hidden_size
    model = Elmo(
        _token_input(spec, inventory),
        _stack(spec, backward=False),
        _stack(spec, backward=True),
        width=2 * spec.head_size or width,
        reader_width=width,
        mixed=spec.directions == "mixed",
        residual=spec.residual and spec.cell == "lstm",
        dropout=_reader_dropout(spec),
    )
    if spec.frozen:
        model.frozen = True
        model.requires_grad_(False)
    if spec.output == "mix":
        model.mix = ScalarMix(spec.num_hidden_layers + 1, normalize=spec.mix_norm)
    if spec.head_size:
        model.head = TaskLSTM(width, spec.head_size)
    model.task_dropout.p = spec.dropout
    return model


def _token_input(spec: Spec, inventory: Inventory) -> nn.Embedding | CharacterCNN:
    if spec.input == "characters":
        return character_cnn(spec.characters, inventory, spec.hidden_size)
    return nn.Embedding(inventory.vocabulary.size, spec.hidden_size)


def _reader_dropout(spec: Spec) -> float:
    return 0.0 if spec.frozen else spec.dropout


def _stack(spec: Spec, *, backward: bool) -> list[nn.Module]:
    layer = _lstm if spec.cell == "lstm" else _block
    wider = 2 if spec.directions == "mixed" else 1
    return [
        layer(spec, spec.hidden_size * (wider if number else 1), backward=backward)
        for number in range(spec.num_hidden_layers)
    ]


def _lstm(spec: Spec, input_size: int, *, backward: bool) -> nn.Module:
    return LSTM(input_size, spec.hidden_size, cell_size=spec.cell_size, backward=backward)


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
    block = Block(attention, feedforward, make_norm, norm_place="post", dropout=_reader_dropout(spec))
    return OneWayBlock(input_size, block, width)


def _initialize(spec: Spec, model: nn.Module, seed: int) -> None:
    initialize_transformer(model, seed, std=spec.hidden_size**-0.5)
    initialize_lstm(model, seed)
    initialize_embeddings(model, seed, std=spec.initializer_range)
