"""Chains against pytorch-crf, and hidden Markov models against hmmlearn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hmmlearn.hmm import CategoricalHMM
from torch import Tensor
from torchcrf import CRF

from clearhead.batches.layout import Layout
from clearhead.layers.structured import (
    Chain,
    expectations,
    keep,
    log_partition,
    marginals,
    score,
    viterbi,
)

B, T = 5, 9
LENGTHS = torch.tensor([9, 1, 4, 7, 2])


def crf(labels: int) -> tuple[CRF, Tensor, Tensor]:
    torch.manual_seed(0)
    theirs = CRF(labels, batch_first=True).double()
    for weights in theirs.parameters():
        torch.nn.init.normal_(weights)
    emissions = torch.randn(B, T, labels, dtype=torch.float64, requires_grad=True)
    return theirs, emissions, torch.randint(labels, (B, T))


def as_chain(theirs: CRF, emissions: Tensor, layout: Layout) -> Chain:
    return Chain(emissions.flatten(0, 1), theirs.transitions, layout, theirs.start_transitions, theirs.end_transitions)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("labels", [1, 2, 9, 20])
def test_loss_gradients_and_paths_are_pytorch_crfs(labels: int, fused: bool) -> None:
    theirs, emissions, tags = crf(labels)
    layout = Layout(LENGTHS, T, packed=False)
    chain = as_chain(theirs, emissions, layout)
    ours = score(chain, tags.flatten()) - log_partition(chain, fused=fused)
    expected = theirs(emissions, tags, layout.real_grid, reduction="none")
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    sources = (emissions, theirs.transitions, theirs.start_transitions, theirs.end_transitions)
    factors = torch.arange(1.0, B + 1)
    for our, their in zip(
        torch.autograd.grad((ours * factors).sum(), sources),
        torch.autograd.grad((expected * factors).sum(), sources),
        strict=True,
    ):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-12)
    paths = viterbi(chain, fused=fused)[0].reshape(B, T)
    assert [path[:length].tolist() for path, length in zip(paths, LENGTHS, strict=True)] == theirs.decode(
        emissions, layout.real_grid
    )


def test_masked_steps_are_taken_out() -> None:
    """The mask 0 1 0 1 1 0 of special tokens and word continuations, -100 where off: pytorch-crf refuses it, or gives a
    wrong loss in silence; right is its loss of the sentence without those steps."""
    theirs, emissions, tags = crf(4)
    layout = Layout(torch.full((B,), 6), 6, packed=False)
    kept = torch.tensor([False, True, False, True, True, False]).repeat(B)
    labelled = tags[:, :6].flatten().masked_fill(~kept, -100)
    chain = keep(as_chain(theirs, emissions[:, :6], layout), kept)
    ours = score(chain, labelled[kept]) - log_partition(chain)
    places, all_on = [1, 3, 4], torch.ones(B, 3, dtype=torch.bool)
    expected = theirs(emissions[:, places], tags[:, places], all_on, reduction="none")
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    assert bool((ours < 0).all())
    sources = (emissions, theirs.transitions, theirs.start_transitions, theirs.end_transitions)
    for our, their in zip(
        torch.autograd.grad(ours.sum(), sources), torch.autograd.grad(expected.sum(), sources), strict=True
    ):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-12)
    paths = viterbi(chain)[0].reshape(B, 3)
    assert paths.tolist() == theirs.decode(emissions[:, places], all_on)


@pytest.mark.parametrize("fused", [True, False])
def test_one_round_of_baum_welch_is_hmmlearns(fused: bool) -> None:
    states, words, lengths = 3, 7, [20, 1, 12]
    random = np.random.default_rng(0)
    start, transition = random.dirichlet(np.ones(states)), random.dirichlet(np.ones(states), states)
    emission = random.dirichlet(np.ones(words), states)
    ids = random.integers(words, size=sum(lengths))
    theirs = CategoricalHMM(states, n_iter=1, init_params="", n_features=words, tol=-np.inf)
    theirs.startprob_, theirs.transmat_, theirs.emissionprob_ = start, transition, emission
    log_b, log_a, log_pi = (torch.from_numpy(part).log() for part in (emission, transition, start))
    layout = Layout(torch.tensor(lengths), max(lengths), packed=True)
    chain = Chain(log_b.T[ids], log_a, layout, log_pi)

    log_likelihood, posteriors = theirs.score_samples(ids[:, None], lengths)
    assert float(log_partition(chain, fused=fused).sum()) == pytest.approx(log_likelihood, rel=1e-12)
    np.testing.assert_allclose(marginals(chain, fused=fused), posteriors, rtol=0, atol=1e-12)
    weight, path = theirs.decode(ids[:, None], lengths)
    assert float(viterbi(chain, fused=fused)[1].sum()) == pytest.approx(weight, rel=1e-12)
    assert viterbi(chain, fused=fused)[0].tolist() == path.tolist()

    theirs.fit(ids[:, None], lengths)
    counts = expectations(chain, fused=fused)
    seen = torch.zeros(words, states, dtype=torch.float64).index_add_(0, torch.from_numpy(ids), counts.occupancy).T
    for ours, hmmlearns in (
        (counts.start, theirs.startprob_),
        (counts.transition, theirs.transmat_),
        (seen, theirs.emissionprob_),
    ):
        np.testing.assert_allclose(ours / ours.sum(-1, keepdim=True), hmmlearns, rtol=0, atol=1e-12)
