"""Energies and conditionals on all states there are. scikit-learn's machine: tests/parity."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.layout import Layout
from clearhead.layers.boltzmann_machine import BoltzmannMachine, Units
from clearhead.layers.two_way import TwoWay

BELOW, ABOVE = 5, 4
LAYOUT = Layout(torch.tensor([1]), 1, packed=True)  # a layout plays no part where rows are sequences


def machine(units: Units = "bernoulli", *, window: int = 1, visible: int = BELOW) -> BoltzmannMachine:
    torch.manual_seed(0)
    made = BoltzmannMachine(TwoWay(visible, ABOVE, nn.Sigmoid(), window=window), units).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.8)
    return made


def states(size: int) -> Tensor:
    """All 2^size of them."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=size)), dtype=torch.float64)


def energy(made: BoltzmannMachine, v: Tensor, h: Tensor) -> Tensor:
    """E of every pair of rows, written out: (rows of v, rows of h)."""
    W, c, b = made.layer.linear.weight, made.layer.linear.bias, made.visible_bias
    own = 0.5 * (v - b).square().sum(-1) if made.units == "gaussian" else -(v @ b)
    return own[:, None] - (h @ c)[None] - v @ W.T @ h.T


@pytest.mark.parametrize("units", ["bernoulli", "gaussian"])
def test_the_free_energy_sums_over_all_hidden_states(units: Units) -> None:
    made = machine(units)
    v = states(BELOW) if units == "bernoulli" else torch.randn(20, BELOW, dtype=torch.float64)
    expected = -torch.logsumexp(-energy(made, v, states(ABOVE)), dim=1)
    torch.testing.assert_close(made.free_energy(v, LAYOUT), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("units", ["bernoulli", "gaussian"])
def test_hidden_units_given_visible_ones(units: Units) -> None:
    made = machine(units)
    v = torch.randn(6, BELOW, dtype=torch.float64).sign().clamp(min=0)
    posterior = (-energy(made, v, states(ABOVE))).softmax(1)  # p(h | v) of all h
    torch.testing.assert_close(made(v, LAYOUT), posterior @ states(ABOVE), rtol=0, atol=1e-12)


def test_samples_follow_the_joint_distribution() -> None:
    """Long chains from anywhere: the frequency of every visible state, against exp(-F) / Z."""
    made, count = machine(), 40_000
    exact = (-made.free_energy(states(BELOW), LAYOUT)).softmax(0)
    v, _ = made.gibbs(torch.zeros(count, ABOVE, dtype=torch.float64), LAYOUT, 60)
    seen = torch.bincount((v @ (2.0 ** torch.arange(BELOW - 1, -1, -1).double())).long(), minlength=2**BELOW) / count
    assert ((seen - exact).abs() <= 4.5 * (exact * (1 - exact) / count).sqrt() + 1e-9).all()


def test_gaussian_units_given_hidden_ones() -> None:
    """v ~ N(b + W^T h, 1): mean and variance of many draws, and the log-density up to its constant."""
    made, count = machine("gaussian"), 40_000
    h = torch.tensor([1.0, 0, 1, 0], dtype=torch.float64)
    mean = made.visible_bias + h @ made.layer.linear.weight
    torch.manual_seed(1)
    drawn = made.sample_visible(h.expand(count, -1), LAYOUT)
    assert ((drawn.mean(0) - mean).abs() < 4.5 / count**0.5).all()
    assert ((drawn.var(0) - 1).abs() < 4.5 * (2 / count) ** 0.5).all()
    v = torch.randn(7, BELOW, dtype=torch.float64)
    difference = -energy(made, v, h[None])[:, 0] + 0.5 * (v - mean).square().sum(-1)  # log p(v | h) has no other part
    torch.testing.assert_close(difference, difference[:1].expand(7), rtol=0, atol=1e-12)


def test_softmax_units_over_a_window() -> None:
    """Three tokens of two kinds: all 8 texts and all 2^12 hidden states, with the weights laid out by place."""
    made, layout = machine("softmax", window=3, visible=2), Layout(torch.tensor([3]), 3, packed=True)
    kernel = made.layer.linear.weight.reshape(ABOVE, 3, 2)
    texts = [torch.nn.functional.one_hot(text.long(), 2).double() for text in states(3)]
    hidden = states(3 * ABOVE).reshape(-1, 3, ABOVE)
    for v in texts:
        padded = torch.nn.functional.pad(v, (0, 0, 1, 1))  # (5, 2)
        scores = torch.stack([torch.einsum("owi,wi->o", kernel, padded[t : t + 3]) for t in range(3)])  # (3, ABOVE)
        energies = -(v @ made.visible_bias).sum() - (hidden * (scores + made.layer.linear.bias)).sum((1, 2))
        expected = -torch.logsumexp(-energies, 0)
        torch.testing.assert_close(made.free_energy(v, layout).sum(), expected, rtol=0, atol=1e-11)
    torch.manual_seed(1)
    exact = (-torch.stack([made.free_energy(v, layout).sum() for v in texts])).softmax(0)
    many = Layout(torch.full((8_000,), 3), 3, packed=True)
    drawn, _ = made.gibbs(torch.zeros(many.tokens, ABOVE, dtype=torch.float64), many, 60)
    assert (drawn.sum(-1) == 1).all()
    number = (drawn.argmax(-1).reshape(-1, 3) * torch.tensor([4, 2, 1])).sum(-1)
    seen = torch.bincount(number, minlength=8) / 8_000
    assert ((seen - exact).abs() <= 4.5 * (exact * (1 - exact) / 8_000).sqrt()).all()


def test_the_pseudo_likelihood_is_that_of_every_unit_given_the_others() -> None:
    made = machine()
    every = states(BELOW)
    log_p = (-made.free_energy(every, LAYOUT)).log_softmax(0)
    place = {tuple(row): number for number, row in enumerate(every.tolist())}
    expected = []
    for number, row in enumerate(every.tolist()):
        total = 0.0
        for unit in range(BELOW):
            other = [*row[:unit], 1 - row[unit], *row[unit + 1 :]]
            pair = torch.stack((log_p[number], log_p[place[tuple(other)]]))
            total += (torch.logsumexp(pair, 0) - log_p[number]).item()
        expected.append(total)
    nats = made.pseudo_nats(every, LAYOUT)
    torch.testing.assert_close(nats, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_pseudo_likelihood_in_small_portions_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine()
    whole = made.pseudo_nats(states(BELOW), LAYOUT)
    monkeypatch.setattr("clearhead.layers.boltzmann_machine.CELLS", 1)
    torch.testing.assert_close(made.pseudo_nats(states(BELOW), LAYOUT), whole, rtol=0, atol=1e-12)
