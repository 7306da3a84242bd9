"""Which tag may follow which, by hand and over all taggings."""

from __future__ import annotations

import itertools

import pytest
import torch

from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.structured import Chain, log_partition, score
from clearhead.layers.tag_constraints import constrain, tag_constraints
from clearhead.text.tag_schemes import Span, tags_of

LABELS = {
    "bio": ("O", "B-A", "I-A", "B-B", "I-B"),
    "iob1": ("O", "I-A", "B-A", "I-B", "B-B"),
    "bioes": ("O", "B-A", "I-A", "E-A", "S-A", "S-B"),
    "bmes": ("B", "M", "E", "S"),
}


def every_marking(length: int, kinds: tuple[str, ...]) -> set[tuple[Span, ...]]:
    """All ways of marking spans in a sentence."""
    if not length:
        return {()}
    found = set(every_marking(length - 1, kinds))
    for size, kind in itertools.product(range(1, length + 1), kinds):
        found |= {(*before, Span(length - size, length, kind)) for before in every_marking(length - size, kinds)}
    return found


@pytest.mark.parametrize("scheme", LABELS)
@pytest.mark.parametrize("length", [1, 2, 4])
def test_what_is_possible_is_what_the_scheme_writes(scheme: str, length: int) -> None:
    """Over all taggings: those that mark some spans, letter for letter, and no others."""
    labels = LABELS[scheme]
    kinds = ("",) if scheme == "bmes" else ("A", "B")
    written = {tags_of(marking, length, scheme) for marking in every_marking(length, kinds)}  # type: ignore[arg-type]
    taggings = list(itertools.product(labels, repeat=length))
    assert written & set(taggings)
    layout = Layout(torch.full((len(taggings),), length), length, packed=True)
    flat = Chain(torch.zeros(layout.tokens, len(labels)), torch.zeros(len(labels), len(labels)), layout)
    ids = torch.tensor([labels.index(tag) for tagging in taggings for tag in tagging])
    weights = score(constrain(flat, tag_constraints(labels, scheme)), ids)  # type: ignore[arg-type]
    possible = {tagging for tagging, weight in zip(taggings, weights.tolist(), strict=True) if weight == 0}
    assert possible == written & set(taggings)
    assert set(weights.tolist()) <= {0.0, -torch.inf}


def test_weights_that_are_there_stay() -> None:
    layout = Layout(torch.tensor([3]), 3, packed=True)
    own = torch.arange(25.0).reshape(5, 5)
    free = Chain(torch.zeros(3, 5), own, layout, start=own[0], end=own[1])
    held = constrain(free, tag_constraints(LABELS["bio"], "bio"))
    assert (log_partition(held) < log_partition(free)).all()
    for one, other in ((held.start, own[0]), (held.transition, own), (held.end, own[1])):
        assert one is not None
        assert torch.equal(one[one > -torch.inf], other[one > -torch.inf])


def test_labels_of_another_scheme_are_refused() -> None:
    with pytest.raises(InputError, match="the tag 'NOUN' is not of the scheme bio"):
        tag_constraints(("O", "NOUN"), "bio")
    with pytest.raises(InputError, match=r"'[ES]-A' is not of the scheme bio"):
        tag_constraints(LABELS["bioes"], "bio")
