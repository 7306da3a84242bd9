"""Every path of attention under every shape of mask: finite, and the same within 1e-5.

Paths: fused and watched, packed and dense, whole and step by step. Also every pair of the switches that act in
attention: dense = packed and fused = watched, values and gradients.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, Item, collate
from clearhead.batches.layout import Layout
from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.cache import Cache
from clearhead.layers.cross_attention import CrossAttention, Source
from clearhead.layers.masks import MASKS, SIZED_MASKS, causal, full
from clearhead.layers.pairing import Pairing
from clearhead.layers.positions import POSITIONS
from clearhead.layers.scores import SCORES

Make = Callable[..., nn.Module]
D, HEADS, LONGEST = 8, 2, 9
LENGTHS = torch.tensor([6, 1, 9, 3])
SOURCE_LENGTHS = torch.tensor([4, 7, 1, 5])


def in_grid(*rows: list[int]) -> Tensor:
    """The places that are blocked, a list a sequence: (B, longest) bool."""
    blocked = torch.zeros(len(rows), LONGEST, dtype=torch.bool)
    for number, places in enumerate(rows):
        blocked[number, places] = True
    return blocked


ALL = list(range(LONGEST))
SHAPES: dict[str, tuple[bool, Tensor | None]] = {  # causal?, what is blocked
    "no key": (False, in_grid(ALL, ALL, ALL, ALL)),
    "one key": (False, in_grid(ALL[1:], ALL[1:], ALL[:2] + ALL[3:], ALL[1:])),
    "all pad in one row": (False, in_grid([], [], ALL, [])),
    "causal and pad": (True, in_grid([0, 1], [0], [], [2])),
    "a hole": (False, in_grid([2], [0], [3, 4], [0])),
    "nothing blocked": (True, None),
}
SCORE = pytest.mark.parametrize("score", SCORES)
SHAPE = pytest.mark.parametrize("shape", SHAPES)


def layouts(lengths: Tensor) -> list[Layout]:
    longest = int(lengths.max())
    return [Layout(lengths, longest, True), Layout(lengths, longest, False), Layout(lengths, LONGEST, False)]


def told(layout: Layout, values: Tensor) -> Tensor:
    """The stream of what stands in a grid (B, LONGEST, ...)."""
    x = layout.flat(values[:, : layout.longest].contiguous()) if not layout.packed else None
    return values[layout.sequence_ids, layout.position_ids] if x is None else x


def outcome(module: nn.Module, mixed: Tensor, x: Tensor) -> list[Tensor]:
    """What came out, and the gradients of what went in and of every parameter."""
    asked = torch.arange(mixed.numel(), dtype=mixed.dtype).reshape(mixed.shape).sin()
    parts = [x, *module.parameters()]
    gradients = torch.autograd.grad((mixed * asked).sum(), parts, allow_unused=True, materialize_grads=True)
    return [mixed.detach(), *gradients]


def assert_one(results: list[list[Tensor]]) -> None:
    for result in results:
        for one, other in zip(result, results[0], strict=True):
            assert torch.isfinite(one).all()
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@SHAPE
@SCORE
def test_self_attention_is_one_on_every_path(score: str, shape: str) -> None:
    one_way, blocked = SHAPES[shape]
    grid = torch.randn(4, LONGEST, D, generator=torch.Generator().manual_seed(0))
    results = []
    for layout, fused in itertools.product(layouts(LENGTHS), (True, False)):
        torch.manual_seed(1)
        attend = MultiHeadAttention(
            D, HEADS, mask=causal() if one_way else full(), score=SCORES[score](HEADS, D // HEADS, None), fused=fused
        )
        x = grid.clone().requires_grad_()
        out = None if blocked is None else told(layout, blocked)
        mixed = layout.take_real(attend(told(layout, x), layout, out))
        results.append(outcome(attend, mixed, x))
        if shape == "no key":
            torch.testing.assert_close(mixed, attend.output.bias.expand_as(mixed), rtol=0, atol=0)
    assert_one(results)


@SHAPE
@SCORE
@torch.no_grad()
def test_steps_are_one_with_the_whole(score: str, shape: str) -> None:
    """The blocked ones are prompts, since what is being written is never blocked."""
    _, blocked = SHAPES[shape]
    torch.manual_seed(1)
    attend = MultiHeadAttention(D, HEADS, mask=causal(), score=SCORES[score](HEADS, D // HEADS, None))
    prompts, layout = Layout(LENGTHS, LONGEST, True), Layout(LENGTHS + 1, LONGEST + 1, True)
    x = torch.randn(layout.tokens, D)
    last = layout.position_ids == (layout.lengths - 1)[layout.sequence_ids]
    out = None if blocked is None else told(prompts, blocked)
    whole = torch.zeros(layout.tokens, dtype=torch.bool)
    if out is not None:
        whole[~last] = out
    expected = attend(x, layout, whole)[last]
    cache = Cache(4, 1, groups=4, device=x.device, prompts=prompts, blocked=out)
    cache.fill(0, *attend.keys_values(x[~last], prompts), prompts)
    cache.open()
    here = attend.step(x[last], cache, 0)
    assert torch.isfinite(here).all()
    torch.testing.assert_close(here, expected, rtol=1e-5, atol=1e-5)


@SHAPE
@SCORE
def test_cross_attention_is_one_on_every_path(score: str, shape: str) -> None:
    _, blocked = SHAPES[shape]
    torch.manual_seed(0)
    grid, other = torch.randn(4, LONGEST, D), torch.randn(4, LONGEST, D)
    results = []
    for layout, source, fused in itertools.product(layouts(LENGTHS), layouts(SOURCE_LENGTHS), (True, False)):
        torch.manual_seed(1)
        attend = CrossAttention(D, HEADS, score=SCORES[score](HEADS, D // HEADS, None), fused=fused)
        y = other.clone().requires_grad_()
        out = None if blocked is None else told(source, blocked)
        mixed = layout.take_real(attend(told(layout, grid), Source(told(source, y), Pairing(layout, source), out)))
        results.append(outcome(attend, mixed, y))
        if shape == "no key":
            torch.testing.assert_close(mixed, attend.output.bias.expand_as(mixed), rtol=0, atol=0)
        cache = Cache(4, 1, groups=4, device=grid.device)
        cache.read([attend.keys_values(told(source, other))], source, out)
        stepped = attend.step(grid[:, 0], cache, 0)
        torch.testing.assert_close(stepped, mixed[layout.take_real(layout.position_ids) == 0], rtol=1e-5, atol=1e-5)
    assert_one(results)


@SCORE
@pytest.mark.parametrize("fused", [True, False])
def test_a_source_of_no_token_gives_zeros(score: str, fused: bool) -> None:
    """A sequence alone among others, and all of them."""
    attend = CrossAttention(D, HEADS, score=SCORES[score](HEADS, D // HEADS, None), fused=fused)
    layout = Layout(LENGTHS, LONGEST, True)
    x = torch.randn(layout.tokens, D, requires_grad=True)
    for lengths in ([3, 0, 2, 0], [0, 0, 0, 0]):
        source = Layout(torch.tensor(lengths), max(lengths), True)
        mixed = attend(x, Source(torch.randn(source.tokens, D), Pairing(layout, source)))
        blind = torch.tensor(lengths)[layout.sequence_ids] == 0
        torch.testing.assert_close(mixed[blind], attend.output.bias.expand_as(mixed[blind]), rtol=0, atol=0)
        assert torch.isfinite(torch.autograd.grad(mixed.sum(), x)[0]).all()


SWITCHES: dict[str, list[Any]] = {
    "positions": list(POSITIONS),
    "attention_score": list(SCORES),
    "attention_temperature": [None, 0.5],
    "mask": [None, *MASKS, *SIZED_MASKS],
    "residual": [True, False],
    "hidden_act": ["relu", "swiglu"],
    "norm": ["layer", "rms", "batch"],
    "norm_place": ["pre", "post"],
    "scale_embedding": [None, True],
    "initializer_range": [0.3],
    "num_hidden_layers": [1],  # without residuals, batch norm blows up what is small from layer to layer
    "blocked": [False, True],
}


def pairwise() -> list[dict[str, Any]]:
    """Choices that hold every pair of values of two switches at least once: greedily, the first that adds most."""
    rng = np.random.default_rng(0)
    names = list(SWITCHES)
    wanted = {
        ((one, a), (other, b))
        for one, other in itertools.combinations(names, 2)
        for a, b in itertools.product(SWITCHES[one], SWITCHES[other])
    } - {(("positions", "rotary"), ("attention_score", "additive"))}
    chosen = []
    while wanted:
        tries = [{name: values[rng.integers(len(values))] for name, values in SWITCHES.items()} for _ in range(60)]
        tries = [one for one in tries if (one["positions"], one["attention_score"]) != ("rotary", "additive")]
        best = max(tries, key=lambda one: len(wanted & pairs(one)))
        wanted -= pairs(best)
        chosen.append(best)
    return chosen


def pairs(choice: dict[str, Any]) -> set[Any]:
    return set(itertools.combinations(choice.items(), 2))


@pytest.mark.parametrize("choice", pairwise(), ids=lambda choice: "-".join(map(str, choice.values())))
@pytest.mark.parametrize("trunk", ["transformer_encoder", "encoder_decoder"])
def test_dense_is_packed_and_fused_is_watched(
    trunk: str, choice: dict[str, Any], make_model: Make, sequences: list[Item]
) -> None:
    fields = {name: value for name, value in choice.items() if name != "blocked"}
    if choice["mask"] in SIZED_MASKS:
        fields["mask_size"] = 2
    items = with_blocked(sequences) if choice["blocked"] else sequences
    model, watched = make_model(trunk, **fields), make_model(trunk, **fields, fused=False)
    results = []
    for module, packed in itertools.product((model, watched), (True, False)):
        results.append(trained(copy.deepcopy(module), collate(items, packed=packed)))
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def with_blocked(sequences: list[Item]) -> list[Item]:
    def holed(item: Item) -> Item:
        source = None if item.source is None else holed(item.source)
        return Item(item.token_ids, features={"blocked": np.arange(len(item))[:, None] % 3 == 1}, source=source)

    return [holed(item) for item in sequences]


def trained(model: nn.Module, batch: Batch) -> list[Tensor]:
    """States of real tokens and every gradient, relative to the greatest of them."""
    hidden = batch.layout.take_real(model(batch).hidden)
    asked = torch.arange(hidden.numel(), dtype=torch.float64).reshape(hidden.shape).sin()
    found = torch.autograd.grad((hidden * asked).sum(), list(model.parameters()), allow_unused=True)
    gradients = [gradient for gradient in found if gradient is not None]
    greatest = max(float(gradient.abs().max()) for gradient in gradients)
    return [hidden.detach(), *(gradient / (1 + greatest) for gradient in gradients)]
