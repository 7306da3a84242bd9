"""Chains against enumeration of all their paths, and the compiled loops against their log-space twin."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clearhead.batches.layout import Layout
from clearhead.layers import structured_scaled
from clearhead.layers.structured import (
    Chain,
    allow,
    expectations,
    expected_transitions,
    first_impossible,
    keep,
    log_partition,
    marginals,
    n_best,
    posterior_decode,
    sample,
    score,
    viterbi,
)

EITHER = pytest.mark.parametrize("fused", [True, False], ids=["compiled", "log-space"])
Path = tuple[int, ...]


@dataclass(frozen=True)
class Drawn:
    """What a random chain is made of."""

    lengths: list[int]
    labels: int
    packed: bool
    stepwise: bool
    bounded: bool  # with start and end weights
    impossible: float  # the share of potentials that are -inf
    seed: int

    def chain(self, dtype: torch.dtype = torch.float64) -> Chain:
        generator = torch.Generator().manual_seed(self.seed)

        def weights(*shape: int) -> Tensor:
            drawn = 2 * torch.randn(*shape, generator=generator, dtype=torch.float64)
            out = torch.rand(*shape, generator=generator) < self.impossible
            return drawn.masked_fill(out, -torch.inf).to(dtype).requires_grad_()

        layout = Layout(torch.tensor(self.lengths), max(self.lengths) + (0 if self.packed else 1), self.packed)
        N, K = layout.tokens, self.labels
        transition = weights(N, K, K) if self.stepwise else weights(K, K)
        start, end = (weights(K), weights(K)) if self.bounded else (None, None)
        return Chain(weights(N, K), transition, layout, start, end)


CHAINS = st.builds(
    Drawn,
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    labels=st.integers(1, 4),
    packed=st.booleans(),
    stepwise=st.booleans(),
    bounded=st.booleans(),
    impossible=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)


def places(chain: Chain, b: int) -> list[int]:
    """The places of the tokens of sequence b in the stream."""
    return (chain.layout.real & (chain.layout.sequence_ids == b)).nonzero().squeeze(1).tolist()


def all_paths(chain: Chain, b: int) -> dict[Path, float]:
    """The log-weight of every path of sequence b, the definition written out."""
    tokens = places(chain, b)
    emissions, transition = chain.emissions.tolist(), chain.transition.tolist()
    start, end = (None if part is None else part.tolist() for part in (chain.start, chain.end))
    weights = {}
    for path in itertools.product(range(chain.emissions.shape[1]), repeat=len(tokens)):
        total = 0.0
        for t, (n, label) in enumerate(zip(tokens, path, strict=True)):
            total += emissions[n][label]
            if t:
                total += (transition if chain.transition.dim() == 2 else transition[n])[path[t - 1]][label]
        if start is not None and end is not None:
            total += start[path[0]] + end[path[-1]]
        weights[path] = total
    return weights


def posterior(weights: dict[Path, float]) -> dict[Path, float]:
    highest = max(weights.values())
    if highest == -math.inf:
        return dict.fromkeys(weights, 0.0)
    shares = {path: math.exp(weight - highest) for path, weight in weights.items()}
    return {path: share / sum(shares.values()) for path, share in shares.items()}


def potentials(chain: Chain) -> list[Tensor]:
    return [part for part in (chain.emissions, chain.transition, chain.start, chain.end) if part is not None]


def gradients(chain: Chain, fused: bool) -> tuple[Tensor, ...]:
    """Of the sum over sequences, each with a factor of its own."""
    log_z = log_partition(chain, fused=fused)
    possible = torch.where(log_z > -torch.inf, log_z, 0.0)
    total = (possible * torch.arange(1.0, len(log_z) + 1)).sum()
    return torch.autograd.grad(total, potentials(chain), materialize_grads=True)


@EITHER
@given(drawn=CHAINS)
def test_everything_is_as_in_the_list_of_all_paths(fused: bool, drawn: Drawn) -> None:
    chain = drawn.chain()
    log_z, occupancy = log_partition(chain, fused=fused), marginals(chain, fused=fused)
    paths, scores = viterbi(chain, fused=fused)
    pairs = torch.zeros(drawn.labels, drawn.labels, dtype=torch.float64)
    starts = torch.zeros(drawn.labels, dtype=torch.float64)
    expected = torch.zeros_like(chain.emissions)
    for b in range(len(drawn.lengths)):
        weights, tokens = all_paths(chain, b), places(chain, b)
        best = max(weights.values())
        total = best + math.log(sum(math.exp(w - best) for w in weights.values())) if best > -math.inf else best
        assert log_z[b].item() == pytest.approx(total, abs=1e-10)
        assert scores[b].item() == pytest.approx(best, abs=1e-10)
        if best > -math.inf:
            found = tuple(paths[tokens].tolist())
            assert weights[found] == pytest.approx(best, abs=1e-10)
        for path, share in posterior(weights).items():
            starts[path[0]] += share
            for t, (n, label) in enumerate(zip(tokens, path, strict=True)):
                expected.data[n, label] += share
                if t:
                    pairs[path[t - 1], label] += share
    counts = expectations(chain, fused=fused)
    for ours, theirs in ((occupancy, expected), (counts.occupancy, expected), (counts.start, starts)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    torch.testing.assert_close(counts.transition, pairs, rtol=0, atol=1e-10)
    torch.testing.assert_close(expected_transitions(chain, fused=fused), pairs, rtol=0, atol=1e-10)
    torch.testing.assert_close(counts.log_z, log_z.detach(), rtol=0, atol=1e-10)
    assert torch.equal(posterior_decode(chain), marginals(chain).argmax(1))
    assert not paths[~chain.layout.real].any()


@given(drawn=CHAINS, n=st.integers(1, 7))
def test_n_best_are_the_first_of_all_paths_and_the_first_is_viterbis(drawn: Drawn, n: int) -> None:
    chain = drawn.chain()
    paths, scores = viterbi(chain)
    for b, ranked in enumerate(n_best(chain, n)):
        weights = all_paths(chain, b)
        possible = sorted((weight for weight in weights.values() if weight > -math.inf), reverse=True)
        assert [weight for _, weight in ranked] == pytest.approx(possible[:n], abs=1e-10)
        found = [tuple(path.tolist()) for path, _ in ranked]
        assert len(set(found)) == len(found)
        assert [weights[path] for path in found] == pytest.approx(possible[:n], abs=1e-10)
        if ranked:
            assert torch.equal(ranked[0][0], paths[places(chain, b)])
            assert ranked[0][1] == pytest.approx(scores[b].item(), abs=1e-10)


@given(drawn=CHAINS)
def test_a_score_is_the_weight_of_one_path(drawn: Drawn) -> None:
    chain = drawn.chain()
    tags = torch.randint(drawn.labels, (chain.layout.tokens,), generator=torch.Generator().manual_seed(drawn.seed))
    tags = tags.masked_fill(~chain.layout.real, -100)
    scores = score(chain, tags)
    for b in range(len(drawn.lengths)):
        assert scores[b].item() == pytest.approx(all_paths(chain, b)[tuple(tags[places(chain, b)].tolist())], abs=1e-10)
    if not drawn.impossible:  # the gradient of a path's weight is its counts
        of_emissions = torch.autograd.grad(scores.sum(), chain.emissions)[0]
        expected = torch.zeros_like(of_emissions)
        expected[chain.layout.real, tags[chain.layout.real]] = 1.0
        torch.testing.assert_close(of_emissions, expected)


@given(drawn=CHAINS)
def test_the_compiled_loops_are_their_twin_gradients_included(drawn: Drawn) -> None:
    chain = drawn.chain()
    torch.testing.assert_close(log_partition(chain), log_partition(chain, fused=False), rtol=0, atol=1e-10)
    for ours, twins in zip(gradients(chain, True), gradients(chain, False), strict=True):
        assert bool(ours.isfinite().all())
        assert bool(twins.isfinite().all())
        torch.testing.assert_close(ours, twins, rtol=0, atol=1e-10)
    for ours, twins in zip(viterbi(chain), viterbi(chain, fused=False), strict=True):
        assert torch.equal(ours, twins)


@given(drawn=CHAINS)
def test_impossible_potentials_get_no_gradient(drawn: Drawn) -> None:
    chain = replace(drawn, impossible=0.3).chain()
    for fused in (True, False):
        for part, gradient in zip(potentials(chain), gradients(chain, fused), strict=True):
            assert not gradient[part == -torch.inf].any()


@given(drawn=CHAINS)
def test_padded_is_packed(drawn: Drawn) -> None:
    dense = replace(drawn, packed=False).chain()
    layout = Layout(dense.layout.lengths, dense.layout.longest, packed=True)
    steps = dense.layout.take_real(dense.transition) if drawn.stepwise else dense.transition
    packed = replace(dense, emissions=dense.layout.take_real(dense.emissions), transition=steps, layout=layout)
    assert torch.equal(log_partition(dense), log_partition(packed))
    assert torch.equal(dense.layout.take_real(marginals(dense)), marginals(packed))
    assert torch.equal(dense.layout.take_real(viterbi(dense)[0]), viterbi(packed)[0])


@given(drawn=CHAINS)
def test_a_sequence_alone_is_the_same_as_among_others(drawn: Drawn) -> None:
    chain = drawn.chain()
    log_z, (paths, _) = log_partition(chain), viterbi(chain)
    for b, length in enumerate(drawn.lengths):
        tokens = places(chain, b)
        steps = chain.transition[tokens] if drawn.stepwise else chain.transition
        layout = Layout(torch.tensor([length]), length, packed=True)
        alone = replace(chain, emissions=chain.emissions[tokens], transition=steps, layout=layout)
        torch.testing.assert_close(log_partition(alone)[0], log_z[b], rtol=0, atol=1e-12)
        assert torch.equal(viterbi(alone)[0], paths[tokens])


@given(drawn=CHAINS, share=st.sampled_from([0.2, 0.6]))
def test_what_is_not_kept_was_never_written(drawn: Drawn, share: float) -> None:
    """Holes, first tokens, whole sequences: masks of any form."""
    chain = drawn.chain()
    kept = torch.rand(chain.layout.tokens, generator=torch.Generator().manual_seed(drawn.seed)) < share
    reduced = keep(chain, kept)
    log_z, found = log_partition(reduced), viterbi(reduced)
    start = 0
    for b in range(len(drawn.lengths)):
        tokens = [n for n in places(chain, b) if kept[n]]
        steps = chain.transition[tokens] if drawn.stepwise else chain.transition
        if not tokens:
            assert log_z[b].item() == found[1][b].item() == 0.0
            assert [(path.tolist(), weight) for path, weight in n_best(reduced, 3)[b]] == [([], 0.0)]
            continue
        layout = Layout(torch.tensor([len(tokens)]), len(tokens), packed=True)
        alone = replace(chain, emissions=chain.emissions[tokens], transition=steps, layout=layout)
        torch.testing.assert_close(log_partition(alone)[0], log_z[b], rtol=0, atol=1e-12)
        assert torch.equal(viterbi(alone)[0], found[0][start : start + len(tokens)])
        start += len(tokens)
    for gradient in gradients(reduced, True):
        assert bool(gradient.isfinite().all())
    twin = log_partition(reduced, fused=False)
    torch.testing.assert_close(log_z, twin, rtol=0, atol=1e-10)
    assert not gradients_of_emissions(chain, reduced)[~kept].any()


def gradients_of_emissions(chain: Chain, reduced: Chain) -> Tensor:
    log_z = log_partition(reduced)
    return torch.autograd.grad(log_z[log_z > -torch.inf].sum(), chain.emissions, materialize_grads=True)[0]


@EITHER
def test_partial_labels_are_summed_over(fused: bool) -> None:
    chain = Drawn([4, 3], 3, False, False, True, 0.0, 1).chain()
    allowed = torch.rand(chain.layout.tokens, 3, generator=torch.Generator().manual_seed(2)) < 0.6
    allowed[:, 1] = True
    tokens = [places(chain, b) for b in range(2)]
    log_z = log_partition(allow(chain, allowed), fused=fused)
    for b in range(2):
        fitting = [
            weight
            for path, weight in all_paths(chain, b).items()
            if all(allowed[n, label] for n, label in zip(tokens[b], path, strict=True))
        ]
        assert log_z[b].item() == pytest.approx(math.log(sum(map(math.exp, fitting))), abs=1e-10)
    best, _ = viterbi(allow(chain, allowed), fused=fused)
    assert bool(allowed[chain.layout.real].gather(1, best[chain.layout.real][:, None]).all())


def test_all_labels_known_is_the_score_of_the_path() -> None:
    chain = Drawn([4, 1, 3], 3, True, True, True, 0.0, 3).chain()
    tags = torch.tensor([0, 2, 1, 1, 2, 0, 0, 1])
    known = torch.nn.functional.one_hot(tags, 3).bool()
    torch.testing.assert_close(log_partition(allow(chain, known)), score(chain, tags), rtol=0, atol=1e-12)


@EITHER
@pytest.mark.parametrize("stepwise", [False, True])
def test_gradients_and_their_gradients_are_those_of_small_differences(fused: bool, stepwise: bool) -> None:
    chain = Drawn([3, 1], 2, False, stepwise, True, 0.0, 4).chain()

    def log_z(*parts: Tensor) -> Tensor:
        return log_partition(Chain(parts[0], parts[1], chain.layout, parts[2], parts[3]), fused=fused)

    def posteriors(*parts: Tensor) -> Tensor:
        return marginals(Chain(parts[0], parts[1], chain.layout, parts[2], parts[3]), fused=False)

    assert torch.autograd.gradcheck(log_z, potentials(chain))
    assert torch.autograd.gradgradcheck(log_z, potentials(chain))
    assert torch.autograd.gradcheck(posteriors, potentials(chain))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("stepwise", [False, True])
def test_float32_holds_over_two_thousand_tokens(scale: float, stepwise: bool) -> None:
    lengths = torch.tensor([2000, 700])
    layout = Layout(lengths, 2000, packed=True)
    generator = torch.Generator().manual_seed(0)
    emissions = scale * (2 * torch.rand(layout.tokens, 5, generator=generator) - 1)
    shape = (layout.tokens, 5, 5) if stepwise else (5, 5)
    transition = torch.randn(shape, generator=generator)
    single = Chain(emissions.requires_grad_(), transition.requires_grad_(), layout)
    double = Chain(
        emissions.detach().double().requires_grad_(), transition.detach().double().requires_grad_(), layout
    )
    log_z, exact = log_partition(single), log_partition(double, fused=False)
    assert log_z.dtype == torch.float32
    torch.testing.assert_close(log_z.double(), exact, rtol=1e-7, atol=0)
    ours = torch.autograd.grad(log_z.sum(), (single.emissions, single.transition))
    twins = torch.autograd.grad(exact.sum(), (double.emissions, double.transition))
    torch.testing.assert_close(ours[0].double(), twins[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(ours[1].double(), twins[1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(log_partition(double), exact, rtol=1e-13, atol=0)
    assert torch.equal(viterbi(single)[0], viterbi(double, fused=False)[0])


FAR = -torch.inf
LOST = {
    "the only way on was a thousand below": ([[1000.0, 0.0], [0.0, 2000.0]], [[0.0, FAR], [FAR, 0.0]]),
    "a soft ban": ([[0.0, -5.0], [-5.0, 0.0]], [[0.0, -10_000.0], [-10_000.0, 0.0]]),
    "a soft ban that cannot be kept": ([[0.0, FAR], [FAR, 0.0]], [[0.0, -10_000.0], [FAR, 0.0]]),
    "every step a hundred": ([[0.0, -100.0]] * 9 + [[FAR, 0.0]], [[0.0, FAR], [FAR, 0.0]]),
}


@pytest.mark.parametrize("case", LOST)
def test_no_way_is_lost_to_underflow(case: str) -> None:
    emissions, transition = (torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in LOST[case])
    chain = Chain(emissions, transition, Layout(torch.tensor([len(emissions)]), len(emissions), packed=True))
    weights = all_paths(chain, 0)
    log_z = log_partition(chain)
    assert log_z[0].item() == pytest.approx(max(weights.values()), abs=math.log(len(weights)))
    assert log_z[0].item() == pytest.approx(log_partition(chain, fused=False)[0].item(), rel=1e-14)
    (gradient,) = torch.autograd.grad(log_z.sum(), emissions)
    torch.testing.assert_close(gradient.sum(1), torch.ones(len(emissions), dtype=torch.float64))
    torch.testing.assert_close(marginals(chain), gradient, rtol=0, atol=1e-12)


@EITHER
def test_of_equal_paths_the_lowest_labels_win_from_the_end_on(fused: bool) -> None:
    """Small whole numbers: many ties, all exact."""
    generator = torch.Generator().manual_seed(5)
    layout = Layout(torch.tensor([5, 4, 3]), 5, packed=True)
    ties = 0
    for labels in (3, 18):
        emissions = torch.randint(2, (12, labels), generator=generator).float()
        chain = Chain(emissions, torch.randint(2, (labels, labels), generator=generator).float(), layout)
        paths, scores = viterbi(chain, fused=fused)
        if labels == 3:
            for b in range(3):
                weights = all_paths(chain, b)
                best = [path for path, weight in weights.items() if weight == max(weights.values())]
                ties += len(best) - 1
                assert tuple(paths[places(chain, b)].tolist()) == min(best, key=lambda path: path[::-1])
        assert torch.equal(paths, torch.cat([ranked[0][0] for ranked in n_best(chain, 1)]))
        assert torch.equal(paths, torch.cat([ranked[0][0] for ranked in n_best(chain, 4)]))
        torch.testing.assert_close(scores, score(chain, paths))
    assert ties


@pytest.mark.parametrize("compiled", [True, False])
def test_samples_come_as_often_as_the_posterior_says(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(structured_scaled, "kernels", lambda: None)
    one = Drawn([3], 2, True, False, True, 0.0, 6).chain()
    copies = 40_000
    layout = Layout(torch.full((copies,), 3), 3, packed=True)
    chain = replace(one, emissions=one.emissions.detach().repeat(copies, 1), layout=layout)
    drawn = sample(chain, torch.Generator().manual_seed(0)).reshape(copies, 3)
    for path, share in posterior(all_paths(one, 0)).items():
        often = float((drawn == torch.tensor(path)).all(1).double().mean())
        assert abs(often - share) < 4 * math.sqrt(share * (1 - share) / copies)
    again = sample(chain, torch.Generator().manual_seed(0)).reshape(copies, 3)
    assert torch.equal(drawn, again)


def test_samples_take_no_impossible_step() -> None:
    drawn = Drawn([5, 4, 2] * 50, 4, False, True, True, 0.3, 7)
    chain = drawn.chain()
    possible = log_partition(chain) > -torch.inf
    weights = score(chain, sample(chain, torch.Generator().manual_seed(1)))
    assert bool(possible.any())
    assert torch.equal(weights > -torch.inf, possible)


def test_a_chain_of_local_distributions_sums_to_one() -> None:
    """A MEMM: p(y_t given y_{t-1}, x), normalised at each step."""
    layout = Layout(torch.tensor([4, 2, 1]), 4, packed=True)
    transition = torch.randn(7, 3, 3, dtype=torch.float64).log_softmax(2)
    transition[0] = torch.nan  # of a first token: not read
    first = (layout.position_ids == 0)[:, None]
    emissions = torch.where(first, torch.randn(7, 3, dtype=torch.float64).log_softmax(1), 0.0)
    log_z = log_partition(Chain(emissions, transition, layout))
    torch.testing.assert_close(log_z, torch.zeros_like(log_z), rtol=0, atol=1e-12)


def test_the_first_impossible_step_is_named() -> None:
    layout = Layout(torch.tensor([2, 4]), 5, packed=False)
    chain = Chain(torch.zeros(10, 2), torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]]), layout)
    assert first_impossible(chain) is None
    allowed = torch.ones(10, 2, dtype=torch.bool)
    allowed[5] = torch.tensor([True, False])
    allowed[7] = torch.tensor([False, True])  # the third token of the second sequence
    broken = allow(chain, allowed)
    assert log_partition(broken).tolist() == [pytest.approx(math.log(2)), -math.inf]
    assert first_impossible(broken) == (1, 2)
    assert first_impossible(replace(chain, end=torch.full((2,), -torch.inf))) == (0, 1)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Drawn([5, 1, 4, 2, 3, 5, 5], 3, True, False, True, 0.0, 8).chain()
    kernels = structured_scaled.kernels()
    if kernels is None:
        pytest.skip("numba is missing")
    results = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(kernels, "threads_for", lambda *_, threads=threads: threads)
        results.append([log_partition(chain), *viterbi(chain), *gradients(chain, True)])
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)
