"""Scores by hand, and their temperature."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from clearhead.layers.scores import COSINE_LEAST, COSINE_START, SCORES, Additive, Cosine, Score

B, H, T, S, SIZE = 2, 3, 4, 5, 6
GENERATOR = torch.Generator().manual_seed(0)
QUERY = torch.randn(B, H, T, SIZE, generator=GENERATOR, dtype=torch.float64)
KEY = torch.randn(B, H, S, SIZE, generator=GENERATOR, dtype=torch.float64)


def scored(score: Score) -> torch.Tensor:
    """As attention calls it: the maps of queries and keys see a stream (..., H, d)."""
    query, key = score.query(QUERY.transpose(1, 2)), score.key(KEY.transpose(1, 2))
    result: torch.Tensor = score(query.transpose(1, 2), key.transpose(1, 2))
    return result


def made(name: str, temperature: float | None = None) -> Score:
    torch.manual_seed(0)
    return SCORES[name](H, SIZE, temperature).double()


def by_hand(name: str, score: Score, q: torch.Tensor, k: torch.Tensor, head: int) -> torch.Tensor:
    if name == "additive":
        assert isinstance(score, Additive)
        return score.vector[head] @ torch.tanh(q + k)
    if name == "cosine":
        assert isinstance(score, Cosine)
        assert score.log_temperature is not None
        return F.cosine_similarity(q, k, dim=0) / score.log_temperature[head, 0].exp()
    return q @ k / (SIZE**0.5 if name == "scaled" else 1.0)


@pytest.mark.parametrize("name", SCORES)
def test_each_score_by_hand(name: str) -> None:
    score = made(name)
    scores = scored(score)
    assert scores.shape == (B, H, T, S)
    for b, h, t, s in itertools.product(range(B), range(H), range(T), range(S)):
        torch.testing.assert_close(
            scores[b, h, t, s], by_hand(name, score, QUERY[b, h, t], KEY[b, h, s], h), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("name", SCORES)
def test_a_given_temperature_divides_every_score(name: str) -> None:
    torch.testing.assert_close(scored(made(name, 0.25)), scored(made(name, 1.0)) / 0.25, rtol=1e-12, atol=0)


def test_only_the_cosine_learns_a_temperature_unless_given_one() -> None:
    assert all(not list(made(name).parameters()) for name in ("scaled", "plain"))
    assert not list(made("cosine", 0.5).parameters())
    score = made("cosine")
    assert isinstance(score, Cosine)
    assert score.log_temperature is not None
    torch.testing.assert_close(score.log_temperature.exp().float(), torch.full((H, 1), COSINE_START))
    with torch.no_grad():
        score.log_temperature.fill_(-20)
    torch.testing.assert_close(scored(score), scored(made("cosine", COSINE_LEAST)), rtol=1e-12, atol=0)


def test_a_cosine_does_not_depend_on_lengths_and_a_query_of_zeros_is_no_fault() -> None:
    score = made("cosine")
    one = score(score.query((QUERY * 7).transpose(1, 2)).transpose(1, 2), KEY)
    torch.testing.assert_close(one, score(score.query(QUERY.transpose(1, 2)).transpose(1, 2), KEY), rtol=0, atol=1e-12)
    blank = torch.zeros(1, H, SIZE, requires_grad=True)
    score.float().query(blank).sum().backward()
    assert torch.isfinite(blank.grad).all()  # type: ignore[arg-type]


def test_additive_scores_do_not_grow_with_the_width() -> None:
    for size in (16, 1024):
        torch.manual_seed(0)
        score = SCORES["additive"](1, size, None)
        spread = score(torch.randn(1, 1, 64, size), torch.randn(1, 1, 64, size)).std()
        assert 0.3 < spread < 1.2
