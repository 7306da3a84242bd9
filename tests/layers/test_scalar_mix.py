"""Peters et al. 2018, eq. 1, by hand."""

from __future__ import annotations

import torch

from clearhead.layers.scalar_mix import ScalarMix

LAYERS = [torch.randn(5, 4, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in range(3)]


def test_it_starts_as_the_mean() -> None:
    torch.testing.assert_close(ScalarMix(3).double()(LAYERS), sum(LAYERS) / 3, rtol=0, atol=1e-15)


def test_the_equation() -> None:
    mix = ScalarMix(3).double()
    s = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    mix.load_state_dict({"scalars": s, "gamma": torch.tensor([1.7], dtype=torch.float64)})
    share = s.exp() / s.exp().sum()
    expected = 1.7 * (share[0] * LAYERS[0] + share[1] * LAYERS[1] + share[2] * LAYERS[2])
    torch.testing.assert_close(mix(LAYERS), expected, rtol=0, atol=1e-14)


def test_normed_layers_have_mean_0_and_variance_1_each() -> None:
    mix = ScalarMix(3, normalize=True).double()
    mix.scalars.data.copy_(torch.tensor([100.0, 0.0, 0.0]))
    mixed = mix([10 + 5 * layer for layer in LAYERS])
    torch.testing.assert_close(mixed.mean(-1), torch.zeros(5).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(mixed.var(-1, unbiased=False), torch.ones(5).double(), rtol=0, atol=1e-4)


def test_s_and_gamma_learn() -> None:
    mix = ScalarMix(3).double()
    assert torch.autograd.gradcheck(
        lambda s, g: torch.func.functional_call(mix, {"scalars": s, "gamma": g}, (LAYERS,)), (mix.scalars, mix.gamma)
    )
