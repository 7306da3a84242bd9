"""Milliseconds of inference in chains: clearhead against pytorch-crf and hmmlearn.

    python benchmarks/structured_inference.py [--rounds N] [--threads N ...]

CRF: 32 sentences, all of 128 tokens or of 16 to 128 (both sides know the lengths; pytorch-crf's batch is padded), in
float32: the loss with its gradients for all potentials, and the best paths. HMM: 50,000 tokens of 2,506 words as 250
sequences, or one, in float64: one iteration of Baum-Welch (E-step, M-step; hmmlearn's `fit` with one iteration more,
less one without, as its default, in log-space, and scaled), and the best paths. Each side is run in turn, round by
round, in one process with the same number of threads; the table holds medians over rounds.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hmmlearn.hmm import CategoricalHMM
from rich.console import Console
from rich.table import Table
from torchcrf import CRF

from clearhead.batches.layout import Layout
from clearhead.layers.structured import Chain, expectations, log_partition, score, viterbi

SENTENCES, LONGEST = 32, 128
TOKENS, WORDS = 50_000, 2_506


@dataclass(frozen=True)
class Race:
    """Two ways to the same result."""

    name: str
    ours: Callable[[], object]
    theirs: Callable[[], object]


def crf_races(labels: int, ragged: bool) -> list[Race]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.full((SENTENCES,), LONGEST)
    if ragged:
        lengths = torch.randint(16, LONGEST + 1, (SENTENCES,), generator=generator)
        lengths[0] = LONGEST
    layout = Layout(lengths, LONGEST, packed=False)
    theirs = CRF(labels, batch_first=True)
    grid = torch.randn(SENTENCES, LONGEST, labels, generator=generator, requires_grad=True)
    tags = torch.randint(labels, (SENTENCES, LONGEST), generator=generator)
    packed = Layout(lengths, LONGEST, packed=True)
    stream = layout.take_real(grid.detach().flatten(0, 1)).requires_grad_()
    stream_tags = layout.take_real(tags.flatten())

    def chain() -> Chain:
        return Chain(stream, theirs.transitions, packed, theirs.start_transitions, theirs.end_transitions)

    def our_loss() -> None:
        potentials = chain()
        (log_partition(potentials) - score(potentials, stream_tags)).sum().backward()

    def their_loss() -> None:
        (-theirs(grid, tags, layout.real_grid)).backward()

    def our_paths() -> None:
        viterbi(chain())

    def their_paths() -> None:
        with torch.no_grad():
            theirs.decode(grid, layout.real_grid)

    shape = f"{SENTENCES} x {'16..' if ragged else ''}{LONGEST}, {labels} labels"
    return [
        Race(f"CRF loss and gradient, {shape}", our_loss, their_loss),
        Race(f"CRF best paths, {shape}", our_paths, their_paths),
    ]


def hmm_races(states: int, sequences: int) -> list[Race]:
    random = np.random.default_rng(0)
    words = random.zipf(1.3, TOKENS) % WORDS
    start, transition = random.dirichlet(np.ones(states)), random.dirichlet(np.ones(states), states)
    emission = random.dirichlet(np.ones(WORDS), states)
    lengths = [TOKENS // sequences] * sequences
    layout = Layout(torch.tensor(lengths), lengths[0], packed=True)
    ids = torch.from_numpy(words)
    column = words[:, None]

    def chain() -> Chain:
        log_b = torch.from_numpy(emission).log().T.contiguous()
        log_a, log_pi = torch.from_numpy(transition).log(), torch.from_numpy(start).log()
        return Chain(log_b.index_select(0, ids), log_a, layout, log_pi)

    def our_iteration() -> None:
        counts = expectations(chain())
        seen = torch.zeros(WORDS, states, dtype=torch.float64).index_add_(0, ids, counts.occupancy).T
        for count in (counts.start, counts.transition, seen):
            count / count.sum(-1, keepdim=True)

    def theirs(implementation: str) -> CategoricalHMM:
        made = CategoricalHMM(
            states, n_iter=1, init_params="", n_features=WORDS, implementation=implementation, tol=-np.inf
        )
        made.startprob_, made.transmat_, made.emissionprob_ = start, transition, emission
        return made

    shape = f"{sequences} x {lengths[0]:,}, {states} states"
    decoder = theirs("log")
    return [
        Race(f"HMM iteration, {shape}", our_iteration, lambda: theirs("log").fit(column, lengths)),
        Race(f"HMM iteration, scaled, {shape}", our_iteration, lambda: theirs("scaling").fit(column, lengths)),
        Race(f"HMM best paths, {shape}", lambda: viterbi(chain()), lambda: decoder.decode(column, lengths)),
    ]


def milliseconds(race: Race, rounds: int) -> tuple[float, float]:
    """The medians of both sides, run in turn after one run that counts for nothing."""
    sides: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for run, times in zip((race.ours, race.theirs), sides, strict=True):
            begun = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(sides[0][1:]), statistics.median(sides[1][1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)
    torch.set_flush_denormal(True)
    console = Console()
    for threads in options.threads:
        torch.set_num_threads(threads)
        table = Table("", "clearhead, ms", "peer, ms", "times as fast", title=f"{threads} thread(s)")
        races = [race for labels in (9, 45) for ragged in (False, True) for race in crf_races(labels, ragged)]
        races += [race for states in (8, 45) for sequences in (250, 1) for race in hmm_races(states, sequences)]
        for race in races:
            ours, theirs = milliseconds(race, options.rounds)
            table.add_row(race.name, f"{ours:.2f}", f"{theirs:.1f}", f"{theirs / ours:.1f}")
        console.print(table)


if __name__ == "__main__":
    main()
