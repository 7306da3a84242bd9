"""Chains at their edges: what is refused, what is empty, small and half dtypes, machines without numba."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numba
import pytest
import torch
from torch import Tensor

from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers import structured_kernels, structured_scaled
from clearhead.layers.structured import (
    Chain,
    allow,
    expectations,
    first_impossible,
    keep,
    log_partition,
    marginals,
    n_best,
    sample,
    score,
    viterbi,
)

K = 3


def chain(*lengths: int, dtype: torch.dtype = torch.float64, packed: bool = True, stepwise: bool = False) -> Chain:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    layout = Layout(torch.tensor(lengths), max(lengths) + (0 if packed else 2), packed)
    N = layout.tokens
    return Chain(drawn(N, K), drawn(N, K, K) if stepwise else drawn(K, K), layout, drawn(K), drawn(K))


def spoiled(part: Tensor, place: tuple[int, ...], value: float) -> Tensor:
    part = part.clone()
    part[place] = value
    return part


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("function", [log_partition, viterbi, expectations, marginals])
def test_an_infinite_potential_is_refused_by_its_place(function: Any, value: float, fused: bool) -> None:
    good = chain(2, 4, packed=False)  # 6 places a sequence
    steps = chain(2, 4, packed=False, stepwise=True)
    cases = [
        (
            replace(good, emissions=spoiled(good.emissions, (8, 1), value)),
            r"emission \[1\] at position 2 of sequence 1",
        ),
        (replace(good, transition=spoiled(good.transition, (2, 0), value)), r"transition \[2, 0\] is"),
        (replace(good, start=spoiled(good.start, (1,), value)), r"start \[1\] is"),  # type: ignore[arg-type]
        (replace(good, end=spoiled(good.end, (2,), value)), r"end \[2\] is"),  # type: ignore[arg-type]
        (
            replace(steps, transition=spoiled(steps.transition, (9, 0, 2), value)),
            r"transition \[0, 2\] at position 3 of sequence 1",
        ),
    ]
    for broken, words in cases:
        with pytest.raises(InputError, match=words):
            function(broken, fused=fused)


@pytest.mark.parametrize("fused", [True, False])
def test_what_is_not_read_may_hold_anything(fused: bool) -> None:
    good = chain(2, 4, packed=False, stepwise=True)
    unread = ~good.layout.real
    emissions = good.emissions.masked_fill(unread[:, None], torch.nan).requires_grad_()
    first = unread | (good.layout.position_ids == 0)
    transition = good.transition.masked_fill(first[:, None, None], torch.nan).requires_grad_()
    odd = replace(good, emissions=emissions, transition=transition)
    assert torch.equal(log_partition(odd, fused=fused), log_partition(good, fused=fused))
    for gradient in torch.autograd.grad(log_partition(odd, fused=fused).sum(), (emissions, transition)):
        assert bool(gradient.isfinite().all())
        assert not gradient[unread].any()
    assert torch.equal(viterbi(odd, fused=fused)[0], viterbi(good, fused=fused)[0])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("stepwise", [True, False])
def test_nothing_kept_anywhere(fused: bool, stepwise: bool) -> None:
    whole = chain(2, 1, stepwise=stepwise)
    emissions = whole.emissions.requires_grad_()
    nothing = keep(whole, torch.zeros(3, dtype=torch.bool))
    log_z = log_partition(nothing, fused=fused)
    assert log_z.tolist() == [0.0, 0.0]
    (gradient,) = torch.autograd.grad(log_z.sum(), emissions, materialize_grads=True)
    assert not gradient.any()
    assert [part.numel() for part in viterbi(nothing, fused=fused)] == [0, 2]
    assert marginals(nothing, fused=fused).shape == (0, K)
    counts = expectations(nothing, fused=fused)
    assert not counts.start.any()
    assert not counts.transition.any()
    assert score(nothing, torch.zeros(0, dtype=torch.int64)).tolist() == [0.0, 0.0]
    assert sample(nothing, torch.Generator()).numel() == 0
    assert [[weight for _, weight in ranked] for ranked in n_best(nothing, 2)] == [[0.0], [0.0]]
    assert first_impossible(nothing) is None


@pytest.mark.parametrize("fused", [True, False])
def test_an_impossible_sequence_takes_nothing_from_the_others(fused: bool) -> None:
    whole = chain(2, 3)
    allowed = torch.ones(5, K, dtype=torch.bool)
    allowed[1] = False
    broken = replace(allow(whole, allowed), transition=whole.transition.requires_grad_())
    log_z = log_partition(broken, fused=fused)
    assert log_z[0] == -torch.inf
    assert torch.equal(log_z[1], log_partition(whole, fused=fused)[1])
    counts, paths = expectations(broken, fused=fused), viterbi(broken, fused=fused)
    assert counts.occupancy.sum(1).tolist() == pytest.approx([0, 0, 1, 1, 1])
    assert float(counts.transition.sum()) == pytest.approx(2)
    assert paths[1][0] == -torch.inf
    assert n_best(broken, 2)[0] == []
    assert first_impossible(broken) == (0, 1)
    (gradient,) = torch.autograd.grad(log_z[1], broken.transition)
    assert float(gradient.sum()) == pytest.approx(2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fused", [True, False])
def test_small_dtypes_are_summed_in_large_ones(dtype: torch.dtype, fused: bool) -> None:
    small = chain(40, 3, dtype=dtype)
    exact = Chain(
        *(part.double() for part in (small.emissions, small.transition)),
        small.layout,
        *(part.double() for part in (small.start, small.end) if part is not None),
    )
    log_z = log_partition(small, fused=fused)
    assert log_z.dtype == torch.float32
    torch.testing.assert_close(log_z.double(), log_partition(exact, fused=fused), rtol=1e-7, atol=0)
    emissions = small.emissions.requires_grad_()
    (gradient,) = torch.autograd.grad(log_partition(small, fused=fused).sum(), emissions)
    assert gradient.dtype == dtype
    torch.testing.assert_close(gradient.double(), marginals(exact), rtol=0, atol=float(torch.finfo(dtype).eps))


@pytest.mark.parametrize("fused", [True, False])
def test_it_runs_in_inference_mode(fused: bool) -> None:
    with torch.inference_mode():
        inside = chain(3, 2)
        results = [log_partition(inside, fused=fused), marginals(inside, fused=fused), *viterbi(inside, fused=fused)]
        counts = expectations(inside, fused=fused)
    outside = chain(3, 2)
    expected = [log_partition(outside), marginals(outside), *viterbi(outside)]
    for ours, theirs in zip(results, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(counts.transition, expectations(outside).transition, rtol=0, atol=1e-12)


def test_the_backward_pass_may_be_asked_for_again() -> None:
    whole = chain(3, 2)
    emissions = whole.emissions.requires_grad_()
    log_z = log_partition(whole).sum()
    first = torch.autograd.grad(log_z, emissions, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(log_z, emissions)[0])


def test_without_numba_the_twin_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = chain(4, 2)
    expected = [log_partition(whole), *viterbi(whole), marginals(whole), expectations(whole).transition]
    monkeypatch.setattr(structured_scaled, "kernels", lambda: None)
    served = [log_partition(whole), *viterbi(whole), marginals(whole), expectations(whole).transition]
    for ours, theirs in zip(served, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_where_no_code_can_be_kept_it_is_compiled_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def readonly(*arguments: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available for file")
        return real(*arguments, **options)

    monkeypatch.setattr(structured_kernels.numba, "njit", readonly)
    doubled = structured_kernels.machine("contract", entry=True)(lambda x: 2.0 * x)
    assert doubled(4.0) == 8.0


def test_the_exponential_is_numpys() -> None:
    generator = torch.Generator().manual_seed(0)
    x = -600 * torch.rand(1000, K, generator=generator, dtype=torch.float64) ** 3
    whole = Chain(x, torch.zeros(K, K, dtype=torch.float64), Layout(torch.ones(1000).long(), 1, packed=True))
    filtered = structured_scaled.filtered(structured_scaled.potentials(whole))
    assert filtered is not None
    torch.testing.assert_close(filtered.weights, (x - x.amax(1, keepdim=True)).exp(), rtol=1e-15, atol=0)
