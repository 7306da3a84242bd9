"""Norms against their formulas, and the statistics that the batch norms keep. Torch's own: tests/parity."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.normalization import NORMS, BatchNorm, BatchNormPadded, BatchNormPerPosition

D = 6
PACKED = Layout(torch.tensor([4, 1, 7, 2]), 7, packed=True)
DENSE = Layout(torch.tensor([4, 1, 7, 2]), 9, packed=False)
BATCH_NORMS = (BatchNorm, BatchNormPadded, BatchNormPerPosition)


def values(layout: Layout, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 + 2 * torch.randn(layout.tokens, D, generator=generator, dtype=torch.float64)


def layout_for(norm: nn.Module) -> Layout:
    return DENSE if isinstance(norm, BatchNormPadded) else PACKED


@pytest.mark.parametrize("name", NORMS)
def test_every_norm_keeps_the_shape_and_takes_an_eps(name: str) -> None:
    norm = NORMS[name](D, eps=1e-3).double()
    layout = layout_for(norm)
    assert norm(values(layout), layout).shape == (layout.tokens, D)


@pytest.mark.parametrize("name", sorted(NORMS.keys() - {"none", "rms"}))
def test_scale_and_shift_come_after_the_norm(name: str) -> None:
    norm = NORMS[name](D).double()
    layout = layout_for(norm)
    before = norm(values(layout), layout)
    parameters = dict(norm.named_parameters())
    (scale,) = [value for key, value in parameters.items() if key.endswith("weight")]
    (shift,) = [value for key, value in parameters.items() if key.endswith("bias")]
    nn.init.constant_(scale, 2.0)
    nn.init.constant_(shift, 0.5)
    torch.testing.assert_close(
        layout.take_real(norm(values(layout), layout)), layout.take_real(2 * before + 0.5), rtol=0, atol=1e-12
    )


def test_batch_norm_makes_each_feature_standard_over_real_tokens() -> None:
    norm = BatchNorm(D, eps=1e-15).double()
    normed = DENSE.take_real(norm(values(DENSE), DENSE))
    torch.testing.assert_close(normed.mean(0), torch.zeros(D).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(normed.var(0, correction=0), torch.ones(D).double(), rtol=0, atol=1e-12)


def test_batch_position_makes_each_position_standard() -> None:
    norm = BatchNormPerPosition(D, eps=1e-15).double()
    x = values(PACKED)
    normed = norm(x, PACKED)
    for place in range(4):  # reached by 4, 3, 2 and 2 sequences
        here = normed[PACKED.position_ids == place]
        torch.testing.assert_close(here.mean(0), torch.zeros(D).double(), rtol=0, atol=1e-12)
        if len(here) > 2:  # of two values the variance may be near nothing
            torch.testing.assert_close(here.var(0, correction=0), torch.ones(D).double(), rtol=0, atol=1e-12)
    pooled = (x - x.mean(0)) / x.std(0, correction=0)
    alone = PACKED.position_ids >= 4
    torch.testing.assert_close(normed[alone], pooled[alone], rtol=0, atol=1e-12)


def test_batch_padded_counts_pads_and_refuses_packed() -> None:
    norm = BatchNormPadded(D, eps=1e-15).double()
    x = values(DENSE)
    torch.testing.assert_close(norm(x, DENSE), (x - x.mean(0)) / x.std(0, correction=0), rtol=0, atol=1e-12)
    for training in (True, False):
        with pytest.raises(InputError, match=r"packed batches have none; set batches\.layout to dense"):
            norm.train(training)(values(PACKED), PACKED)


@pytest.mark.parametrize("make", BATCH_NORMS)
def test_evaluation_before_training_leaves_values_as_they_are(make: type[nn.Module]) -> None:
    norm = make(D, eps=1e-15).double().eval()
    layout = layout_for(norm)
    torch.testing.assert_close(norm(values(layout), layout), values(layout), rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", BATCH_NORMS)
def test_running_averages_come_near_the_statistics_of_many_batches(make: type[nn.Module]) -> None:
    norm = make(D).double()
    layout = layout_for(norm)
    for seed in range(200):
        norm(values(layout, seed), layout)
    normed = norm.eval()(values(layout, 999), layout)
    expected = (values(layout, 999) - 3) / 2
    assert (normed - expected).abs().max() < 1.5
    assert (normed - expected).abs().mean() < 0.25


@pytest.mark.parametrize("make", BATCH_NORMS)
@pytest.mark.parametrize("training", [True, False])
def test_one_token_alone_gives_finite_values_and_keeps_the_averages(make: type[nn.Module], training: bool) -> None:
    norm = make(D).double().train(training)
    layout = Layout(torch.tensor([1]), 1, packed=make is not BatchNormPadded)
    x = values(layout).requires_grad_()
    normed = norm(x, layout)
    normed.square().sum().backward()
    assert torch.isfinite(normed).all()
    assert torch.isfinite(x.grad).all()
    fresh = make(D).double().state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in norm.state_dict().items())


def test_a_position_not_met_in_training_takes_the_pooled_averages() -> None:
    norm = BatchNormPerPosition(D, eps=1e-15).double()
    x = values(PACKED)
    norm(x, PACKED)
    longer = Layout(torch.tensor([600]), 600, packed=True)  # beyond the positions that have a place of their own
    normed = norm.eval()(values(longer), longer)
    expected = (values(longer) - x.mean(0)) / x.std(0, correction=1)
    torch.testing.assert_close(normed[4:], expected[4:], rtol=0, atol=1e-12)
    first = x[PACKED.position_ids == 0]
    torch.testing.assert_close(normed[0], (values(longer)[0] - first.mean(0)) / first.std(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_begin_token_that_drifts_does_not_blow_up_in_evaluation(seed: int) -> None:
    """All sequences begin alike, and training moves that token: its running mean lags, its variance is 0."""
    norm = BatchNormPerPosition(D).double()
    begin = PACKED.position_ids == 0
    for step in range(30):
        x = values(PACKED, 100 * seed + step)
        x[begin] = 0.1 * step
        assert norm(x, PACKED).abs().max() < 10
    assert norm.eval()(x, PACKED).abs().max() < 10


def test_tokens_all_alike_are_finite_everywhere() -> None:
    for make in BATCH_NORMS:
        norm = make(D).double()
        layout = layout_for(norm)
        x = torch.full((layout.tokens, D), 0.3, dtype=torch.float64, requires_grad=True)
        norm(x, layout).sum().backward()
        assert torch.isfinite(x.grad).all()  # type: ignore[arg-type]
        assert torch.isfinite(norm.eval()(x, layout)).all()


@pytest.mark.parametrize("name", NORMS)
def test_norms_can_be_differentiated_twice(name: str) -> None:
    layout = Layout(torch.tensor([2, 3]), 3, packed=name != "batch_padded")
    norm = NORMS[name](2).double()
    x = torch.randn(layout.tokens, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layout.take_real(norm(x, layout)), x)
