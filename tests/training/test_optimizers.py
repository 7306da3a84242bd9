"""Optimizers against the formulas of their papers, in float64, with weight decay where it belongs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from clearhead.errors import InputError
from clearhead.training.optimizers import OPTIMIZERS, build_optimizer, parameter_groups
from clearhead.training.spec import OptimizerSpec, TrainingSpec

Move = Callable[[Tensor, Tensor, int, dict[str, Tensor]], Tensor]
RATE = 0.01


class Tied(nn.Module):
    """An embedding used twice, a norm and a frozen matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.norm = nn.LayerNorm(3)
        self.decoder = nn.Linear(3, 5)
        self.decoder.weight = self.embedding.weight
        self.frozen = nn.Linear(3, 3, bias=False).requires_grad_(False)


class Two(nn.Module):
    """A matrix and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3))
        self.vector = nn.Parameter(torch.linspace(0.5, 2, 3, dtype=torch.float64))


def test_only_matrices_decay_and_a_tied_one_once() -> None:
    model = Tied()
    matrices, vectors = parameter_groups(model, 0.1)
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    assert [id(parameter) for parameter in matrices["params"]] == [id(model.embedding.weight)]
    assert {parameter.shape for parameter in vectors["params"]} == {torch.Size([3]), torch.Size([5])}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_frozen_stays_and_a_tied_matrix_moves_once(name: str) -> None:
    torch.manual_seed(0)
    model = Tied()
    frozen = model.frozen.weight.clone()
    optimizer = build_optimizer(model, TrainingSpec(steps=1, optimizer=OptimizerSpec(name=name), learning_rate=RATE))  # type: ignore[arg-type]
    sizes = [parameter.numel() for group in optimizer.param_groups for parameter in group["params"]]
    assert sum(sizes) == 15 + 3 + 3 + 5
    model.decoder(model.norm(model.embedding(torch.arange(5)))).square().sum().backward()
    before = model.embedding.weight.detach().clone()
    optimizer.step()
    assert torch.equal(model.frozen.weight, frozen)
    assert not torch.equal(model.embedding.weight, before)


def adam(x: Tensor, g: Tensor, t: int, kept: dict[str, Tensor], eps: float = 1e-8) -> Tensor:
    kept["m"] = 0.8 * kept.get("m", torch.zeros_like(x)) + 0.2 * g
    kept["v"] = 0.95 * kept.get("v", torch.zeros_like(x)) + 0.05 * g**2
    return (kept["m"] / (1 - 0.8**t)) / ((kept["v"] / (1 - 0.95**t)).sqrt() + eps)


def velocity(x: Tensor, g: Tensor, t: int, kept: dict[str, Tensor]) -> Tensor:
    kept["v"] = 0.9 * kept.get("v", torch.zeros_like(x)) + g
    return kept["v"]


def rms(x: Tensor, g: Tensor, t: int, kept: dict[str, Tensor]) -> Tensor:
    kept["v"] = 0.7 * kept.get("v", torch.zeros_like(x)) + 0.3 * g**2
    return g / (kept["v"].sqrt() + 1e-8)


def adagrad(x: Tensor, g: Tensor, t: int, kept: dict[str, Tensor]) -> Tensor:
    kept["v"] = kept.get("v", torch.zeros_like(x)) + g**2
    return g / (kept["v"].sqrt() + 1e-10)


def lamb(x: Tensor, g: Tensor, t: int, kept: dict[str, Tensor]) -> Tensor:
    return adam(x, g, t, kept, eps=1e-6)


MOVES: dict[str, tuple[OptimizerSpec, Move]] = {
    "gd": (OptimizerSpec(name="gd"), lambda x, g, t, kept: g),
    "sgd": (OptimizerSpec(name="sgd"), lambda x, g, t, kept: g),
    "momentum": (OptimizerSpec(name="sgd", momentum=0.9), velocity),
    "nesterov": (
        OptimizerSpec(name="sgd", momentum=0.9, nesterov=True),
        lambda x, g, t, kept: g + 0.9 * velocity(x, g, t, kept),
    ),
    "adagrad": (OptimizerSpec(name="adagrad"), adagrad),
    "rmsprop": (OptimizerSpec(name="rmsprop", alpha=0.7), rms),
    "adam": (OptimizerSpec(name="adam", betas=(0.8, 0.95)), adam),
    "adamw": (OptimizerSpec(name="adamw", betas=(0.8, 0.95)), adam),
    "lamb": (OptimizerSpec(name="lamb", betas=(0.8, 0.95)), lamb),
}


def run(spec: OptimizerSpec, gradients: Tensor) -> Two:
    model = Two()
    optimizer = build_optimizer(model, TrainingSpec(steps=1, optimizer=spec, learning_rate=RATE))
    for gradient in gradients:
        model.matrix.grad, model.vector.grad = gradient[:2].clone(), gradient[2].clone()
        optimizer.step()
    return model


@pytest.fixture
def gradients() -> Tensor:
    return torch.randn(5, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", MOVES)
def test_every_step_is_the_papers(name: str, decay: float, gradients: Tensor) -> None:
    spec, move = MOVES[name]
    if decay and spec.name == "adam":
        pytest.skip("adam with decoupled decay is adamw")
    found = run(spec.model_copy(update={"weight_decay": decay}), gradients)
    expected, vector, kept, kept_vector = Two().matrix.detach(), Two().vector.detach(), {}, {}  # type: ignore[var-annotated]
    for t, gradient in enumerate(gradients, 1):
        step = move(expected, gradient[:2], t, kept)
        if spec.name == "lamb":
            step = step + decay * expected
            expected = expected - RATE * expected.norm() / step.norm() * step
        else:
            expected = expected - RATE * decay * expected - RATE * step
        vector = vector - RATE * move(vector, gradient[2], t, kept_vector)
    torch.testing.assert_close(found.matrix.detach(), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.vector.detach(), vector, rtol=0, atol=1e-12)


def test_every_optimizer_with_a_rate_is_checked_against_its_paper() -> None:
    assert {spec.name for spec, _ in MOVES.values()} == set(OPTIMIZERS)


def test_lamb_moves_a_matrix_of_zeros_at_all(gradients: Tensor) -> None:
    """Its length is 0, and so would be every step."""
    model = Two()
    nn.init.zeros_(model.matrix)
    spec = TrainingSpec(steps=1, optimizer="lamb", learning_rate=RATE)  # type: ignore[arg-type]
    model.matrix.grad = gradients[0, :2]
    build_optimizer(model, spec).step()
    assert model.matrix.abs().min() > 0


def test_em_and_tables_of_probabilities_belong_together() -> None:
    plain, tables = Two(), Two()
    tables.distributions = True  # type: ignore[assignment]
    assert build_optimizer(tables, TrainingSpec(steps=1, optimizer="em"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="em counts, and matrix is no table of probabilities"):
        build_optimizer(plain, TrainingSpec(steps=1, optimizer="em"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a step of adamw would make them something else; set it to em"):
        build_optimizer(tables, TrainingSpec(steps=1))
