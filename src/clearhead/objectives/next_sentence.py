"""Next sentence prediction, and sentence order prediction: does B go on where A ends? (Devlin et al. 2018; Lan et al.
2019). Half of the true pairs of a batch are spoilt, and the pooled first token is asked which.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from clearhead.batches.batch import NO_FEATURE, NOT_ASKED, Batch
from clearhead.batches.layout import Layout
from clearhead.batches.pairs import kept_lengths
from clearhead.errors import InputError
from clearhead.layers.initialization import built, initialize_transformer
from clearhead.layers.pooling import Pooler, first, first_places, pooler_of
from clearhead.models.states import States
from clearhead.objectives.decoder import INITIAL_STD, hidden_width
from clearhead.objectives.loss import Loss, asked_places, token_loss
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

Parts = tuple[list[int], list[int]]  # the places in the stream of [begin] A [end] and of B [end]
NEXT_SENTENCE = "next_sentence"
TRUE, SPOILT = 0, 1  # as Hugging Face's labels
ASKING: frozenset[str] = frozenset({"kind"})  # the fields that change what is asked


class Spec(SpecModel):
    """`kind` nsp: B comes from another pair of the batch (Devlin et al. 2018, arXiv:1810.04805, 3.1, task 2); sop: A
    and B change places (Lan et al. 2019, arXiv:1909.11942, 3.1)."""

    kind: Literal["nsp", "sop"] = "nsp"


class NextSentence(nn.Module):
    """-log p(c | h) of each pair, logits W tanh(W_p h_1 + b_p) + b; c is 0 for a true pair and 1 for a spoilt one."""

    asks = (NEXT_SENTENCE,)

    def __init__(self, spec: Spec, inventory: Inventory, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.pad = inventory.vocabulary.pad
        self.max_length = inventory.max_length
        self.pooler = Pooler(width)
        self.classifier = nn.Linear(width, 2)

    def ask(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Half of the pairs spoilt, so in a new layout, and labels `next_sentence` (N,) at the first tokens.

        Two numbers are drawn for each sequence, in order. A pair is [begin] A [end] of token type 0 and B [end] of type
        1. A sequence without B is no pair and is not asked, and in nsp a pair alone in its batch is not either: there
        is no other B. A pair that grows beyond the longest sequence of the data is cut as true ones are, the longer
        part first. All other maps go with their tokens. Raises `InputError` for a batch without token types.
        """
        if batch.token_type_ids is None:
            raise InputError("objective.name: next_sentence asks about pairs; set text.unit to pair")
        draws = torch.rand((len(batch.layout.sizes), 2), generator=generator, dtype=torch.float64).tolist()
        parts = _parts(batch.layout, batch.token_type_ids)
        pairs = [number for number, part in enumerate(parts) if _is_pair(part)]
        if self.spec.kind == "nsp" and len(pairs) < 2:
            pairs = []
        labels = [NOT_ASKED] * len(parts)
        rows = list(parts)
        for place, number in enumerate(pairs):
            spoil, which = draws[number]
            labels[number] = SPOILT if spoil < 0.5 else TRUE
            if labels[number] == SPOILT:
                other = pairs[(place + 1 + int(which * (len(pairs) - 1))) % len(pairs)]
                rows[number] = self._spoilt(parts[number], parts[other])
        return _gathered(batch, rows, labels, self.pad)

    def loss(self, states: States, batch: Batch) -> Loss:
        """Nats of each asked pair; the head is computed only there."""
        labels = batch.labels[NEXT_SENTENCE]
        asked = asked_places(labels)
        return token_loss(self.logits(states.hidden.index_select(0, asked)), labels[asked])

    def answer(self, states: States, batch: Batch) -> list[int]:
        """For each sequence 0 where B goes on from A, 1 where it does not."""
        answers: list[int] = self.logits(first(states.hidden, states.layout)).argmax(-1).tolist()
        return answers

    def logits(self, first_states: Tensor) -> Tensor:
        """(n, D) states of first tokens -> (n, 2)."""
        judged: Tensor = self.classifier(self.pooler(first_states))
        return judged

    def _spoilt(self, pair: Parts, other: Parts) -> Parts:
        """The places of the false pair that is made of a true one, of those that fit; the marks stay."""
        begins, ends = pair
        if self.spec.kind == "sop":
            return [begins[0], *ends], begins[1:]
        ends = other[1]
        kept, kept_too = kept_lengths(len(begins) - 2, len(ends) - 1, self.max_length)
        return [*begins[: 1 + kept], begins[-1]], [*ends[:kept_too], ends[-1]]


def _is_pair(parts: Parts) -> bool:
    """Whether either part holds a token beside its marks."""
    return len(parts[0]) > 2 and len(parts[1]) > 1


def _parts(layout: Layout, token_type_ids: Tensor) -> list[Parts]:
    """The places in the stream of either part of each sequence: the tokens of type 0, and those after them."""
    of_type_0 = layout.lengths.new_zeros(len(layout.sizes))
    of_type_0.index_add_(0, layout.take_real(layout.sequence_ids), layout.take_real(token_type_ids == 0).long())
    cuts = zip(first_places(layout).tolist(), of_type_0.tolist(), layout.sizes, strict=True)
    return [(list(range(at, at + first)), list(range(at + first, at + size))) for at, first, size in cuts]


def _gathered(batch: Batch, rows: Sequence[Parts], labels: Sequence[int], pad: int) -> Batch:
    """The batch whose sequences are those places of the old one, part by part, with a label each."""
    device = batch.token_ids.device
    sizes = [len(begins) + len(ends) for begins, ends in rows]
    layout = Layout(torch.tensor(sizes, device=device), max(sizes), batch.layout.packed)
    parts = list(chain(*rows))
    places = torch.tensor(list(chain(*parts)), device=device)
    lengths = torch.tensor([len(part) for part in parts], device=device)
    types = torch.tensor([0, 1], device=device).repeat(len(rows)).repeat_interleave(lengths)

    def moved(stream: Tensor, fill: int) -> Tensor:
        taken = stream.index_select(0, places)
        return taken if layout.packed else layout.put_real(taken - fill) + fill

    asked = torch.full((layout.tokens,), NOT_ASKED, device=device)
    asked[first_places(layout)] = torch.tensor(labels, device=device)
    return replace(
        batch,
        token_ids=moved(batch.token_ids, pad),
        layout=layout,
        token_type_ids=layout.put_real(types),
        labels={**{name: moved(stream, NOT_ASKED) for name, stream in batch.labels.items()}, NEXT_SENTENCE: asked},
        features={name: moved(stream, NO_FEATURE) for name, stream in batch.features.items()},
    )


def build(spec: Spec, model: nn.Module, inventory: Inventory) -> NextSentence:
    """The head, on the pooler of the trunk where it has one."""
    make = functools.partial(NextSentence, spec, inventory, hidden_width(model))
    head: NextSentence = built(make, functools.partial(initialize_transformer, std=INITIAL_STD))
    head.pooler = pooler_of(model) or head.pooler
    return head
