"""What each dropout drops together, and what it leaves as it was."""

from __future__ import annotations

import pytest
import torch

from clearhead.batches.layout import Layout
from clearhead.layers.dropout import DROPOUTS, VariationalDropout, WordDropout

LENGTHS = torch.tensor([4, 1, 6])
PACKED, DENSE = Layout(LENGTHS, 6, packed=True), Layout(LENGTHS, 6, packed=False)
EVERY = pytest.mark.parametrize("kind", DROPOUTS)


@EVERY
def test_in_evaluation_and_at_zero_nothing_changes(kind: str) -> None:
    x = torch.randn(PACKED.tokens, 5)
    assert torch.equal(DROPOUTS[kind](0.5).eval()(x, PACKED), x)
    assert torch.equal(DROPOUTS[kind](0.0)(x, PACKED), x)
    token_ids = torch.arange(PACKED.tokens)
    assert torch.equal(WordDropout(20, 0.5).eval()(x, token_ids), x)
    assert torch.equal(WordDropout(20, 0.0)(x, token_ids), x)


@EVERY
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_expectation_is_kept(kind: str, p: float) -> None:
    torch.manual_seed(0)
    layout = Layout(torch.full((4000,), 2), 2, packed=True)
    dropped = DROPOUTS[kind](p)(torch.ones(layout.tokens, 20), layout)
    assert sorted(dropped.unique().tolist()) == pytest.approx([0, 1 / (1 - p)])
    # 4000 * 20 masks at least: four standard errors of their mean
    assert dropped.mean().item() == pytest.approx(1, abs=4 * (p / (1 - p) / 80_000) ** 0.5)


def test_one_mask_a_sequence_and_another_in_the_next() -> None:
    torch.manual_seed(0)
    mask = VariationalDropout(0.5)(torch.ones(PACKED.tokens, 40), PACKED)
    first, _, last = mask.split(PACKED.sizes)
    assert (first == first[0]).all()
    assert (last == last[0]).all()
    assert not torch.equal(first[0], last[0])
    assert 0.2 < (first[0] == 0).double().mean() < 0.8


def test_plain_masks_differ_from_token_to_token() -> None:
    torch.manual_seed(0)
    mask = DROPOUTS["plain"](0.5)(torch.ones(PACKED.tokens, 40), PACKED)
    assert len(mask.unique(dim=0)) == PACKED.tokens


def test_every_call_draws_anew() -> None:
    torch.manual_seed(0)
    dropout, x = VariationalDropout(0.5), torch.ones(PACKED.tokens, 40)
    assert not torch.equal(dropout(x, PACKED), dropout(x, PACKED))


def test_dense_and_packed_drop_the_same_features() -> None:
    x = torch.randn(PACKED.tokens, 7)
    dense = torch.zeros(DENSE.tokens, 7)
    dense[DENSE.real] = x
    torch.manual_seed(3)
    one = VariationalDropout(0.5)(x, PACKED)
    torch.manual_seed(3)
    other = VariationalDropout(0.5)(dense, DENSE)
    assert torch.equal(one, DENSE.take_real(other))


def test_a_word_is_dropped_at_all_its_places_and_whole() -> None:
    torch.manual_seed(0)
    token_ids = torch.randint(50, (400,))
    dropped = WordDropout(50, 0.3)(torch.ones(400, 3), token_ids)
    for word in token_ids.unique():
        assert len(dropped[token_ids == word].unique()) == 1
    gone = {word.item() for word in token_ids.unique() if dropped[token_ids == word].max() == 0}
    assert 5 <= len(gone) <= 25
    assert dropped.max().item() == pytest.approx(1 / 0.7)


def test_gradients_flow_through_what_is_kept_alone() -> None:
    torch.manual_seed(0)
    x = torch.randn(PACKED.tokens, 9, dtype=torch.float64, requires_grad=True)
    dropped = VariationalDropout(0.5)(x, PACKED)
    dropped.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), dropped.detach(), rtol=0, atol=1e-15)
