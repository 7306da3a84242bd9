"""Cross attention by hand, and the pairs of like lengths that its fused path folds together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearhead.batches.layout import Layout
from clearhead.evaluation.probes import watch
from clearhead.layers.cross_attention import CrossAttention, Source
from clearhead.layers.pairing import Pairing, like_pairs

D, HEADS = 8, 2
lengths = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)), min_size=1, max_size=12)


def by_hand(attend: CrossAttention, x: torch.Tensor, layout: Layout, y: torch.Tensor, source: Layout) -> torch.Tensor:
    """One query, one head, one sequence at a time."""
    query = attend.query(x).unflatten(-1, (HEADS, -1))
    key, value = attend.key_value(y).unflatten(-1, (2, HEADS, -1)).unbind(1)
    mixed = torch.zeros_like(query)
    for token, head in itertools.product(range(layout.tokens), range(HEADS)):
        here = source.real & (source.sequence_ids == layout.sequence_ids[token])
        weights = (key[here, head] @ query[token, head] / (D // HEADS) ** 0.5).softmax(0)
        mixed[token, head] = weights @ value[here, head]
    return attend.output(mixed.flatten(1))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("packed", "source_packed"), itertools.product([True, False], repeat=2))
def test_it_by_hand(fused: bool, packed: bool, source_packed: bool) -> None:
    attend = CrossAttention(D, HEADS, fused=fused).double()
    layout, source = Layout(torch.tensor([3, 1, 5]), 5, packed), Layout(torch.tensor([2, 6, 1]), 6, source_packed)
    x, y = torch.randn(layout.tokens, D).double(), torch.randn(source.tokens, D).double()
    mixed = attend(x, Source(y, Pairing(layout, source)))
    torch.testing.assert_close(mixed, by_hand(attend, x, layout, y, source), rtol=0, atol=1e-12)


def test_its_weights_can_be_watched() -> None:
    attend = CrossAttention(D, HEADS, fused=False)
    layout, source = Layout(torch.tensor([3, 1]), 3, True), Layout(torch.tensor([2, 6]), 6, True)
    with watch(attend, ["weights"]) as seen:
        attend(torch.randn(4, D), Source(torch.randn(8, D), Pairing(layout, source)))
    (weights,) = seen["weights"]
    assert weights.shape == (2, HEADS, 3, 6)
    assert torch.count_nonzero(weights[0, :, :, 2:]) == 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, HEADS, 3))


@given(lengths, st.booleans(), st.booleans())
def test_every_token_finds_its_own_source(pairs: list[tuple[int, int]], packed: bool, source_packed: bool) -> None:
    sizes, source_sizes = (torch.tensor(column) for column in zip(*pairs, strict=True))
    layout = Layout(sizes, int(sizes.max()), packed)
    source = Layout(source_sizes, int(source_sizes.max()), source_packed)
    pairing = Pairing(layout, source)
    if not source.tokens:
        return
    blocks, told = pairing.fold(layout.sequence_ids), pairing.fold_source(source.sequence_ids)
    assert torch.equal(pairing.unfold(blocks), layout.sequence_ids)
    seen = 0
    for group, block, other in zip(pairing.groups, blocks, told, strict=True):
        assert block.shape == (group.pairs, group.longest)
        assert other.shape == (group.pairs, group.longest_source)
        real = torch.ones_like(other, dtype=torch.bool) if group.real is None else group.real
        seen += int(real.sum())
        owners = block[:, :1].expand_as(other)
        assert torch.equal(other[real], owners[real])
    assert seen == int(source_sizes.sum())


@given(lengths, st.integers(0, 300))
def test_groups_are_all_pairs_with_few_wasted_cells(pairs: list[tuple[int, int]], allowed: int) -> None:
    sizes, source_sizes = np.array(pairs).T
    groups = like_pairs(sizes, source_sizes, allowed)
    assert sorted(np.concatenate(groups)) == list(range(len(pairs)))
    for group in groups:
        cells = len(group) * sizes[group].max() * source_sizes[group].max()
        assert cells - (sizes[group] * source_sizes[group]).sum() <= allowed
