"""Linear chains: log Z, posteriors, best paths and samples of hidden Markov models, MEMMs and CRFs, from potentials.

An HMM is Chain(log B[:, words].T, log A, layout, start=log pi): log Z is the log-likelihood (Rabiner 1989). A CRF's
potentials are scores, and log Z makes them a distribution (Lafferty, McCallum & Pereira 2001). A MEMM is a transition
a token, log p(y_t = j given y_{t-1} = i, x), and its log Z is 0 (McCallum, Freitag & Pereira 2000).

-inf is an impossible label or step, exactly: it takes no part in any sum and gets gradient 0. A sequence in which
nothing is possible has log Z = -inf (gradient 0), and `first_impossible` names the step; NaN and +inf are refused.

Sums are held in float64 on every path, and given back in the dtype of the emissions (at least float32). Where scores
are large, log Z - score loses digits in float32: give the chain `.double()` potentials, which costs nothing here.
`fused` takes compiled loops on a CPU (`structured_scaled`); `fused=False` is the log-space twin (`semirings`), on any
device, differentiable twice. They agree to 1e-10, and break ties alike: the lowest label first, from the end on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clearhead.batches.layout import Layout
from clearhead.layers.semirings import LOG, MAX, backwards, forwards, totals
from clearhead.layers.structured_chain import Chain, allow, ends, keep, packed_layout, plain, real_transition
from clearhead.layers.structured_scaled import best_paths, filtered, potentials, smoothed, with_gradient

__all__ = [
    "Chain",
    "Expectations",
    "allow",
    "expectations",
    "expected_transitions",
    "first_impossible",
    "keep",
    "log_partition",
    "marginals",
    "n_best",
    "posterior_decode",
    "sample",
    "score",
    "viterbi",
]


def log_partition(chain: Chain, *, fused: bool = True) -> Tensor:
    """log Z (B,): the logarithm of the summed weights of all paths, -inf where no path is possible.

    Its gradients are the posteriors of `marginals` and `expected_transitions`. Raises `InputError` for NaN and +inf.
    """
    forward = filtered(potentials(chain)) if fused else None
    if forward is None:
        whole = plain(chain)
        log_z = totals(whole.emissions, whole.transition, whole.layout, LOG)
    else:
        log_z = with_gradient(chain, forward)
    return log_z.to(chain.dtype)


def score(chain: Chain, tags: Tensor) -> Tensor:
    """The log-weight (B,) of the path `tags` (N,), whose values at pads are not read; -inf where it is impossible."""
    layout, labels = packed_layout(chain), chain.emissions.shape[1]
    exact = torch.float32 if chain.emissions.device.type == "mps" else torch.float64
    tags = chain.layout.take_real(tags)
    emissions, steps = chain.layout.take_real(chain.emissions), real_transition(chain, layout)
    each = emissions.gather(1, tags[:, None]).squeeze(1).to(exact)  # (n,)
    inner = layout.position_ids.nonzero().squeeze(1)  # tokens with a step into them
    step = tags[inner - 1] * labels + tags[inner]
    if steps.dim() == 3:
        step = step + inner * labels**2
    each = each.index_add(0, inner, steps.reshape(-1).gather(0, step).to(exact))
    for weights, places in zip((chain.start, chain.end), ends(layout), strict=True):
        if weights is not None:
            each = each.index_add(0, places, weights.gather(0, tags[places]).to(exact))
    summed = each.new_zeros(len(layout.sizes)).index_add(0, layout.sequence_ids, each)
    return summed.to(chain.dtype)


@dataclass(frozen=True, eq=False)
class Expectations:
    """Expected counts under the posterior, all that an M-step reads: `start` (K,) and `transition` (K, K) summed over
    sequences, `occupancy` (N, K) a token (0 at pads), and `log_z` (B,)."""

    log_z: Tensor
    start: Tensor
    transition: Tensor
    occupancy: Tensor


def expectations(chain: Chain, *, fused: bool = True) -> Expectations:
    """The E-step of Baum-Welch: log Z and the posteriors of labels and of neighbours (Rabiner 1989, eq. 40a-c).

    Without gradient. An impossible sequence counts nothing.
    """
    forward = filtered(potentials(chain)) if fused else None
    if forward is not None:
        log_z, layout = forward.log_z, forward.potentials.layout
        occupancy, pairs = smoothed(forward, torch.ones_like(log_z))
    else:
        with torch.no_grad():
            whole = plain(chain)
        log_z, occupancy, pairs = _by_gradient(whole)
        layout = whole.layout
    transition = pairs.sum(0) if pairs.dim() == 3 else pairs
    start = occupancy.index_select(0, ends(layout)[0]).sum(0)
    occupancy = chain.layout.put_real(occupancy.to(chain.dtype))
    return Expectations(log_z.to(chain.dtype), start.to(chain.dtype), transition.to(chain.dtype), occupancy)


def _by_gradient(whole: Chain) -> tuple[Tensor, Tensor, Tensor]:
    """log Z (B,) and its gradients after emissions and transition, from the twin."""
    with torch.inference_mode(False), torch.enable_grad():
        emissions = whole.emissions.clone().requires_grad_()
        transition = whole.transition.clone().requires_grad_()
        log_z = totals(emissions, transition, whole.layout, LOG)
        occupancy, pairs = torch.autograd.grad(
            log_z.sum(), (emissions, transition), allow_unused=True, materialize_grads=True
        )
    return log_z.detach(), occupancy, pairs


def marginals(chain: Chain, *, fused: bool = True) -> Tensor:
    """p(y_t = k given the whole sequence) (N, K), 0 at pads and in impossible sequences (Rabiner 1989, eq. 27).

    Without gradient; `fused=False` has one.
    """
    if fused:
        return expectations(chain).occupancy
    whole = plain(chain)
    parts = whole.emissions, whole.transition, whole.layout, LOG
    log_z = totals(*parts)
    log_z = log_z.masked_fill(log_z == -torch.inf, 0.0).index_select(0, whole.layout.sequence_ids)[:, None]
    posterior = (forwards(*parts) + backwards(*parts) - log_z).exp()
    return chain.layout.put_real(posterior.to(chain.dtype))


def expected_transitions(chain: Chain, *, fused: bool = True) -> Tensor:
    """The sum over all neighbours of p(y_{t-1} = i, y_t = j given the whole sequence) (K, K). Without gradient."""
    return expectations(chain, fused=fused).transition


def posterior_decode(chain: Chain) -> Tensor:
    """The likeliest label of each token by itself (N,), 0 at pads: the fewest wrong labels on average, though the path
    they make may be impossible."""
    return marginals(chain).argmax(1)


@torch.no_grad()
def viterbi(chain: Chain, *, fused: bool = True) -> tuple[Tensor, Tensor]:
    """The likeliest path of each sequence (N,), 0 at pads, and its log-weight (B,) (Viterbi 1967; Rabiner 1989, 33-35).

    An impossible sequence has score -inf and a path that says nothing. The scores carry no gradient: those of
    `score(chain, paths)` do.
    """
    given = potentials(chain) if fused else None
    if given is not None:
        paths, scores = best_paths(given)
    else:
        whole = plain(chain)
        parts = whole.emissions, whole.transition, whole.layout, MAX
        paths, scores = _traced(forwards(*parts), whole.transition, whole.layout), totals(*parts)
    return chain.layout.put_real(paths), scores.to(chain.dtype)


def _traced(weights: Tensor, transition: Tensor, layout: Layout, draws: Tensor | None = None) -> Tensor:
    """A path a sequence (n,), last label first: at each step the heaviest of weights (n, K) + the step on, or, with
    `draws` (n,) uniform in [0, 1), one drawn with their exponentials as weights."""
    step = layout.grid(weights)  # (B, T, K)
    thresholds = None if draws is None else layout.grid(draws)  # (B, T)
    matrices = layout.grid(transition.mT) if transition.dim() == 3 else None
    labels: list[Tensor] = []
    for place in range(layout.longest - 1, -1, -1):
        candidates = step[:, place]  # (B, K)
        if labels:
            into = transition.mT[labels[-1]] if matrices is None else _rows(matrices[:, place + 1], labels[-1])
            goes_on = (layout.lengths > place + 1)[:, None]
            candidates = torch.where(goes_on, candidates + into, candidates)
        if thresholds is None:
            labels.append(candidates.argmax(1))
        else:
            reached = candidates.softmax(1).cumsum(1)  # (B, K)
            drawn = (reached <= thresholds[:, place, None] * reached[:, -1:]).sum(1)
            labels.append(drawn.clamp(max=candidates.shape[1] - 1))
    return layout.flat(torch.stack(labels[::-1], 1)) if labels else torch.zeros(0, dtype=torch.int64)


def _rows(matrices: Tensor, chosen: Tensor) -> Tensor:
    """(B, K, K) -> (B, K): the row `chosen` (B,) of each."""
    return matrices[torch.arange(len(chosen), device=chosen.device), chosen]


@torch.no_grad()
def sample(chain: Chain, generator: torch.Generator) -> Tensor:
    """A path of each sequence drawn from its posterior (N,), 0 at pads: forward filtering, backward sampling (Scott
    2002, "Bayesian methods for hidden Markov models", 2.2). One number of the generator a token."""
    whole, forward = plain(chain), filtered(potentials(chain))
    if forward is not None:
        ended = forward.alpha.log()  # of each token up to a factor, which a draw does not see
    else:
        ended = forwards(whole.emissions, whole.transition, whole.layout, LOG)
    draws = torch.rand(len(ended), generator=generator, device=generator.device, dtype=torch.float64).to(ended)
    return chain.layout.put_real(_traced(ended, whole.transition, whole.layout, draws))


@torch.no_grad()
def n_best(chain: Chain, n: int) -> list[list[tuple[Tensor, float]]]:
    """The `n` likeliest paths of each sequence, [(path (T,), log-weight)], best first; fewer where fewer are possible.

    The first is Viterbi's, ties included, whatever n: of equals the lowest label wins, from the end on.
    """
    whole = plain(chain)
    tables, pointers = _ranked(whole, n)
    found: list[list[tuple[Tensor, float]]] = []
    for b, length in enumerate(whole.layout.sizes):
        paths: list[tuple[Tensor, float]] = []
        ended = tables[length - 1][b] if length else whole.emissions.new_zeros(1, 1)  # (R, K)
        weights, order = ended.mT.flatten().sort(descending=True, stable=True)  # by label, then by rank
        for weight, place in zip(weights[:n].tolist(), order[:n].tolist(), strict=True):
            if weight == -torch.inf:
                break
            label, rank = divmod(place, len(ended))
            path = [label] if length else []
            for t in range(length - 1, 0, -1):
                label, rank = divmod(int(pointers[t][b, rank, label]), tables[t - 1].shape[1])
                path.append(label)
            paths.append((torch.tensor(path[::-1], dtype=torch.int64), weight))
        found.append(paths)
    return found


def _ranked(whole: Chain, n: int) -> tuple[list[Tensor], list[np.ndarray]]:
    """The weights (B, R, K) of the R <= n best ways that end in each label, a table a place, and where each came from:
    label * R + rank in the table before. (A max-plus recursion over sorted lists; Huang & Chiang 2005, algorithm 1.)"""
    step = whole.layout.grid(whole.emissions)  # (B, T, K)
    matrices = whole.layout.grid(whole.transition) if whole.transition.dim() == 3 else None
    tables, pointers = [step[:, :1]] if whole.layout.longest else [], [np.empty(0)]
    for place in range(1, whole.layout.longest):
        ways, rows = tables[-1].mT.flatten(1), tables[-1].shape[1]  # (B, K * R), by label, then by rank
        matrix = whole.transition if matrices is None else matrices[:, place]  # ([B,] K, K)
        weights = ways[:, :, None] + matrix.repeat_interleave(rows, -2)  # (B, K * R, K)
        weights, order = weights.sort(dim=1, descending=True, stable=True)
        tables.append(weights[:, :n] + step[:, place, None])
        pointers.append(order[:, :n].cpu().numpy())
    return tables, pointers


@torch.no_grad()
def first_impossible(chain: Chain) -> tuple[int, int] | None:
    """(sequence, position) of the first token that no possible path reaches, None where each sequence has a path.

    An `end` that forbids what is left is found at the last token. Counted in the chain's own layout.
    """
    whole = plain(chain)
    best = forwards(whole.emissions, whole.transition, whole.layout, MAX).amax(1)  # (n,)
    dead = (best == -torch.inf).nonzero()
    if not len(dead):
        return None
    token = dead[0, 0]
    return int(whole.layout.sequence_ids[token]), int(whole.layout.position_ids[token])
