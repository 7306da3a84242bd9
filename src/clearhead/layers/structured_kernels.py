"""Compiled loops over chains: scaled forward and backward sums, and max-plus with its best paths. Needs numba.

The kernels run over the sequences `first` to `last` of a packed stream, whose tokens `offsets[b]` to `offsets[b + 1]`
are those of sequence b, and give up Python's lock, so that threads share a batch. All numbers are float64. Letters: n
tokens, K labels, M matrices: one for all steps, or one for the step into each token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import torch

Array = np.ndarray
Function = TypeVar("Function", bound=Callable[..., Any])

LEAST_WORK = 400_000  # multiplications that pay for one more thread
LONG_ROW = 16  # labels from which max-plus is faster by vectors over the labels arrived at
FARTHEST = -600.0  # a finite logarithm further below the highest counts as this, so that products stay normal numbers
LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


def machine(*fastmath: str, entry: bool = False) -> Callable[[Function], Function]:
    """Compiles at the first call and keeps the code on disk; where no folder can be written, in this process alone.

    `fastmath` are the liberties that the compiler may take; only an `entry` can be called from Python.
    """

    def compiled(function: Function) -> Function:
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}
        options |= {"no_cpython_wrapper": not entry, "no_cfunc_wrapper": True}
        try:
            made: Any = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no folder for the code
            made = numba.njit(**options)(function)
        kept: Function = made
        return kept

    return compiled


@machine("contract")
def exponential(x: float) -> float:
    """exp(x) for -700 < x <= 0 within 2e-16, in steps that a vector unit takes four at a time (libm's takes none)."""
    power = np.floor(x * LOG2_E + 0.5)
    r = (x - power * LN2_HIGH) - power * LN2_LOW  # |r| <= log(2) / 2
    y = 1.6059043836821613e-10  # 1 / 13!
    y = y * r + 2.08767569878681e-09
    y = y * r + 2.505210838544172e-08
    y = y * r + 2.755731922398589e-07
    y = y * r + 2.7557319223985893e-06
    y = y * r + 2.48015873015873e-05
    y = y * r + 0.0001984126984126984
    y = y * r + 0.001388888888888889
    y = y * r + 0.008333333333333333
    y = y * r + 0.041666666666666664
    y = y * r + 0.16666666666666666
    y = y * r + 0.5
    y = y * r + 1.0
    y = y * r + 1.0
    exponent_bits = (np.int64(np.int32(power)) + 1023) << 52
    power_of_two: float = np.int64(exponent_bits).view(np.float64)
    exponential_of_x: float = y * power_of_two
    return exponential_of_x


@machine("nsz", "nnan")
def larger(a: float, b: float) -> float:
    """max(a, b), as one instruction."""
    return a if a > b else b


@machine()
def fill(row: Array, n: int, value: float) -> None:
    """row[n] = value."""
    for j in range(row.shape[1]):
        row[n, j] = value


@machine("reassoc", "contract", "nsz")
def times_matrix(row: Array, n: int, matrix: Array, m: int, product: Array, into: int) -> None:
    """product[into] = row[n] matrix[m], four rows of the matrix at a time."""
    K = matrix.shape[1]
    for j in range(K):
        product[into, j] = 0.0
    for i in range(0, K - 3, 4):
        x0, x1, x2, x3 = row[n, i], row[n, i + 1], row[n, i + 2], row[n, i + 3]
        for j in range(K):
            pair = x0 * matrix[m, i, j] + x1 * matrix[m, i + 1, j]
            product[into, j] += pair + (x2 * matrix[m, i + 2, j] + x3 * matrix[m, i + 3, j])
    for i in range(K - K % 4, K):
        x0 = row[n, i]
        for j in range(K):
            product[into, j] += x0 * matrix[m, i, j]


@machine("reassoc", "contract", "nsz")
def weigh(emissions: Array, n: int, start: Array, is_first: bool, end: Array, is_last: bool, weights: Array) -> float:
    """weights[n] = exp(emissions[n] - h), with the start and end weights where they belong, and h, their highest."""
    K, highest = weights.shape[1], -np.inf
    for j in range(K):
        emission = emissions[n, j]
        if is_first:
            emission += start[j]
        if is_last:
            emission += end[j]
        weights[n, j] = emission
        highest = larger(emission, highest)
    if highest == -np.inf:
        highest = 0.0
    for j in range(K):
        possible = weights[n, j] > -np.inf
        weight = exponential(max(weights[n, j] - highest, FARTHEST))
        weights[n, j] = weight if possible else 0.0
    return highest


@machine("reassoc", "contract", "nsz")
def normalize(alpha: Array, n: int, weights: Array) -> float:
    """alpha[n] times weights[n], made to sum to 1, and what it was divided by; zeros and 0 where nothing is left."""
    K, total = weights.shape[1], 0.0
    for j in range(K):
        alpha[n, j] *= weights[n, j]
        total += alpha[n, j]
    inverse = 1.0 / total if total > 0.0 else 0.0
    for j in range(K):
        alpha[n, j] *= inverse
    return total


@machine()
def smallest(row: Array, n: int) -> float:
    """The smallest number of row[n] that is not 0, at most 1."""
    least = 1.0
    for j in range(row.shape[1]):
        least = min(least, row[n, j] if row[n, j] > 0.0 else 1.0)
    return least


@machine("contract", entry=True)
def filter_forward(
    emissions: Array, start: Array, end: Array, matrix: Array, shift: Array, watched: bool, offsets: Array,
    first: int, last: int, weights: Array, alpha: Array, scale: Array, log_z: Array, least: Array,
) -> None:  # fmt: skip
    """Fills alpha (n, K) = p(y_t given all up to t), scale (n,), what each step was divided by, and log_z (B,).

    `emissions` (n, K), `start` and `end` (K,) are logarithms; `matrix` (M, K, K), from row to column, is not, and
    relative to its highest, whose logarithm is `shift` (M,). Also fills weights (n, K), the emissions' exponentials
    relative to their highest, and, if `watched`, least (B,), the smallest number that is not 0. After an impossible
    step all is 0. (Rabiner 1989, eq. 91-92.)
    """
    stride = 0 if matrix.shape[0] == 1 else 1
    for b in range(first, last):
        begin, stop = offsets[b], offsets[b + 1]
        log_sum, product, lowest = 0.0, 1.0, 1.0
        for n in range(begin, stop):
            log_sum += weigh(emissions, n, start, n == begin, end, n == stop - 1, weights)
            if n == begin:
                fill(alpha, n, 1.0)
            else:
                times_matrix(alpha, n - 1, matrix, n * stride, alpha, n)
                log_sum += shift[n * stride]
            scale[n] = normalize(alpha, n, weights)
            if watched:
                lowest = min(lowest, smallest(weights, n), smallest(alpha, n))
            product *= scale[n]
            if product < 1e-100 or product > 1e100:
                log_sum += np.log(product)
                product = 1.0
        log_z[b] = log_sum + np.log(product)
        least[b] = lowest


@machine("reassoc", "contract", "nsz")
def smooth_step(beta: Array, weights: Array, alpha: Array, n: int, scale: float, into: Array, slot: int) -> None:
    """into[slot] from beta[0]: what the step into token n multiplies; and beta[0] becomes p(y_t given all).

    Both are kept only where alpha is not 0: elsewhere nothing can pass, and beta has no bound.
    """
    inverse = 1.0 / scale if scale > 0.0 else 0.0
    for j in range(weights.shape[1]):
        kept = beta[0, j] if alpha[n, j] > 0.0 else 0.0
        into[slot, j] = weights[n, j] * kept * inverse
        beta[0, j] = alpha[n, j] * kept


@machine("reassoc", "contract", "nsz")
def add_pair(pairs: Array, m: int, factor: float, alpha: Array, n: int, into: Array, slot: int) -> None:
    """pairs[m] += factor alpha[n - 1] into[slot]^T."""
    K = into.shape[1]
    for i in range(K):
        before = factor * alpha[n - 1, i]
        for j in range(K):
            pairs[m, i, j] += before * into[slot, j]


@machine("reassoc", "contract", "nsz")
def add_four_pairs(pairs: Array, factor: float, alpha: Array, n: int, into: Array) -> None:
    """pairs[0] += the sum over s < 4 of factor alpha[n - 1 + s] into[3 - s]^T, in one pass."""
    K = into.shape[1]
    for i in range(K):
        a0, a1 = factor * alpha[n - 1, i], factor * alpha[n, i]
        a2, a3 = factor * alpha[n + 1, i], factor * alpha[n + 2, i]
        for j in range(K):
            pair = a0 * into[3, j] + a1 * into[2, j]
            pairs[0, i, j] += pair + (a2 * into[1, j] + a3 * into[0, j])


@machine("contract", entry=True)
def smooth_backward(
    weights: Array, matrix: Array, transposed: Array, offsets: Array, first: int, last: int, alpha: Array,
    scale: Array, each: Array, occupancy: Array, pairs: Array,
) -> None:  # fmt: skip
    """Fills occupancy (n, K) = each[b] p(y_t given all), and adds each[b] p(y_{t-1} = i, y_t = j given all) to pairs:
    (1, K, K), or (n, K, K), the step into each token; they have still to be multiplied by the matrix.

    `transposed` (M, K, K) goes from column to row. (Rabiner 1989, eq. 27 and 37.)
    """
    K = weights.shape[1]
    stride = 0 if matrix.shape[0] == 1 else 1
    beta, into = np.empty((1, K)), np.empty((4, K))  # into: of the last four steps, which are added to pairs together
    for b in range(first, last):
        factor, begin, stop = each[b], offsets[b], offsets[b + 1]
        for n in range(stop - 1, begin - 1, -1):
            slot = (stop - 1 - n) % 4
            if n == stop - 1:
                fill(beta, 0, 1.0)
            else:
                times_matrix(into, (slot + 3) % 4, transposed, (n + 1) * stride, beta, 0)
            smooth_step(beta, weights, alpha, n, scale[n], into, slot)
            for j in range(K):
                occupancy[n, j] = factor * beta[0, j]
            if stride == 1 and n > begin:
                add_pair(pairs, n, factor, alpha, n, into, slot)
            elif slot == 3 and n > begin:
                add_four_pairs(pairs, factor, alpha, n, into)
        left = max(stop - 1 - begin, 0) % 4 if stride == 0 else 0
        for slot in range(left):
            add_pair(pairs, 0, factor, alpha, begin + left - slot, into, slot)


@machine("nsz", "nnan")
def best_step(best: Array, n: int, matrix: Array, m: int) -> None:
    """best[n, j] = max_i best[n - 1, i] + matrix[m, i, j]."""
    K = matrix.shape[1]
    if K < LONG_ROW:
        for j in range(K):
            highest = -np.inf
            for i in range(K):
                highest = larger(best[n - 1, i] + matrix[m, i, j], highest)
            best[n, j] = highest
        return
    for j in range(K):
        best[n, j] = -np.inf
    for i in range(0, K - 3, 4):
        x0, x1, x2, x3 = best[n - 1, i], best[n - 1, i + 1], best[n - 1, i + 2], best[n - 1, i + 3]
        for j in range(K):
            pair = larger(x0 + matrix[m, i, j], x1 + matrix[m, i + 1, j])
            other = larger(x2 + matrix[m, i + 2, j], x3 + matrix[m, i + 3, j])
            best[n, j] = larger(best[n, j], larger(pair, other))
    for i in range(K - K % 4, K):
        x0 = best[n - 1, i]
        for j in range(K):
            best[n, j] = larger(best[n, j], x0 + matrix[m, i, j])


@machine("nsz", "nnan")
def arrive(best: Array, n: int, emissions: Array, start: Array, is_first: bool, end: Array, is_last: bool) -> None:
    """best[n] += emissions[n], with the start and end weights where they belong."""
    for j in range(emissions.shape[1]):
        emission = emissions[n, j]
        if is_first:
            emission += start[j]
        if is_last:
            emission += end[j]
        best[n, j] += emission


@machine("nsz", "nnan", entry=True)
def best_paths(
    emissions: Array, start: Array, end: Array, matrix: Array, offsets: Array, first: int, last: int, best: Array,
    paths: Array, scores: Array,
) -> None:  # fmt: skip
    """Fills best (n, K), the highest score of a way that ends in a label, paths (n,) and scores (B,), of logarithms.

    No back-pointers: the arg-max is found again along the best path alone. Of equals the lowest label wins.
    """
    K = emissions.shape[1]
    stride = 0 if matrix.shape[0] == 1 else 1
    for b in range(first, last):
        begin, stop = offsets[b], offsets[b + 1]
        for n in range(begin, stop):
            if n == begin:
                fill(best, n, 0.0)
            else:
                best_step(best, n, matrix, n * stride)
            arrive(best, n, emissions, start, n == begin, end, n == stop - 1)
        label, scores[b] = 0, 0.0
        for n in range(stop - 1, begin - 1, -1):
            highest, chosen = -np.inf, 0
            for i in range(K):
                ended = best[n, i]
                if n < stop - 1:
                    ended += matrix[(n + 1) * stride, i, label]
                if ended > highest:
                    highest, chosen = ended, i
            if n == stop - 1:
                scores[b] = highest
            label = chosen
            paths[n] = label


def over_sequences(run: Callable[[int, int, int], None], offsets: Array, threads: int) -> None:
    """Calls run(number, first, last) for spans of sequences with about as many tokens each, a thread each."""
    bounds = np.searchsorted(offsets, np.linspace(0, offsets[-1], threads + 1))
    bounds[0], bounds[-1] = 0, len(offsets) - 1
    spans = [(number, int(bounds[number]), int(bounds[number + 1])) for number in range(threads)]
    others = [threading.Thread(target=run, args=span) for span in spans[1:]]
    for thread in others:
        thread.start()
    run(*spans[0])
    for thread in others:
        thread.join()


def threads_for(tokens: int, labels: int, sequences: int) -> int:
    """As many threads as torch has, fewer where there is little to do."""
    return max(1, min(torch.get_num_threads(), sequences, tokens * labels**2 // LEAST_WORK))
