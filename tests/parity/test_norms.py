"""Norms against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.layout import Layout
from clearhead.layers.normalization import BatchNorm, BatchNormPadded, LayerNorm, RMSNorm

D = 6
PACKED = Layout(torch.tensor([4, 1, 7, 2]), 7, packed=True)
DENSE = Layout(torch.tensor([4, 1, 7, 2]), 9, packed=False)


def values(layout: Layout, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 + 2 * torch.randn(layout.tokens, D, generator=generator, dtype=torch.float64)).requires_grad_()


def give_weights(module: nn.Module) -> None:
    for number, parameter in enumerate(module.parameters()):
        nn.init.uniform_(parameter, 0.5, 2.0, generator=torch.Generator().manual_seed(number))


def assert_same(ours: Tensor, theirs: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    both = [torch.autograd.grad(out.sin().sum(), inputs) for out in (ours, theirs)]
    torch.testing.assert_close(both[0], both[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), [(LayerNorm, nn.LayerNorm), (RMSNorm, nn.RMSNorm)])
@pytest.mark.parametrize("layout", [PACKED, DENSE], ids=["packed", "dense"])
def test_norms_of_one_token(ours: type[nn.Module], theirs: type[nn.Module], layout: Layout) -> None:
    one, other = ours(D, eps=1e-4).double(), theirs(D, eps=1e-4).double()
    give_weights(one)
    other.load_state_dict(one.state_dict())
    x = values(layout)
    assert_same(one(x, layout), other(x), [x])


@pytest.mark.parametrize("layout", [PACKED, DENSE], ids=["packed", "dense"])
def test_batch_norm_is_torchs_on_the_real_tokens(layout: Layout) -> None:
    ours, theirs = BatchNorm(D), nn.BatchNorm1d(D)
    for norm in (ours.double(), theirs.double()):
        give_weights(norm)
    for seed in range(3):
        x = values(layout, seed)
        assert_same(layout.take_real(ours(x, layout)), theirs(x[layout.real]), [x])
    x = values(layout, 9)
    assert_same(layout.take_real(ours.eval()(x, layout)), theirs.eval()(x[layout.real]), [x])


def test_batch_padded_is_torchs_on_a_padded_grid() -> None:
    """`nn.BatchNorm1d` over (B, C, T), pads and all, in training and with its running statistics."""
    ours, theirs = BatchNormPadded(D), nn.BatchNorm1d(D)
    for norm in (ours.double(), theirs.double()):
        give_weights(norm)
    for seed in range(3):
        x = values(DENSE, seed)
        channels_first = DENSE.grid(x).transpose(1, 2)  # (B, C, T)
        assert_same(ours(x, DENSE), DENSE.flat(theirs(channels_first).transpose(1, 2)), [x])
    x = values(DENSE, 9)
    channels_first = DENSE.grid(x).transpose(1, 2)
    assert_same(ours.eval()(x, DENSE), DENSE.flat(theirs.eval()(channels_first).transpose(1, 2)), [x])
