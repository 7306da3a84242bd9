"""What every norm, every way of telling positions and every activation of the menus keeps, in either trunk.

A new line in a menu is tested here without a change. The batch norms are what depends on the batch, by name.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.layers.feedforward import FEEDFORWARDS
from clearhead.layers.normalization import NORMS
from clearhead.layers.positions import POSITIONS

Make = Callable[..., nn.Module]
DEPEND_ON_THE_BATCH = [norm for norm in NORMS if norm.startswith("batch")]
COUNTS_PADS = "batch_padded"
MASKABLE = [norm for norm in NORMS if norm != COUNTS_PADS]
TRUNKS = ("transformer_encoder", "transformer_decoder")
PLACES = ("pre", "post")
PACKABLE = list(itertools.product(TRUNKS, MASKABLE, POSITIONS, PLACES))
TOLERANCE = 1e-12


def outcome(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """States of real tokens, a loss of them, and its gradients relative to their size."""
    model = copy.deepcopy(model)
    hidden = batch.layout.take_real(model(batch).hidden)
    asked = torch.arange(hidden.numel(), dtype=torch.float64).reshape(hidden.shape).sin()
    loss = (hidden * asked).sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True, allow_unused=True)
    named = zip(dict(model.named_parameters()), gradients, strict=True)
    return hidden.detach(), loss.detach(), {name: value / (1 + value.abs().max()) for name, value in named}


def assert_same(one: tuple[Tensor, Tensor, dict[str, Tensor]], other: tuple[Tensor, Tensor, dict[str, Tensor]]) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(one[1], other[1], rtol=TOLERANCE, atol=TOLERANCE)
    torch.testing.assert_close(one[2], other[2], rtol=0, atol=TOLERANCE)  # a failure names the parameter


@pytest.mark.parametrize(("trunk", "norm", "positions", "place"), PACKABLE)
def test_dense_and_packed_fused_and_slow_are_one(
    trunk: str, norm: str, positions: str, place: str, make_model: Make, sequences: list[np.ndarray]
) -> None:
    """Hidden states, loss and gradients, in training mode; with more pads than are needed as well."""
    fields = {"norm": norm, "positions": positions, "norm_place": place, "embedding_norm": True}
    fused, slow = make_model(trunk, **fields), make_model(trunk, **fields, fused=False)
    packed, dense = collate(sequences, packed=True), collate(sequences, packed=False)
    wide = collate(sequences, packed=False, longest=30)
    reference = outcome(fused, packed)
    for model, batch in ((fused, dense), (fused, wide), (slow, packed), (slow, dense)):
        assert_same(outcome(model, batch), reference)


@pytest.mark.parametrize(("trunk", "positions", "place"), list(itertools.product(TRUNKS, POSITIONS, PLACES)))
def test_a_norm_that_counts_pads_is_one_fused_and_slow_and_refuses_packed(
    trunk: str, positions: str, place: str, make_model: Make, sequences: list[np.ndarray]
) -> None:
    fields = {"norm": COUNTS_PADS, "positions": positions, "norm_place": place, "embedding_norm": True}
    fused, slow = make_model(trunk, **fields), make_model(trunk, **fields, fused=False)
    dense = collate(sequences, packed=False)
    assert_same(outcome(fused, dense), outcome(slow, dense))
    with pytest.raises(InputError, match="counts pads"):
        fused(collate(sequences, packed=True))


@pytest.mark.parametrize("norm", MASKABLE)
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_what_stands_at_pads_changes_nothing(
    trunk: str, positions: str, norm: str, make_model: Make, sequences: list[np.ndarray]
) -> None:
    model = make_model(trunk, norm=norm, positions=positions)
    one, other = (collate(sequences, packed=False, pad=pad, longest=26) for pad in (0, 9))
    assert_same(outcome(model, one), outcome(model, other))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_sequence_alone_gives_what_it_gives_in_a_batch(
    trunk: str, positions: str, norm: str, make_model: Make, sequences: list[np.ndarray]
) -> None:
    """In training too, unless the norm is one over the batch; in evaluation all, after training on the batch."""
    packed = norm != COUNTS_PADS
    model = make_model(trunk, norm=norm, positions=positions)
    batch = collate(sequences, packed=packed)
    whole = [model(batch)]
    modes = [True] if norm not in DEPEND_ON_THE_BATCH else []
    for training in (*modes, False):
        model.train(training)
        whole = model(batch)
        for number, sequence in enumerate(sequences):
            here = batch.layout.real & (batch.layout.sequence_ids == number)
            alone = model(collate([sequence], packed=packed))
            for one, other in zip((alone.hidden, *alone.layers), (whole.hidden, *whole.layers), strict=True):
                torch.testing.assert_close(one, other[here], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("norm", DEPEND_ON_THE_BATCH)
def test_the_norms_over_the_batch_do_depend_on_it_in_training(
    norm: str, make_model: Make, sequences: list[np.ndarray]
) -> None:
    """So that the exception above stays one."""
    packed = norm != COUNTS_PADS
    model = make_model("transformer_encoder", norm=norm)
    whole = collate(sequences, packed=packed)
    first = whole.layout.real & (whole.layout.sequence_ids == 0)
    alone = model(collate(sequences[:1], packed=packed)).hidden
    assert (alone - model(whole).hidden[first]).abs().max() > 0.01


@pytest.mark.parametrize("act", FEEDFORWARDS)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_activation_is_one_dense_and_packed(
    act: str, trunk: str, make_model: Make, sequences: list[np.ndarray]
) -> None:
    model = make_model(trunk, hidden_act=act)
    batches = [collate(sequences, packed=packed) for packed in (True, False)]
    assert_same(outcome(model, batches[0]), outcome(model, batches[1]))


@pytest.mark.parametrize("norm", MASKABLE)
@pytest.mark.parametrize("positions", POSITIONS)
def test_every_choice_runs_under_bf16_autocast(
    norm: str, positions: str, make_model: Make, sequences: list[np.ndarray]
) -> None:
    batch = collate(sequences, packed=True)
    for fused in (True, False):
        model = make_model("transformer_encoder", norm=norm, positions=positions, fused=fused).float()
        exact = copy.deepcopy(model)(batch).hidden
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model(batch).hidden
        hidden.float().square().mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        assert (hidden - exact).abs().mean() < 0.03 * exact.abs().mean() + 0.01
