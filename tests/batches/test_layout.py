"""The way to rows and back, for layouts of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clearhead.batches.layout import Layout, like_lengths

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    sizes, packed, extra = draw(lengths), draw(st.booleans()), draw(st.integers(0, 3))
    return Layout(torch.tensor(sizes), max(sizes) + (0 if packed else extra), packed)


def stream(layout: Layout, *shape: int) -> Tensor:
    return torch.arange(layout.tokens * int(np.prod(shape)), dtype=torch.float64).reshape(layout.tokens, *shape) + 1


@given(layouts())
def test_grid_and_flat_undo_each_other(layout: Layout) -> None:
    x = stream(layout, 2, 3)
    grid = layout.grid(x)
    assert grid.shape == (len(layout.lengths), layout.longest, 2, 3)
    assert torch.equal(layout.flat(grid), x)


@given(layouts())
def test_a_row_of_the_grid_is_a_sequence(layout: Layout) -> None:
    x = stream(layout)
    grid = layout.grid(x, fill=-1.0)
    for row, size in enumerate(layout.sizes):
        assert torch.equal(grid[row, :size], x[layout.real & (layout.sequence_ids == row)])
        if layout.packed:
            assert (grid[row, size:] == -1).all()
    assert torch.equal(layout.real_grid, layout.grid(layout.real.double()) == 1)


@given(layouts())
def test_places_count_from_the_start_of_each_sequence(layout: Layout) -> None:
    assert len(layout.position_ids) == len(layout.sequence_ids) == len(layout.real) == layout.tokens
    real = layout.real
    assert int(real.sum()) == int(layout.lengths.sum())
    expected = [(row, place) for row, size in enumerate(layout.sizes) for place in range(size)]
    assert list(zip(layout.sequence_ids[real].tolist(), layout.position_ids[real].tolist(), strict=True)) == expected
    assert (layout.position_ids[~real] >= layout.lengths[layout.sequence_ids[~real]]).all()


@given(layouts())
def test_fold_and_unfold_undo_each_other_and_keep_sequences_whole(layout: Layout) -> None:
    x = torch.stack((layout.sequence_ids, layout.position_ids), dim=-1)
    blocks = layout.fold(x)
    assert torch.equal(layout.unfold(blocks), x)
    sizes: list[int] = []
    for block, group in zip(blocks, layout.groups, strict=True):
        assert block.shape == (group.sequences, group.longest, 2)
        real = torch.ones(block.shape[:2], dtype=torch.bool) if group.real is None else group.real
        sizes += real.sum(1).tolist()
        for row, here in zip(block, real, strict=True):
            assert len(set(row[here][:, 0].tolist())) == 1
            assert row[here][:, 1].tolist() == list(range(int(here.sum())))
    assert sorted(sizes) == sorted(layout.sizes)


@given(layouts())
def test_take_and_put_real(layout: Layout) -> None:
    x = stream(layout, 2)
    taken = layout.take_real(x)
    assert torch.equal(taken, x[layout.real])
    put = layout.put_real(taken)
    assert torch.equal(put, x * layout.real[:, None])


@given(layouts())
def test_reverse_turns_every_sequence_around(layout: Layout) -> None:
    x = stream(layout)
    turned = layout.reverse(x)
    assert torch.equal(layout.reverse(turned), x)
    for row in range(len(layout.sizes)):
        here = layout.real & (layout.sequence_ids == row)
        assert torch.equal(turned[here], x[here].flip(0))
    assert torch.equal(turned[~layout.real], x[~layout.real])


@given(lengths, st.integers(0, 30))
def test_groups_hold_every_sequence_once_with_few_pads(sizes: list[int], allowed: int) -> None:
    groups = like_lengths(np.array(sizes), allowed)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(sizes)))
    for group in groups:
        inside = np.array(sizes)[group]
        assert (inside[:-1] >= inside[1:]).all()
        assert inside[0] * len(inside) - inside.sum() <= allowed


def test_dense_and_even_packed_layouts_are_views() -> None:
    for layout in (Layout(torch.tensor([2, 3]), 4, packed=False), Layout(torch.tensor([3, 3]), 3, packed=True)):
        x = stream(layout, 2)
        for back in (layout.flat(layout.grid(x)), layout.unfold(layout.fold(x)), layout.grid(x), *layout.fold(x)):
            assert back.data_ptr() == x.data_ptr()


@pytest.mark.parametrize("packed", [True, False])
def test_gradients_pass_through_every_way(packed: bool) -> None:
    layout = Layout(torch.tensor([3, 1, 20]), 20, packed)
    x = torch.randn(layout.tokens, 1, dtype=torch.float64, requires_grad=True)

    def ways(x: Tensor) -> Tensor:
        folded = layout.unfold([block.square() for block in layout.fold(x)])
        return layout.flat(layout.grid(x).sin()) + folded + layout.put_real(layout.take_real(x).exp())

    assert torch.autograd.gradcheck(ways, x)
    assert torch.autograd.gradgradcheck(ways, x)


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_kept_in_inference_mode_serves_training(packed: bool) -> None:
    layout = Layout(torch.tensor([3, 9, 1]), 9, packed)
    x = torch.randn(layout.tokens, 2, requires_grad=True)

    def everything(x: Tensor) -> Tensor:
        unfolded = layout.unfold(layout.fold(layout.reverse(x)))
        return layout.flat(layout.grid(x)) + unfolded + layout.put_real(layout.take_real(x))

    with torch.inference_mode():
        everything(x)
        kept = (layout.position_ids, layout.sequence_ids, layout.real, layout.real_grid)
    everything(x).sum().backward()
    assert x.grad is not None
    assert not any(tensor.is_inference() for tensor in kept)
