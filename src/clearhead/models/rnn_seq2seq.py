"""Two LSTMs, one that reads the source and one that writes the target from it (Sutskever et al. 2014, arXiv:1409.3215),
the second with or without attention to what the first has read (Bahdanau et al. 2014; Luong et al. 2015)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.alignment import ALIGNMENT_SCORES, Alignment, Memory
from clearhead.layers.initialization import built, initialize_embeddings, initialize_lstm, initialize_transformer
from clearhead.layers.recurrent import LSTM, LSTMState
from clearhead.models.fields import OneOf
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

NO_ATTENTION = "none"
AttentionName = Annotated[str, OneOf((NO_ATTENTION, *ALIGNMENT_SCORES))]


class Spec(SpecModel):
    """States, embeddings and each layer of either side are `hidden_size` wide; both sides have `num_hidden_layers`.

    `encoder_direction`: the source is read forward, reversed (Sutskever et al. 2014, 3.3), or both ways, half the width
    each. Its last states are the decoder's first ones, layer by layer; under `attention` none that is all the decoder
    knows of it. The other kinds are scores, after Luong et al. 2015 (arXiv:1508.04025, 3.1) and Bahdanau et al. 2014
    (arXiv:1409.0473). `input_feeding` gives the attentional state to the next step (Luong et al. 2015, 3.3).
    `scheduled_sampling` is the probability that, in training, a word is replaced by the one the model finds most
    probable in its place (Bengio et al. 2015, arXiv:1506.03099, 2.4, kept constant); it reads that off the token
    embeddings, so the objective must tie them. `dropout` falls on what each layer reads and on the states.
    """

    hidden_size: int = Field(default=64, ge=1)
    num_hidden_layers: int = Field(default=1, ge=1)
    encoder_direction: Literal["forward", "reversed", "bidirectional"] = "bidirectional"
    attention: AttentionName = "general"
    input_feeding: bool = False
    scheduled_sampling: float = Field(default=0.0, ge=0, le=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    initializer_range: float = Field(default=0.3, gt=0)

    @model_validator(mode="after")
    def _switches_act(self) -> Spec:
        if self.input_feeding and self.attention == NO_ATTENTION:
            raise ValueError(
                "input_feeding feeds what attention gives, and attention is none; take general, or turn it off"
            )
        if self.encoder_direction == "bidirectional" and self.hidden_size % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} has no half for each direction of a bidirectional encoder; take "
                f"{self.hidden_size + 1}"
            )
        return self


class SourceLayer(nn.Module):
    """(M, input) -> (M, D), and the state after the last step of each sequence (B, D): one LSTM each way it reads."""

    def __init__(self, ahead: LSTM | None, behind: LSTM | None) -> None:
        super().__init__()
        self.ahead = ahead
        self.behind = behind

    def forward(self, x: Tensor, layout: Layout) -> tuple[Tensor, LSTMState]:
        read: list[tuple[Tensor, LSTMState]] = []
        if self.ahead is not None:
            read.append(self.ahead.read(x, layout))
        if self.behind is not None:
            states, last = self.behind.read(layout.reverse(x), layout)
            read.append((layout.reverse(states), last))
        hidden, cell = (torch.cat([last[part] for _, last in read], dim=-1) for part in (0, 1))  # (B, D) each
        return torch.cat([states for states, _ in read], dim=-1), (hidden, cell)


@dataclass
class Cache:
    """What R rows have written so far: the state of every layer, what is fed to the next step (R, D), and the memory of
    the source that each row reads."""

    states: list[LSTMState]
    fed: Tensor | None
    memory: Memory | None
    sources: Tensor  # (R,)

    def select(self, rows: Tensor) -> None:
        """Row i goes on from what row `rows[i]` has written, (R',). The memory moves only where sources do."""
        self.states = [(hidden.index_select(0, rows), cell.index_select(0, rows)) for hidden, cell in self.states]
        self.fed = None if self.fed is None else self.fed.index_select(0, rows)
        before, self.sources = self.sources, self.sources.index_select(0, rows)
        if self.memory is not None and not torch.equal(before, self.sources):
            self.memory = self.memory.select(rows)


class RNNSeq2Seq(nn.Module):
    """A `Batch` and its `source` -> the `States` of the target (N, D). The last of `layers` is the attentional one,
    where there is attention; its weights (B, T, S) are what `alignment.weights` puts out."""

    def __init__(
        self,
        token_embedding: nn.Embedding,
        source_embedding: nn.Embedding,
        source_layers: list[SourceLayer],
        target_layers: list[LSTM],
        alignment: Alignment | None,
        *,
        input_feeding: bool,
        scheduled_sampling: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width = token_embedding.embedding_dim
        self.token_embedding = token_embedding
        self.source_embedding = source_embedding
        self.source_layers = nn.ModuleList(source_layers)
        self.target_layers = nn.ModuleList(target_layers)
        self.alignment = alignment
        self.input_feeding = input_feeding
        self.scheduled_sampling = scheduled_sampling
        self.dropout = nn.Dropout(dropout)

    @property
    def reads_off_embeddings(self) -> bool:
        """Whether the model predicts words by itself, from its token embeddings: no other projection fits it then."""
        return self.scheduled_sampling > 0

    def forward(self, batch: Batch) -> States:
        source = _source_of(batch)
        if len(source.layout.sizes) != len(batch.layout.sizes):
            raise InputError(
                f"a batch of {len(batch.layout.sizes)} sequences has {len(source.layout.sizes)} sources; give one each"
            )
        cache = self._read(source)
        if self.input_feeding or (self.training and self.scheduled_sampling):
            layers = self._one_by_one(batch, cache)
        else:
            layers = self._at_once(batch, cache)
        return States(self.dropout(layers[-1]), batch.layout, tuple(layers))

    @torch.no_grad()
    def begin(self, batch: Batch | None, rows: int) -> Cache:
        """A cache whose rows have written nothing and read the sources of `batch`, R / B rows each, side by side.

        Raises `InputError` where there is no source, and where R is no multiple of B.
        """
        source = _source_of(batch)
        count = len(source.layout.sizes)
        if rows % count:
            raise InputError(f"{rows} rows cannot be shared out among {count} sources; take a multiple of {count}")
        cache = self._read(source)
        if rows != count:
            cache.select(torch.arange(count, device=cache.sources.device).repeat_interleave(rows // count))
        return cache

    @torch.no_grad()
    def step(self, token_ids: Tensor, cache: Cache) -> Tensor:
        """Each row writes a token: `token_ids` (R,) -> its state (R, D), as the whole sequence would give it."""
        state: Tensor = self.dropout(self._advanced(self.token_embedding(token_ids), cache)[-1])
        return state

    def _read(self, source: Batch) -> Cache:
        x = self.source_embedding(source.token_ids)  # (M, D)
        states: list[LSTMState] = []
        for layer in self.source_layers:
            x, last = layer(self.dropout(x), source.layout)
            states.append(last)
        count = len(source.layout.sizes)
        memory = None
        if self.alignment is not None:
            real = source.layout.real_grid if source.layout.has_pads else None
            memory = self.alignment.remember(self.dropout(source.layout.grid(x)), real)
        fed = x.new_zeros(count, self.width) if self.input_feeding else None
        return Cache(states, fed, memory, torch.arange(count, device=x.device))

    def _at_once(self, batch: Batch, cache: Cache) -> list[Tensor]:
        """Every layer's states (N, D): each LSTM over the whole target, then all steps attend in one product."""
        layout = batch.layout
        layers: list[Tensor] = [self.token_embedding(batch.token_ids)]
        for layer, state in zip(self._layers(), cache.states, strict=True):
            layers.append(_run(layer, self.dropout(layers[-1]), layout, state))
        if self.alignment is not None and cache.memory is not None:
            layers.append(layout.flat(self.alignment(layout.grid(layers[-1]), cache.memory)))
        return layers

    def _one_by_one(self, batch: Batch, cache: Cache) -> list[Tensor]:
        """Every layer's states (N, D), where what a step reads depends on what the one before gave."""
        token_ids = batch.layout.grid(batch.token_ids)  # (B, T)
        sampling = self.training and self.scheduled_sampling > 0
        own = torch.rand(token_ids.shape) < self.scheduled_sampling if sampling else None
        steps: list[list[Tensor]] = []
        for place, words in enumerate(token_ids.unbind(1)):
            if own is not None and steps:
                words = torch.where(own[:, place].to(words.device), self._most_probable(steps[-1][-1]), words)
            steps.append(self._advanced(self.token_embedding(words), cache))
        return [batch.layout.flat(torch.stack(layer, dim=1)) for layer in zip(*steps, strict=True)]

    @torch.no_grad()
    def _most_probable(self, state: Tensor) -> Tensor:
        logits: Tensor = state @ self.token_embedding.weight.T  # (B, V)
        return logits.argmax(-1)

    def _advanced(self, x: Tensor, cache: Cache) -> list[Tensor]:
        """One embedded token a row (R, D) -> what every layer makes of it; the cache has then read it."""
        layers = [x]
        for number, layer in enumerate(self._layers()):
            read = self.dropout(layers[-1])
            if number == 0 and cache.fed is not None:
                read = torch.cat((read, cache.fed), dim=-1)  # (R, 2 D)
            output, cache.states[number] = layer.step(read, cache.states[number])
            layers.append(output)
        if self.alignment is not None and cache.memory is not None:
            layers.append(self.alignment(layers[-1][:, None], cache.memory)[:, 0])
        if cache.fed is not None:
            cache.fed = layers[-1]
        return layers

    def _layers(self) -> Sequence[LSTM]:
        return cast(Sequence[LSTM], self.target_layers)


def _run(layer: LSTM, x: Tensor, layout: Layout, state: LSTMState) -> Tensor:
    """(N, D) -> (N, D) over each whole sequence, from its own first state (B, D)."""
    with torch.autocast(x.device.type, enabled=False):
        hidden, cell = (part[None] for part in state)
        states, _ = layer.cell(layout.grid(x.to(hidden.dtype)), (hidden, cell))
    return layout.flat(states)


def _source_of(batch: Batch | None) -> Batch:
    if batch is None or batch.source is None:
        raise InputError("model.name: rnn_seq2seq reads a source, and the batch has none; give pairs of sequences")
    return batch.source


def build(spec: Spec, inventory: Inventory) -> RNNSeq2Seq:
    """The model for the two sides of `inventory`. Raises `InputError` where there is one side only."""
    if inventory.source is None:
        raise InputError("model.name: rnn_seq2seq reads a source, and the data has one side only; give pairs")
    make = functools.partial(_assembled, spec, inventory.vocabulary.size, inventory.source.vocabulary.size)
    model: RNNSeq2Seq = built(make, functools.partial(_initialize, spec))
    return model


def _assembled(spec: Spec, vocabulary_size: int, source_size: int) -> RNNSeq2Seq:
    width, both = spec.hidden_size, spec.encoder_direction == "bidirectional"
    own = width // 2 if both else width
    feeding = [2 if spec.input_feeding and number == 0 else 1 for number in range(spec.num_hidden_layers)]
    return RNNSeq2Seq(
        nn.Embedding(vocabulary_size, width),
        nn.Embedding(source_size, width),
        [
            SourceLayer(
                LSTM(width, own) if spec.encoder_direction != "reversed" else None,
                LSTM(width, own) if spec.encoder_direction != "forward" else None,
            )
            for _ in feeding
        ],
        [LSTM(inputs * width, width) for inputs in feeding],
        None if spec.attention == NO_ATTENTION else Alignment(width, ALIGNMENT_SCORES[spec.attention](width)),
        input_feeding=spec.input_feeding,
        scheduled_sampling=spec.scheduled_sampling,
        dropout=spec.dropout,
    )


def _initialize(spec: Spec, model: nn.Module, seed: int) -> None:
    initialize_transformer(model, seed, std=spec.hidden_size**-0.5)
    initialize_lstm(model, seed)
    initialize_embeddings(model, seed, std=spec.initializer_range)
