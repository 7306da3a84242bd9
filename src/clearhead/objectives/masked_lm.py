"""Masked language modelling: some tokens are hidden in the input and asked for from both sides (Devlin et al. 2018)."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.models.states import States
from clearhead.objectives.decoder import INITIAL_STD, embedding_matrix, hidden_width, tie
from clearhead.objectives.loss import Loss, asked_places, token_loss
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

MASKED = "masked"


class Spec(SpecModel):
    """Each token but the special ones is chosen with `probability`, by itself; of the chosen, `mask_share` become
    [MASK], `random_share` a random token, `keep_share` stay (Devlin et al. 2018, arXiv:1810.04805, 3.1 and C.2).

    The choice is Bernoulli at every length: in a short line often nothing is asked, and it then counts for nothing.
    """

    probability: float = Field(default=0.15, gt=0, le=1)
    mask_share: float = Field(default=0.8, ge=0, le=1)
    random_share: float = Field(default=0.1, ge=0, le=1)
    keep_share: float = Field(default=0.1, ge=0, le=1)
    tie_embeddings: bool = True

    @model_validator(mode="after")
    def _shares_add_up(self) -> Spec:
        total = self.mask_share + self.random_share + self.keep_share
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            raise ValueError(f"mask_share, random_share and keep_share must add up to 1, not to {total:g}")
        return self


class MaskedLM(nn.Module):
    """-log p(x[t] | h[t]) over the chosen t, with logits LN(gelu(h A + a)) W^T + b, W the token embeddings."""

    asks = (MASKED,)

    def __init__(self, spec: Spec, vocabulary: Vocabulary, width: int, embedding_width: int) -> None:
        super().__init__()
        self.spec = spec
        self.vocabulary = vocabulary
        self.dense = nn.Linear(width, embedding_width)
        self.norm = nn.LayerNorm(embedding_width)
        self.decoder = nn.Linear(embedding_width, vocabulary.size)

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Labels `masked` (N,), and token ids in which those labels are hidden.

        Three numbers are drawn for each real token, in order: what is asked depends on the generator and the tokens,
        not on the layout, the pads or where one batch ends and the next begins.
        """
        real = batch.layout.real
        token_ids = batch.token_ids[real]  # (n,)
        draws = torch.rand((len(token_ids), 3), generator=generator, dtype=torch.float64).to(token_ids.device)
        chosen = (draws[:, 0] < self.spec.probability) & ~self._special(token_ids)
        hidden, labels = batch.token_ids.clone(), torch.full_like(batch.token_ids, NOT_ASKED)
        hidden[real] = torch.where(chosen, self._replaced(token_ids, draws[:, 1], draws[:, 2]), token_ids)
        labels[real] = token_ids.masked_fill(~chosen, NOT_ASKED)
        return replace(batch, token_ids=hidden, labels={**batch.labels, MASKED: labels})

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of each chosen token; the head is computed only there."""
        labels = batch.labels[MASKED]
        asked = asked_places(labels)
        transformed = self.norm(F.gelu(self.dense(states.hidden.index_select(0, asked))))  # (n, E)
        return token_loss(self.decoder(transformed), labels[asked])

    def _special(self, token_ids: Tensor) -> Tensor:
        return token_ids < first_word(self.vocabulary)

    def _replaced(self, token_ids: Tensor, kind: Tensor, word: Tensor) -> Tensor:
        """What stands in the input for each token, were it chosen; `kind` and `word` are uniform in [0, 1)."""
        first, mask_share, random_share = first_word(self.vocabulary), self.spec.mask_share, self.spec.random_share
        random_ids = first + (word * (self.vocabulary.size - first)).long()
        replaced = torch.where(kind < mask_share + random_share, random_ids, token_ids)
        return replaced.masked_fill(kind < mask_share, self.vocabulary.mask)


def first_word(vocabulary: Vocabulary) -> int:
    """The first id that is a word: the special ones are the lowest."""
    return 1 + max(vocabulary.pad, vocabulary.unknown, vocabulary.begin, vocabulary.end, vocabulary.mask)


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> MaskedLM:
    """BERT's head: dense, gelu, layer norm, then the vocabulary."""
    embeddings = embedding_matrix(model)
    make = functools.partial(MaskedLM, spec, inventory.vocabulary, hidden_width(model), embeddings.shape[1])
    head: MaskedLM = built(make, functools.partial(initialize_transformer, std=INITIAL_STD))
    if spec.tie_embeddings:
        tie(head.decoder, embeddings)
    return head
