"""Positions against their formulas."""

from __future__ import annotations

import cmath
import math

import pytest
import torch

from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.positions import POSITIONS, Alibi, LearnedPositions, Rotary, SinusoidalPositions

LAYOUT = Layout(torch.tensor([4, 2, 5]), 5, packed=True)


def test_every_way_has_a_part_but_none() -> None:
    for name, make in POSITIONS.items():
        parts = make(8, 2, 16)
        given = [part for part in (parts.added, parts.rotation, parts.bias) if part is not None]
        assert len(given) == (0 if name == "none" else 1)


def test_sinusoids_by_hand() -> None:
    x = torch.randn(LAYOUT.tokens, 6, dtype=torch.float64)
    told = SinusoidalPositions()(x, LAYOUT)
    for token, place in enumerate(LAYOUT.position_ids.tolist()):
        for feature in range(6):
            angle = place / 10000 ** ((feature - feature % 2) / 6)
            sine = math.cos(angle) if feature % 2 else math.sin(angle)
            assert told[token, feature].item() == pytest.approx(x[token, feature].item() + sine, 1e-12)


def test_halves_are_the_same_numbers_in_another_order() -> None:
    """Sines first, as in Marian."""
    x = torch.zeros(LAYOUT.tokens, 6, dtype=torch.float64)
    one, other = SinusoidalPositions()(x, LAYOUT), SinusoidalPositions(halves=True)(x, LAYOUT)
    assert torch.equal(other, one[:, [0, 2, 4, 1, 3, 5]])


@pytest.mark.parametrize("name", POSITIONS)
def test_places_without_a_layout_say_the_same(name: str) -> None:
    parts = POSITIONS[name](8, 2, 16)
    x, qk = torch.randn(LAYOUT.tokens, 8), torch.randn(LAYOUT.tokens, 2, 2, 4)
    places = LAYOUT.position_ids
    if parts.added is not None:
        assert torch.equal(parts.added.at(x, places, 9), parts.added(x, LAYOUT))
    if parts.rotation is not None:
        assert torch.equal(parts.rotation.at(qk, places, 9), parts.rotation(qk, LAYOUT))
    if parts.bias is not None:
        bias = parts.bias.at(torch.arange(5), torch.arange(5).expand(5, 5), torch.float32)  # (5, H, 5)
        assert torch.equal(bias.transpose(0, 1), parts.bias(5, torch.float32, x.device))


def test_an_odd_width_has_sinusoids_too() -> None:
    assert SinusoidalPositions()(torch.zeros(LAYOUT.tokens, 5), LAYOUT).shape == (LAYOUT.tokens, 5)


def test_learned_positions_look_up_their_table() -> None:
    positions = LearnedPositions(3, 8)
    told = positions(torch.zeros(LAYOUT.tokens, 3), LAYOUT)
    assert torch.equal(told, positions.table.weight[LAYOUT.position_ids])


def test_a_sequence_longer_than_the_table_is_refused() -> None:
    with pytest.raises(InputError, match=r"5 tokens is longer than the 4 learned ones; raise text\.max_length"):
        LearnedPositions(3, 4)(torch.zeros(LAYOUT.tokens, 3), LAYOUT)


def test_rotary_turns_pairs_by_hand_and_keeps_lengths() -> None:
    qk = torch.randn(LAYOUT.tokens, 2, 3, 4, dtype=torch.float64)
    turned = Rotary()(qk, LAYOUT)
    for token, place in enumerate(LAYOUT.position_ids.tolist()):
        for i in range(2):
            pair = torch.complex(qk[token, ..., i], qk[token, ..., i + 2])
            expected = pair * cmath.exp(1j * place * 10000.0 ** (-i / 2))
            torch.testing.assert_close(turned[token, ..., i], expected.real, rtol=0, atol=1e-14)
            torch.testing.assert_close(turned[token, ..., i + 2], expected.imag, rtol=0, atol=1e-14)
    torch.testing.assert_close(turned.norm(dim=-1), qk.norm(dim=-1), rtol=0, atol=1e-13)


def test_rotary_products_depend_on_the_distance_alone() -> None:
    layout = Layout(torch.tensor([40]), 40, packed=True)
    q, k = torch.randn(2, 6, dtype=torch.float64)
    turned = Rotary()(torch.stack((q, k)).expand(40, 2, 6)[:, :, None], layout)  # (40, 2, 1, 6)
    products = turned[:, 0, 0] @ turned[:, 1, 0].T
    for distance in range(-39, 40):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-12)


def test_alibi_slopes_and_distances() -> None:
    bias = Alibi(8)(5, torch.float64, torch.device("cpu"))
    for head in range(8):
        for query in range(5):
            for key in range(5):
                assert bias[head, query, key].item() == pytest.approx(-(2.0 ** -(head + 1)) * abs(query - key), abs=0)


@pytest.mark.parametrize("name", POSITIONS)
def test_tables_made_in_inference_mode_serve_training(name: str) -> None:
    parts = POSITIONS[name](6, 2, 16)
    layout = Layout(torch.tensor([9, 3]), 9, packed=True)  # a length that no other test here asks for
    x = torch.randn(layout.tokens, 6, requires_grad=True)

    def told() -> torch.Tensor:
        y = x if parts.added is None else parts.added(x, layout)
        if parts.rotation is not None:
            y = parts.rotation(y.reshape(-1, 1, 1, 6), layout)
        if parts.bias is not None:
            y = y.sum() * parts.bias(13, torch.float32, x.device)
        return y

    with torch.inference_mode():
        told()
    told().square().sum().backward()
    assert x.grad is not None
