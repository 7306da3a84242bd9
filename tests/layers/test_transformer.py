"""The block's two orders of norm and residual, by hand; and activations."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor

from clearhead.batches.layout import Layout
from clearhead.layers.activations import ACTIVATIONS
from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.cross_attention import CrossAttention, Source
from clearhead.layers.feedforward import FeedForward
from clearhead.layers.normalization import LayerNorm
from clearhead.layers.pairing import Pairing
from clearhead.layers.transformer import Block, NormPlace

LAYOUT = Layout(torch.tensor([3, 5]), 5, packed=True)


def block(norm_place: NormPlace, dropout: float = 0.0, *, residual: bool = True, cross: bool = False) -> Block:
    torch.manual_seed(0)
    feedforward = FeedForward(8, 12, ACTIVATIONS["relu"]())
    return Block(
        MultiHeadAttention(8, 2),
        feedforward,
        functools.partial(LayerNorm, 8),
        norm_place=norm_place,
        dropout=dropout,
        residual=residual,
        cross=CrossAttention(8, 2) if cross else None,
    ).double()


def test_the_order_of_norm_and_residual() -> None:
    x = torch.randn(LAYOUT.tokens, 8, dtype=torch.float64)
    pre, post = block("pre"), block("post")
    for made in (pre, post):
        for norm in (made.attention_norm, made.feedforward_norm):
            torch.nn.init.uniform_(norm.weight, 0.5, 2.0)  # type: ignore[arg-type]

    def norms(made: Block) -> tuple[functools.partial[Tensor], functools.partial[Tensor]]:
        return (
            functools.partial(made.attention_norm, layout=LAYOUT),
            functools.partial(made.feedforward_norm, layout=LAYOUT),
        )

    one, two = norms(pre)
    middle = x + pre.attention(one(x), LAYOUT)
    torch.testing.assert_close(pre(x, LAYOUT), middle + pre.feedforward(two(middle)), rtol=0, atol=1e-14)
    one, two = norms(post)
    middle = one(x + post.attention(x, LAYOUT))
    torch.testing.assert_close(post(x, LAYOUT), two(middle + post.feedforward(middle)), rtol=0, atol=1e-14)


def test_without_residual_connections_nothing_is_added() -> None:
    x = torch.randn(LAYOUT.tokens, 8, dtype=torch.float64)
    pre, post = block("pre", residual=False), block("post", residual=False)
    middle = pre.attention(pre.attention_norm(x, LAYOUT), LAYOUT)
    expected = pre.feedforward(pre.feedforward_norm(middle, LAYOUT))
    torch.testing.assert_close(pre(x, LAYOUT), expected, rtol=0, atol=1e-14)
    middle = post.attention_norm(post.attention(x, LAYOUT), LAYOUT)
    expected = post.feedforward_norm(post.feedforward(middle), LAYOUT)
    torch.testing.assert_close(post(x, LAYOUT), expected, rtol=0, atol=1e-14)


def test_the_source_is_read_between_attention_and_feed_forward() -> None:
    other = Layout(torch.tensor([2, 4]), 4, packed=True)
    x, y = torch.randn(LAYOUT.tokens, 8).double(), torch.randn(other.tokens, 8).double()
    source = Source(y, Pairing(LAYOUT, other))
    made = block("post", cross=True)
    assert made.cross is not None
    assert made.cross_norm is not None
    middle = made.attention_norm(x + made.attention(x, LAYOUT), LAYOUT)
    middle = made.cross_norm(middle + made.cross(middle, source), LAYOUT)
    expected = made.feedforward_norm(middle + made.feedforward(middle), LAYOUT)
    torch.testing.assert_close(made(x, LAYOUT, source=source), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("norm_place", ["pre", "post"])
def test_dropout_acts_in_training_alone(norm_place: NormPlace) -> None:
    x = torch.randn(LAYOUT.tokens, 8, dtype=torch.float64)
    made = block(norm_place, dropout=0.5)
    assert not torch.equal(made(x, LAYOUT), made(x, LAYOUT))
    assert torch.equal(made.eval()(x, LAYOUT), block(norm_place)(x, LAYOUT))


def test_activations_by_hand() -> None:
    x = torch.tensor([-1.5, 0.0, 0.7], dtype=torch.float64)
    by_hand = {
        "gelu": x * 0.5 * (1 + torch.erf(x / 2**0.5)),
        "gelu_tanh": 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
        "relu": x.clamp(min=0),
        "silu": x / (1 + (-x).exp()),
        "swish": x / (1 + (-x).exp()),
        "sigmoid": 1 / (1 + (-x).exp()),
        "tanh": (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
        "linear": x,
    }
    assert by_hand.keys() == ACTIVATIONS.keys()
    for name, expected in by_hand.items():
        torch.testing.assert_close(ACTIVATIONS[name]()(x), expected, rtol=0, atol=1e-14)
