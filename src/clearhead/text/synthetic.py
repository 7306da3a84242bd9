"""Synthetic languages whose optimum is known: what a perfect model would score on them is a number, not a guess."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
SPREAD = 0.001


def associative_recall(rng: np.random.Generator, count: int, *, pairs: int, keys: int, values: int) -> tuple[Ids, Ids]:
    """Key-value pairs and a key that is asked again: inputs `(count, 2 * pairs + 1)` and answers `(count,)`.

    An input is k1 v1 k2 v2 ... and one of its keys; keys are 0 ... keys-1, all different, values are keys ...
    keys+values-1; the answer is the id of the value that stood behind the key. Optimum 0, guessing ln(values) nats.
    The task of Ba et al. 2016 (arXiv:1610.06258, section 4.1). Raises `ValueError` where `pairs` exceeds `keys`.
    """
    if not 1 <= pairs <= keys:
        raise ValueError(f"{pairs} pairs of different keys cannot be drawn from {keys} keys")
    shown = rng.random((count, keys)).argsort(axis=1)[:, :pairs]
    held = keys + rng.integers(values, size=(count, pairs))
    asked = rng.integers(pairs, size=(count, 1))
    interleaved = np.stack([shown, held], axis=2).reshape(count, 2 * pairs)
    question = np.take_along_axis(shown, asked, axis=1)
    return np.concatenate([interleaved, question], axis=1), np.take_along_axis(held, asked, axis=1)[:, 0]


def modular_hole(rng: np.random.Generator, count: int, *, modulus: int = 8) -> tuple[Ids, Ids]:
    """Symbols around a hole that both sides fix only together: inputs `(count, 5)` and answers `(count,)`.

    An input is l2 l1 [hole] r1 r2, symbols 0 ... modulus-1 and the hole written as `modulus`; the answer is
    (l1 + r1) mod modulus. Optimum 0 bits. A softmax over a score of the left plus a score of the right is left with
    log2(modulus) bits: its loss is convex, and flat at the even answer, which neither side alone can improve.
    """
    inputs = rng.integers(modulus, size=(count, 5))
    inputs[:, 2] = modulus
    return inputs, (inputs[:, 1] + inputs[:, 3]) % modulus


@dataclass(frozen=True)
class MarkovLanguage:
    """A stationary Markov source: after each context of `order` symbols, a row drawn from a Dirichlet distribution.

    A small `concentration` makes rows sharp, a large one even; a thousandth of each row is spread evenly, so that no
    symbol is impossible. Equal arguments give the equal language.
    """

    order: int
    symbols: int
    concentration: float = 0.3
    seed: int = 0

    @cached_property
    def transitions(self) -> NDArray[np.float64]:
        """P(next | context), `(symbols ** order, symbols)`; a context counts its newest symbol as the last digit."""
        rng = np.random.default_rng([self.seed, self.order, self.symbols])
        rows = rng.dirichlet(np.full(self.symbols, self.concentration), size=self.symbols**self.order)
        return (1 - SPREAD) * rows + SPREAD / self.symbols

    @cached_property
    def stationary(self) -> NDArray[np.float64]:
        """P(context) in the long run, `(symbols ** order,)`: the left eigenvector, pi T = pi, summing to one."""
        contexts = self.symbols**self.order
        chain = np.zeros((contexts, contexts))
        for symbol in range(self.symbols):
            chain[np.arange(contexts), self._following(np.arange(contexts), symbol)] += self.transitions[:, symbol]
        balance = chain.T - np.eye(contexts)
        balance[-1] = 1.0
        solution: NDArray[np.float64] = np.linalg.solve(balance, np.eye(contexts)[-1])
        solution = solution.clip(min=0.0)
        solution /= solution.sum()
        return solution

    def sample(self, rng: np.random.Generator, count: int, length: int) -> Ids:
        """Sequences `(count, length)` of symbols 0 ... symbols-1, stationary from the first symbol on."""
        context = rng.choice(
            len(self.stationary), size=count, p=self.stationary.clip(0) / self.stationary.clip(0).sum()
        )
        sequences = np.empty((count, self.order + length), dtype=np.int64)
        for place in range(self.order):
            sequences[:, place] = context // self.symbols ** (self.order - 1 - place) % self.symbols
        cumulative = self.transitions.cumsum(axis=1)
        for place in range(self.order, self.order + length):
            draw = rng.random((count, 1)) * cumulative[context, -1:]
            sequences[:, place] = (draw >= cumulative[context]).sum(axis=1).clip(max=self.symbols - 1)
            context = self._following(context, sequences[:, place])
        return sequences[:, :length]

    def entropy_rate(self) -> float:
        """Bits a symbol that no model can do without: sum over contexts of P(context) H(row) (Shannon 1948)."""
        return float(-(self.stationary[:, None] * self.transitions * np.log2(self.transitions)).sum())

    def ideal_bits(self, sequences: Ids) -> NDArray[np.float64]:
        """-log2 P(symbol | all before it) under the true source, `(count, length)`.

        The first `order` symbols are scored by what the stationary distribution says of shorter contexts.
        """
        bits = np.empty(sequences.shape)
        for place in range(sequences.shape[1]):
            width = min(place, self.order)
            context = self._number(sequences[:, place - width : place])
            bits[:, place] = -np.log2(self._rows(width)[context, sequences[:, place]])
        return bits

    def _rows(self, width: int) -> NDArray[np.float64]:
        """P(next | the last `width` symbols), `(symbols ** width, symbols)`."""
        if width == self.order:
            return self.transitions
        joint = (self.stationary[:, None] * self.transitions).reshape(-1, self.symbols**width, self.symbols).sum(axis=0)
        rows: NDArray[np.float64] = joint / joint.sum(axis=1, keepdims=True)
        return rows

    def _number(self, context: Ids) -> Ids:
        number = np.zeros(len(context), dtype=np.int64)
        for place in range(context.shape[1]):
            number = number * self.symbols + context[:, place]
        return number

    def _following(self, context: Ids, symbol: Ids | int) -> Ids:
        following: Ids = (context * self.symbols + symbol) % self.symbols**self.order
        return following


@dataclass(frozen=True, eq=False)
class HiddenMarkovLanguage:
    """Symbols written by hidden states: `start` (K,), `transitions` (K, K), `emissions` (K, V), rows that sum to one.

    With probability `repeats` a symbol copies the one before it instead, whatever the state: then no HMM is true, and
    what is known of the states is known all the same.
    """

    start: NDArray[np.float64]
    transitions: NDArray[np.float64]
    emissions: NDArray[np.float64]
    repeats: float = 0.0

    def sample(self, rng: np.random.Generator, count: int, length: int) -> tuple[Ids, Ids]:
        """States and symbols, `(count, length)` each."""
        states = np.empty((count, length), np.int64)
        symbols = np.empty((count, length), np.int64)
        for place in range(length):
            rows = np.tile(self.start, (count, 1)) if place == 0 else self.transitions[states[:, place - 1]]
            states[:, place] = _drawn(rng, rows)
            symbols[:, place] = _drawn(rng, self.emissions[states[:, place]])
            copied = rng.random(count) < self.repeats
            if place:
                symbols[copied, place] = symbols[copied, place - 1]
        return states, symbols

    def posteriors(self, symbols: Ids) -> NDArray[np.float64]:
        """P(state | all symbols), `(count, length, K)`, by the forward-backward recursions (Rabiner 1989).

        Raises `ValueError` that names the first symbol that the language cannot write.
        """
        count, length = symbols.shape
        seen = self._likelihoods(symbols)
        forward = np.empty((count, length, len(self.start)))
        backward = np.ones_like(forward)
        for place in range(length):
            before = self.start if place == 0 else forward[:, place - 1] @ self.transitions
            forward[:, place] = before * seen[:, place]
            total = forward[:, place].sum(-1, keepdims=True)
            if not total.all():
                raise ValueError(f"symbol {place} of sequence {int(total.argmin())} cannot stand there")
            forward[:, place] /= total
        for place in range(length - 2, -1, -1):
            backward[:, place] = (backward[:, place + 1] * seen[:, place + 1]) @ self.transitions.T
            backward[:, place] /= backward[:, place].sum(-1, keepdims=True)
        joint = forward * backward
        result: NDArray[np.float64] = joint / joint.sum(-1, keepdims=True)
        return result

    def best_accuracy(self, symbols: Ids) -> float:
        """The share of states that the best guess is expected to get right: the mean of max P(state | symbols)."""
        return float(self.posteriors(symbols).max(-1).mean())

    def _likelihoods(self, symbols: Ids) -> NDArray[np.float64]:
        """P(symbol | state, the symbol before), `(count, length, K)`."""
        own = self.emissions.T[symbols]
        copied = (symbols[:, 1:] == symbols[:, :-1])[..., None]
        mixed: NDArray[np.float64] = (1 - self.repeats) * own[:, 1:] + self.repeats * copied
        return np.concatenate([own[:, :1], mixed], axis=1)


def hidden_markov_language(
    states: int, symbols: int, *, concentration: float = 0.3, repeats: float = 0.0, seed: int = 0
) -> HiddenMarkovLanguage:
    """A language whose rows come from Dirichlet distributions, a thousandth of each spread evenly; equal for equals."""
    rng = np.random.default_rng([seed, states, symbols])
    start, *transitions = (_spread(rng, states, concentration) for _ in range(states + 1))
    emissions = [_spread(rng, symbols, concentration) for _ in range(states)]
    return HiddenMarkovLanguage(start, np.stack(transitions), np.stack(emissions), repeats)


def rib_rob(noise: float = 3 / 32) -> HiddenMarkovLanguage:
    """The automaton of Lafferty et al. 2001 (section 5.1), whose words of three letters are rib and rob, misspelt.

    States 0 ... 4 write r, i, b and r, o; the ways are 0 1 2 and 3 4 2, equally likely, so that only the middle letter
    tells them apart. A letter is another with probability `noise`. Symbols are r 0, i 1, o 2, b 3; sample `length` 3.
    At the paper's noise the best guess of the way is wrong in 1/16, where label bias guesses: 1/2.
    """
    letters = (0, 1, 3, 0, 2)
    emissions = np.full((5, 4), noise / 3)
    emissions[np.arange(5), letters] = 1 - noise
    transitions = np.eye(5)[[1, 2, 2, 4, 2]]
    return HiddenMarkovLanguage(np.array([0.5, 0.0, 0.0, 0.5, 0.0]), transitions, emissions)


def _spread(rng: np.random.Generator, size: int, concentration: float) -> NDArray[np.float64]:
    row: NDArray[np.float64] = (1 - SPREAD) * rng.dirichlet(np.full(size, concentration)) + SPREAD / size
    return row


def _drawn(rng: np.random.Generator, rows: NDArray[np.float64]) -> Ids:
    """One draw from each row of probabilities (n, K)."""
    cumulative = rows.cumsum(axis=1)
    draw = rng.random((len(rows), 1)) * cumulative[:, -1:]
    drawn: Ids = (draw >= cumulative).sum(axis=1).clip(max=rows.shape[1] - 1)
    return drawn
