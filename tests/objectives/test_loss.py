"""The losses of labels that are answered one by one: values and gradients against closed forms."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from clearhead.errors import InputError
from clearhead.objectives.loss import LOSSES, UNKNOWN, LossSpec, token_loss
from clearhead.spec import override, validate

SPECS = [
    LossSpec(),
    LossSpec(label_smoothing=0.2),
    LossSpec(name="mse"),
    LossSpec(name="mse_logits"),
    LossSpec(name="focal", gamma=0.5),
    LossSpec(name="focal", gamma=2.0),
]
EVERY = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.name}-{spec.label_smoothing}-{spec.gamma}")


def drawn(n: int = 12, classes: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), torch.randint(classes, (n,), generator=generator)


def one_hot(labels: Tensor, classes: int = 5) -> Tensor:
    return F.one_hot(labels, classes).double()


def gradient(logits: Tensor, labels: Tensor, spec: LossSpec) -> Tensor:
    (found,) = torch.autograd.grad(token_loss(logits, labels, spec).total, logits)
    return found


def test_the_menu_is_what_the_spec_offers() -> None:
    assert list(LOSSES) == ["cross_entropy", "mse", "mse_logits", "focal"]
    for name in LOSSES:
        assert LossSpec(name=name).name == name  # type: ignore[arg-type]


def test_cross_entropy_looks_at_the_right_class_and_its_gradient_at_all() -> None:
    logits, labels = drawn()
    p = logits.softmax(-1)
    torch.testing.assert_close(token_loss(logits, labels).each, -p[torch.arange(12), labels].log(), rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient(logits, labels, LossSpec()), p - one_hot(labels), rtol=0, atol=1e-12)


def test_smoothing_is_cross_entropy_to_a_mixture_with_the_uniform() -> None:
    logits, labels = drawn()
    q = 0.8 * one_hot(labels) + 0.2 / 5
    spec = LossSpec(label_smoothing=0.2)
    expected = -(q * logits.log_softmax(-1)).sum()
    torch.testing.assert_close(token_loss(logits, labels, spec).total, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient(logits, labels, spec), logits.softmax(-1) - q, rtol=0, atol=1e-12)


def test_mse_on_probabilities_weighs_each_class_by_what_it_has() -> None:
    logits, labels = drawn()
    p, y = logits.softmax(-1), one_hot(labels)
    spec = LossSpec(name="mse")
    torch.testing.assert_close(token_loss(logits, labels, spec).total, (p - y).square().sum(), rtol=0, atol=1e-12)
    expected = 2 * p * (p - y - (p * (p - y)).sum(-1, keepdim=True))
    torch.testing.assert_close(gradient(logits, labels, spec), expected, rtol=0, atol=1e-12)


def test_mse_vanishes_where_the_answer_is_surely_wrong_and_cross_entropy_does_not() -> None:
    """With two classes and a margin m the wrong way, ln of the norm falls with slope -1 in m; cross-entropy's stays."""
    labels = torch.zeros(1, dtype=torch.int64)
    norms = {}
    for name in ("mse", "cross_entropy"):
        margins = (torch.tensor([[0.0, m]], dtype=torch.float64, requires_grad=True) for m in (10.0, 11.0, 12.0))
        norms[name] = [gradient(margin, labels, LossSpec(name=name)).norm() for margin in margins]
    assert all(float((after / before).log()) == pytest.approx(-1, abs=1e-3) for before, after in pairwise(norms["mse"]))
    assert all(float(norm) == pytest.approx(2**0.5, abs=1e-3) for norm in norms["cross_entropy"])


def test_mse_on_logits_is_linear_in_them() -> None:
    logits, labels = drawn()
    y, spec = one_hot(labels), LossSpec(name="mse_logits")
    torch.testing.assert_close(token_loss(logits, labels, spec).total, (logits - y).square().sum(), rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient(logits, labels, spec), 2 * (logits - y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_is_the_papers_and_its_gradient(gamma: float) -> None:
    """dFL/dz = (gamma (1 - p)^(gamma - 1) p ln p - (1 - p)^gamma) (y - p), p of the label."""
    logits, labels = drawn()
    spec = LossSpec(name="focal", gamma=gamma)
    p = logits.softmax(-1)
    right = p[torch.arange(12), labels].unsqueeze(1)
    expected = -((1 - right) ** gamma * right.log()).sum()
    torch.testing.assert_close(token_loss(logits, labels, spec).total, expected, rtol=0, atol=1e-12)
    factor = gamma * (1 - right) ** (gamma - 1) * right * right.log() - (1 - right) ** gamma
    torch.testing.assert_close(gradient(logits, labels, spec), factor * (one_hot(labels) - p), rtol=0, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_focal_stays_finite_where_the_answer_is_certain(gamma: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], dtype=dtype, requires_grad=True)
    labels = torch.tensor([0, 0])
    assert torch.isfinite(token_loss(logits, labels, LossSpec(name="focal", gamma=gamma)).total)
    assert torch.isfinite(gradient(logits, labels, LossSpec(name="focal", gamma=gamma))).all()


@EVERY
def test_each_is_nats_whatever_is_trained(spec: LossSpec) -> None:
    logits, labels = drawn()
    torch.testing.assert_close(token_loss(logits, labels, spec).each, token_loss(logits, labels).each)
    assert int(token_loss(logits, labels, spec).count) == 12


@EVERY
def test_an_unknown_label_counts_and_costs_nothing(spec: LossSpec) -> None:
    """Half the targets unknown: loss and gradient are those of the other half alone."""
    logits, labels = drawn()
    unknown = torch.arange(12) % 2 == 0
    partly, known = (
        token_loss(logits, labels.masked_fill(unknown, UNKNOWN), spec),
        token_loss(logits[~unknown], labels[~unknown], spec),
    )
    assert (int(partly.count), int(known.count)) == (12, 6)
    torch.testing.assert_close(partly.total, known.total, rtol=0, atol=1e-12)
    assert torch.count_nonzero(partly.each[unknown]) == 0
    found = gradient(logits, labels.masked_fill(unknown, UNKNOWN), spec)
    torch.testing.assert_close(found[~unknown], gradient(logits, labels, spec)[~unknown], rtol=0, atol=1e-12)
    assert torch.count_nonzero(found[unknown]) == 0


@EVERY
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 64), max_size=7).map(sorted))
def test_parts_of_any_sizes_add_up_to_the_batch(spec: LossSpec, cuts: list[int]) -> None:
    """Smoothing counts no token twice and none that is not there: one batch of 64 is its parts, empty ones too."""
    logits, labels = drawn(64)
    whole, of_whole = token_loss(logits, labels, spec), gradient(logits, labels, spec)
    ends = [0, *cuts, 64]
    parts = [token_loss(logits[a:b], labels[a:b], spec) for a, b in pairwise(ends)]
    total = torch.stack([part.total for part in parts]).sum()
    assert sum(int(part.count) for part in parts) == int(whole.count)
    torch.testing.assert_close(total / 64, whole.total / 64, rtol=0, atol=1e-12)
    (found,) = torch.autograd.grad(total / 64, logits)
    torch.testing.assert_close(found, of_whole / 64, rtol=0, atol=1e-12)


@EVERY
def test_half_precision_is_judged_in_single(spec: LossSpec) -> None:
    logits, labels = drawn()
    rough = logits.detach().bfloat16()
    loss = token_loss(rough, labels, spec)
    assert loss.each.dtype == loss.total.dtype == torch.float32
    torch.testing.assert_close(loss.total, token_loss(rough.float(), labels, spec).total)


def test_a_name_alone_will_do_and_an_override_may_follow() -> None:
    data = override({"loss": "focal"}, ["loss.gamma=3"])
    assert validate(LossSpec, data["loss"]) == LossSpec(name="focal", gamma=3.0)
    assert validate(LossSpec, {"label_smoothing": "0.1"}).label_smoothing == 0.1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "focal", "label_smoothing": 0.1}, "label_smoothing belongs to cross_entropy, not to focal"),
        ({"name": "mse", "label_smoothing": 0.1}, "label_smoothing belongs to cross_entropy, not to mse"),
        ({"gamma": 1.0}, "gamma belongs to focal, not to cross_entropy"),
        ({"name": "crossentropy"}, "did you mean 'cross_entropy'?"),
        ({"label_smoothing": 1.0}, "loss.label_smoothing"),
        ({"name": "focal", "gamma": -1}, "loss.gamma"),
    ],
)
def test_a_contradiction_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        validate(LossSpec, data, "loss")
    assert message in str(refusal.value)
