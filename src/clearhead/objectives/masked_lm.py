"""Masked language modelling: some tokens are hidden in the input and asked for from both sides (Devlin et al. 2018)."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import NO_FEATURE, NOT_ASKED, Batch
from clearhead.errors import InputError
from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.embeddings import first_word
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.models.states import States
from clearhead.models.transformer import BLOCKED
from clearhead.objectives.decoder import INITIAL_STD, embedding_matrix, hidden_width, tie
from clearhead.objectives.loss import Loss, LossSpec, asked_places, token_loss
from clearhead.objectives.masking import SPAN_LENGTHS, fixed_draws, in_spans, singly, unit_starts, with_one_each
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

MASKED = "masked"
DRAWS = 3  # for each token: whether it is chosen, what replaces it, which word where that is a random one
PAPERS_SHARES = (0.8, 0.1, 0.1)
# The fields that change what is asked.
ASKING: frozenset[str] = frozenset(
    {
        *("probability", "mask_share", "random_share", "keep_share", "whole_word", "spans"),
        *("masking", "masking_seed", "at_least_one", "hiding"),
    }
)


class Spec(SpecModel):
    """Each token but the special ones is chosen with `probability`; of the chosen, `mask_share` become [MASK],
    `random_share` a random token, `keep_share` stay (Devlin et al. 2018, arXiv:1810.04805, 3.1 and C.2).

    `whole_word`: the pieces of a word are chosen together, each replaced by itself. `spans`: words in a row (or tokens)
    are chosen and replaced together, in lengths of SpanBERT (`geometric`) or ALBERT (`ngram`).
    `masking` static: a sequence has the same questions at every epoch, drawn from its ids and `masking_seed`.

    In short lines often nothing is asked, and they then count for nothing: the choice is Bernoulli at every length.
    `at_least_one` asks for one token where none was chosen, so short lines are asked more than `probability` of theirs.

    `hiding`: the chosen tokens are replaced in the input; or left there and blocked, so that no token attends to them
    (each still knows itself: what is asked can be copied); or both.
    """

    probability: float = Field(default=0.15, gt=0, le=1)
    mask_share: float = Field(default=PAPERS_SHARES[0], ge=0, le=1)
    random_share: float = Field(default=PAPERS_SHARES[1], ge=0, le=1)
    keep_share: float = Field(default=PAPERS_SHARES[2], ge=0, le=1)
    whole_word: bool = False
    spans: Literal["none", "geometric", "ngram"] = "none"
    masking: Literal["dynamic", "static"] = "dynamic"
    masking_seed: int = Field(default=0, ge=0, lt=2**32)
    at_least_one: bool = False
    hiding: Literal["replace", "block", "both"] = "replace"
    tie_embeddings: bool = True
    loss: LossSpec = LossSpec()

    @model_validator(mode="after")
    def _shares_add_up(self) -> Spec:
        shares = (self.mask_share, self.random_share, self.keep_share)
        if not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
            raise ValueError(f"mask_share, random_share and keep_share must add up to 1, not to {sum(shares):g}")
        if self.hiding == "block" and shares != PAPERS_SHARES:
            raise ValueError("hiding: block replaces nothing, so mask_share, random_share and keep_share do not act")
        if self.masking == "dynamic" and self.masking_seed != 0:
            raise ValueError("masking_seed: dynamic masking follows the seed of the run; set masking to static")
        return self


class MaskedLM(nn.Module):
    """-log p(x[t] | h[t]) over the chosen t, with logits LN(gelu(h A + a)) W^T + b, W the token embeddings."""

    asks = (MASKED,)
    continues: Tensor

    def __init__(self, spec: Spec, vocabulary: Vocabulary, width: int, embedding_width: int) -> None:
        super().__init__()
        self.spec = spec
        self.vocabulary = vocabulary
        self.dense = nn.Linear(width, embedding_width)
        self.norm = nn.LayerNorm(embedding_width)
        self.decoder = nn.Linear(embedding_width, vocabulary.size)
        pieces = torch.zeros(vocabulary.size, dtype=torch.bool)
        pieces[list(vocabulary.continues)] = spec.whole_word
        self.register_buffer("continues", pieces, persistent=False)

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Labels `masked` (N,), and token ids in which those labels are hidden (or the feature `blocked` (N, 1)).

        Three numbers are drawn for each real token, in order: what is asked depends on the generator and the tokens,
        not on the layout, the pads or where one batch ends and the next begins.
        """
        real = batch.layout.real
        token_ids = batch.token_ids[real]  # (n,)
        draws = self._draws(token_ids, batch.layout.sizes, generator)
        chosen, kinds = self._chosen(token_ids, draws, batch.layout.sequence_ids[real])
        labels = torch.full_like(batch.token_ids, NOT_ASKED)
        labels[real] = token_ids.masked_fill(~chosen, NOT_ASKED)
        asked = replace(batch, labels={**batch.labels, MASKED: labels})
        if self.spec.hiding != "replace":
            blocked = (labels != NOT_ASKED).long()[:, None]  # (N, 1)
            asked = replace(asked, features={**batch.features, BLOCKED: blocked})
        if self.spec.hiding == "block":
            return asked
        hidden = batch.token_ids.clone()
        hidden[real] = torch.where(chosen, self._replaced(token_ids, kinds, draws[:, 2]), token_ids)
        # What else is said of a chosen token, its characters above all, would give it away.
        told = (labels != NOT_ASKED)[:, None]
        kept = {
            name: rows if name == BLOCKED else rows.masked_fill(told, NO_FEATURE)
            for name, rows in asked.features.items()
        }
        return replace(asked, token_ids=hidden, features=kept)

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of each chosen token; the head is computed only there."""
        labels = batch.labels[MASKED]
        asked = asked_places(labels)
        transformed = self.norm(F.gelu(self.dense(states.hidden.index_select(0, asked))))  # (n, E)
        return token_loss(self.decoder(transformed), labels[asked], self.spec.loss)

    def _draws(self, token_ids: Tensor, sizes: list[int], generator: torch.Generator) -> Tensor:
        """Numbers uniform in [0, 1) (n, DRAWS)."""
        if self.spec.masking == "static":
            drawn = fixed_draws(token_ids, sizes, DRAWS, self.spec.masking_seed)
        else:
            drawn = torch.rand((len(token_ids), DRAWS), generator=generator, dtype=torch.float64)
        return drawn.to(token_ids.device)

    def _chosen(self, token_ids: Tensor, draws: Tensor, sequence_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Which tokens are asked for (n,), and the number (n,) that decides what replaces each."""
        spec = self.spec
        special = token_ids < first_word(self.vocabulary)
        starts = unit_starts(special, self.continues[token_ids], sequence_ids)
        unit_draws, unit_special, unit_sequence = draws[starts], special[starts], sequence_ids[starts]
        if spec.spans == "none":
            leaders = singly(unit_draws[:, 0], unit_special, spec.probability)
        else:
            lengths = SPAN_LENGTHS[spec.spans]
            leaders = in_spans(unit_draws[:, 0], unit_special, unit_sequence, spec.probability, lengths)
        if spec.at_least_one:
            leaders = with_one_each(leaders, unit_draws[:, 0], unit_special, unit_sequence)
        token_leaders = leaders[starts.cumsum(0) - 1]  # (n,)
        kinds = draws[:, 1] if spec.spans == "none" else unit_draws[token_leaders, 1]
        return token_leaders >= 0, kinds

    def _replaced(self, token_ids: Tensor, kind: Tensor, word: Tensor) -> Tensor:
        """What stands in the input for each token, were it chosen; `kind` and `word` are uniform in [0, 1)."""
        first, mask_share, random_share = first_word(self.vocabulary), self.spec.mask_share, self.spec.random_share
        random_ids = first + (word * (self.vocabulary.size - first)).long()
        replaced = torch.where(kind < mask_share + random_share, random_ids, token_ids)
        return replaced.masked_fill(kind < mask_share, self.vocabulary.mask)


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> MaskedLM:
    """BERT's head: dense, gelu, layer norm, then the vocabulary. Raises `InputError` for a choice that cannot act."""
    if spec.whole_word and not inventory.vocabulary.continues:
        raise InputError(
            "objective.whole_word: these tokens do not say which of them continue a word; take text.tokenizer wordpiece"
        )
    if spec.hiding != "replace" and not any(isinstance(part, MultiHeadAttention) for part in model.modules()):
        raise InputError(f"objective.hiding: {spec.hiding} blocks keys of attention, and this model has none")
    embeddings = embedding_matrix(model)
    make = functools.partial(MaskedLM, spec, inventory.vocabulary, hidden_width(model), embeddings.shape[1])
    head: MaskedLM = built(make, functools.partial(initialize_transformer, std=INITIAL_STD))
    if spec.tie_embeddings:
        tie(head.decoder, embeddings)
    return head
