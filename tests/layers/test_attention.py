"""Attention by hand: the fused path and its slow twin. Torch's own: tests/parity; layouts: tests/contracts."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from clearhead.batches.layout import Layout
from clearhead.evaluation.probes import watch
from clearhead.layers.attention import MultiHeadAttention, attention
from clearhead.layers.masks import Mask, anticausal, causal, full, prefix, window
from clearhead.layers.positions import Alibi, Rotary
from clearhead.layers.scores import SCORES

H, SIZE = 2, 4
LENGTHS = torch.tensor([5, 1, 26, 3, 25])
LAYOUTS = [Layout(LENGTHS, 26, packed=True), Layout(LENGTHS, 28, packed=False), Layout(torch.tensor([4, 4]), 4, True)]
MASKS = {
    "full": full(),
    "causal": causal(),
    "anticausal": anticausal(),
    "window": window(2),
    "causal window": causal() & window(3),
    "prefix": causal() | prefix(2),
    "blind": prefix(1) & window(2),  # late queries see no key at all
}


def heads(layout: Layout, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(layout.tokens, 3, H, SIZE, generator=generator, dtype=torch.float64, requires_grad=True)


def by_hand(qkv: Tensor, layout: Layout, mask: Mask, scale: float, bias: Tensor | None) -> Tensor:
    """One query at a time, one sequence at a time, real tokens alone."""
    result = torch.zeros(layout.tokens, H, SIZE, dtype=torch.float64)
    for row, head in itertools.product(range(len(layout.sizes)), range(H)):
        places = (layout.real & (layout.sequence_ids == row)).nonzero().flatten()
        query, key, value = qkv[places, :, head].unbind(1)
        for t in range(len(places)):
            seen = [s for s in range(len(places)) if mask(torch.tensor(t), torch.tensor(s))]
            if seen:
                scores = scale * (key[seen] @ query[t])
                scores = scores if bias is None else scores + bias[head, t, seen]
                result[places[t], head] = scores.softmax(0) @ value[seen]
    return result


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["packed", "dense", "even"])
@pytest.mark.parametrize("biased", [False, True])
def test_the_fused_path_by_hand(mask: Mask, layout: Layout, biased: bool) -> None:
    qkv = heads(layout)
    bias = Alibi(H) if biased else None
    mixed = attention(qkv, layout, mask=mask, scale=0.7, bias=bias)
    table = None if bias is None else bias(layout.longest, torch.float64, qkv.device)
    expected = by_hand(qkv.detach(), layout, mask, 0.7, table)
    torch.testing.assert_close(mixed[layout.real], expected[layout.real], rtol=0, atol=1e-12)


def test_the_scale_is_one_over_the_root_of_the_head_size_unless_given() -> None:
    layout = LAYOUTS[0]
    torch.testing.assert_close(
        attention(heads(layout), layout), attention(heads(layout), layout, scale=SIZE**-0.5), rtol=0, atol=1e-14
    )


def module(mask: Mask, *, fused: bool, rotation: bool = False, bias: bool = False) -> MultiHeadAttention:
    torch.manual_seed(0)
    return MultiHeadAttention(
        H * SIZE,
        H,
        mask=mask,
        fused=fused,
        rotation=Rotary() if rotation else None,
        bias=Alibi(H) if bias else None,
    ).double()


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["packed", "dense", "even"])
@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_fused_equals_slow(mask: Mask, layout: Layout, rotation: bool, bias: bool) -> None:
    """At pads too, and in every gradient."""
    x = torch.randn(layout.tokens, H * SIZE, dtype=torch.float64, requires_grad=True)
    results = []
    for fused in (True, False):
        attend = module(mask, fused=fused, rotation=rotation, bias=bias)
        mixed = attend(x, layout)
        results.append((mixed, *torch.autograd.grad(mixed.sin().sum(), [x, *attend.parameters()])))
    for one, other in zip(*results, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS, ids=["packed", "dense", "even"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_query_that_sees_nothing_gives_zeros(layout: Layout, fused: bool, bias: bool) -> None:
    attend = module(MASKS["blind"], fused=fused, bias=bias)
    torch.nn.init.zeros_(attend.output.bias)
    x = torch.randn(layout.tokens, H * SIZE, dtype=torch.float64, requires_grad=True)
    mixed = attend(x, layout)
    blind = layout.position_ids > 2
    assert torch.count_nonzero(mixed[blind]) == 0
    assert (mixed[~blind & layout.real].abs().sum(-1) > 0).all()
    mixed.square().sum().backward()
    assert torch.isfinite(x.grad).all()  # type: ignore[arg-type]


def test_the_weights_of_the_slow_twin_can_be_watched() -> None:
    attend, layout = module(causal() & window(2), fused=False), LAYOUTS[0]
    x = torch.randn(layout.tokens, H * SIZE, dtype=torch.float64)
    with watch(attend, ["weights"]) as seen, watch(attend, ["weights"], side="input") as scores:
        attend(x, layout)
    (weights,) = seen["weights"]
    assert weights.shape == scores["weights"][0].shape == (5, H, 26, 26)
    query, key = torch.arange(26)[:, None], torch.arange(26)[None]
    assert torch.count_nonzero(weights.masked_select((key > query) | (query - key > 2))) == 0
    sums = weights.sum(-1).transpose(1, 2)[layout.real_grid]
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-12)


def test_the_slow_twin_can_be_differentiated_twice() -> None:
    layout = Layout(torch.tensor([3, 1]), 3, packed=True)
    attend = module(MASKS["blind"], fused=False, rotation=True, bias=True)
    x = torch.randn(layout.tokens, H * SIZE, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: attend(x, layout), x)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", ["scaled", "additive"])
def test_dropout_falls_on_the_weights_in_training_alone(name: str, fused: bool) -> None:
    """Values are ones, so a head puts out the sum of its weights: 1, unless some are dropped and the rest raised."""
    torch.manual_seed(0)
    attend = MultiHeadAttention(H * SIZE, H, score=SCORES[name](H, SIZE, None), dropout=0.5, fused=fused)
    with torch.no_grad():
        attend.projection.weight[2 * H * SIZE :] = 0
        attend.projection.bias[2 * H * SIZE :] = 1
        attend.output.weight.copy_(torch.eye(H * SIZE))
        attend.output.bias.zero_()
    layout = Layout(torch.full((400,), 10), 10, packed=True)
    x = torch.randn(layout.tokens, H * SIZE)
    sums = attend(x, layout).unflatten(-1, (H, SIZE))
    torch.testing.assert_close(sums, sums[..., :1].expand_as(sums))
    assert 0.2 < sums.std() < 0.6
    assert sums.mean().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(attend.eval()(x, layout), torch.ones_like(x))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS, ids=["packed", "dense", "even"])
def test_a_blocked_key_is_as_good_as_absent(layout: Layout, fused: bool) -> None:
    """To all queries, its own too; what stands at its place changes nothing elsewhere."""
    attend = module(causal() | prefix(2), fused=fused)
    x = torch.randn(layout.tokens, H * SIZE, dtype=torch.float64)
    blocked = (torch.arange(layout.tokens) % 3 == 1) & layout.real
    other = torch.where(blocked[:, None], 7 * torch.randn_like(x), x)
    one, two = attend(x, layout, blocked), attend(other, layout, blocked)
    seen = ~blocked & layout.real
    torch.testing.assert_close(one[seen], two[seen], rtol=0, atol=1e-12)
    assert (attend(x, layout)[seen] - one[seen]).abs().max() > 1e-3
    with watch(slow := module(full(), fused=False), ["weights"]) as watched:
        slow(x, layout, blocked)
    columns = watched["weights"][0].transpose(2, 3)[layout.grid(blocked)[:, None].expand(-1, H, -1)]
    assert torch.count_nonzero(columns) == 0
