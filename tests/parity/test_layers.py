"""Attention, the Transformer block and the LSTM against torch's own, with copied weights."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.layout import Layout
from clearhead.layers.activations import ACTIVATIONS
from clearhead.layers.attention import MultiHeadAttention, attention
from clearhead.layers.feedforward import FeedForward
from clearhead.layers.masks import Mask, causal, full, window
from clearhead.layers.normalization import LayerNorm
from clearhead.layers.recurrent import LSTM
from clearhead.layers.transformer import Block, NormPlace

LENGTHS = torch.tensor([4, 1, 26, 7])
LAYOUTS = [Layout(LENGTHS, 26, packed=True), Layout(LENGTHS, 27, packed=False)]
EITHER = pytest.mark.parametrize("layout", LAYOUTS, ids=["packed", "dense"])
D, HEADS = 8, 2


def stream(layout: Layout, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(layout.tokens, *shape, generator=generator, dtype=torch.float64)


@EITHER
@pytest.mark.parametrize("mask", [full(), causal(), window(2)], ids=["full", "causal", "window"])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_attention_is_torchs_on_each_sequence(layout: Layout, mask: Mask, scale: float | None) -> None:
    qkv = stream(layout, 3, HEADS, 4)
    mixed = layout.take_real(attention(qkv, layout, mask=mask, scale=scale))
    for ours, one in zip(mixed.split(layout.sizes), layout.take_real(qkv).split(layout.sizes), strict=True):
        query, key, value = one.permute(1, 2, 0, 3)  # (H, t, d) each
        places = torch.arange(len(one))
        seen = mask(places[:, None], places[None])
        theirs = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale).transpose(0, 1)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def copied_block(theirs: nn.TransformerEncoderLayer, *, norm_place: NormPlace, fused: bool) -> Block:
    """Our block with the weights of torch's."""
    ours = Block(
        MultiHeadAttention(D, HEADS, fused=fused),
        FeedForward(D, 20, ACTIVATIONS["gelu"]()),
        functools.partial(LayerNorm, D),
        norm_place=norm_place,
        dropout=0.0,
    ).double()
    names = {
        "attention.projection.weight": "self_attn.in_proj_weight",
        "attention.projection.bias": "self_attn.in_proj_bias",
        "attention.output": "self_attn.out_proj",
        "attention_norm": "norm1",
        "feedforward.inner": "linear1",
        "feedforward.outer": "linear2",
        "feedforward_norm": "norm2",
    }
    weights = theirs.state_dict()
    renamed = {}
    for our_name in ours.state_dict():
        prefix = next(prefix for prefix in names if our_name.startswith(prefix))
        renamed[our_name] = weights[names[prefix] + our_name.removeprefix(prefix)]
    ours.load_state_dict(renamed)
    return ours


@EITHER
@pytest.mark.parametrize("norm_place", ["pre", "post"])
@pytest.mark.parametrize("fused", [True, False])
def test_the_block_is_torchs_encoder_layer(layout: Layout, norm_place: NormPlace, fused: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(
        D, HEADS, 20, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_place == "pre"
    ).double()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours = copied_block(theirs, norm_place=norm_place, fused=fused)
    x = stream(layout, D)
    expected = theirs(layout.grid(x), src_key_padding_mask=~layout.real_grid)[layout.real_grid]
    torch.testing.assert_close(layout.take_real(ours(x, layout)), expected, rtol=0, atol=1e-12)


@EITHER
@pytest.mark.parametrize("backward", [False, True])
def test_the_lstm_is_torchs_on_packed_sequences(layout: Layout, backward: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.LSTM(D, 5, batch_first=True, bidirectional=True).double()
    ours = LSTM(D, 5, backward=backward).double()
    suffix = "_l0_reverse" if backward else "_l0"
    ours.cell.load_state_dict(
        {name: theirs.state_dict()[name.removesuffix("_l0") + suffix] for name in ours.cell.state_dict()}
    )
    x = stream(layout, D)
    packed = nn.utils.rnn.pack_padded_sequence(layout.grid(x), layout.lengths, batch_first=True, enforce_sorted=False)
    padded, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True, total_length=layout.longest)
    expected = padded[layout.real_grid][:, 5:] if backward else padded[layout.real_grid][:, :5]
    torch.testing.assert_close(layout.take_real(ours(x, layout)), expected, rtol=0, atol=1e-12)
