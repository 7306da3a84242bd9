"""Probes on functions whose answers are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from clearhead.errors import InputError
from clearhead.evaluation.probes import gradient_norms, influence, mixed_derivative, watch


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def test_watch_sees_every_call_from_either_side() -> None:
    model, first, second = small(), torch.ones(2, 3), torch.zeros(1, 3)
    with watch(model, ["0", "1"]) as outputs, watch(model, ["2"], side="input") as inputs:
        model(first)
        result = model(second)
    torch.testing.assert_close(outputs["0"][1], model[0](second))
    torch.testing.assert_close(inputs["2"][1], outputs["1"][1])
    assert [len(calls) for calls in (*outputs.values(), *inputs.values())] == [2, 2, 2]
    torch.autograd.grad(result.sum(), outputs["0"][1])  # the graph is attached


def test_watch_leaves_nothing_behind_even_after_a_fault() -> None:
    model = small()
    with pytest.raises(ZeroDivisionError), watch(model, ["0"]):
        raise ZeroDivisionError
    assert not any(module._forward_hooks for module in model.modules())


def test_watch_names_the_nearest_submodule() -> None:
    model = nn.ModuleDict({"attention": nn.Identity()})
    with pytest.raises(InputError, match="did you mean 'attention'"), watch(model, ["atention"]):
        pass


def test_gradient_norms_by_group() -> None:
    model = small()
    assert gradient_norms(model, ["0"]) == {"0": 0.0}
    model(torch.ones(5, 3)).square().sum().backward()
    norms = gradient_norms(model, ["0", "2.weight", ""])
    assert norms["0"] == pytest.approx(
        torch.cat([parameter.grad.flatten() for parameter in model[0].parameters()]).norm().item()  # type: ignore[union-attr]
    )
    assert norms["2.weight"] == pytest.approx(model[2].weight.grad.norm().item())
    assert norms[""] == pytest.approx((norms["0"] ** 2 + gradient_norms(model, ["2"])["2"] ** 2) ** 0.5)


def test_influence_of_a_linear_map_is_its_matrix() -> None:
    mixing = torch.tensor([[1.0, 0.0, -2.0], [0.5, 3.0, 0.0]], dtype=torch.float64)
    matrix = influence(lambda x: mixing @ x, torch.randn(3, 4))  # every feature passes straight through
    torch.testing.assert_close(matrix, 4 * mixing.abs(), rtol=0, atol=1e-14)


def test_influence_equals_the_full_jacobian() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 40, dtype=torch.float64)

    def function(x: Tensor) -> Tensor:
        return torch.tanh(x.cumsum(0) @ weight)

    inputs = torch.randn(7, 5, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(function, inputs)  # (7, 40, 7, 5)
    torch.testing.assert_close(influence(function, inputs), jacobian.abs().sum((1, 3)), rtol=1e-12, atol=1e-12)


def test_influence_of_the_future_on_a_cumulative_sum_is_exactly_zero() -> None:
    matrix = influence(lambda x: x.cumsum(0).sin(), torch.randn(6, 2))
    assert torch.count_nonzero(matrix.triu(1)) == 0
    assert (matrix.tril() > 0).sum() == 21


def test_influence_of_nothing_is_zero() -> None:
    assert torch.equal(influence(lambda x: torch.ones(2, 3), torch.ones(4, 1)), torch.zeros(2, 4, dtype=torch.float64))


def test_mixed_derivative_of_a_product_and_a_sum() -> None:
    left, right = torch.tensor([0.3, -0.2]), torch.tensor([1.0, 2.0, 0.5])
    product = mixed_derivative(lambda a, b: a.sum() * b.square().sum(), left, right)
    torch.testing.assert_close(product, (2 * right).double().expand(2, 3), rtol=0, atol=1e-14)
    for apart in (
        mixed_derivative(lambda a, b: a.exp().sum() + b.tanh().sum(), left, right),
        mixed_derivative(lambda a, b: a.sum() + b.sum(), left, right),
        mixed_derivative(lambda a, b: torch.ones(()), left, right),
    ):
        assert apart.shape == (2, 3)
        assert torch.count_nonzero(apart) == 0


def test_mixed_derivative_agrees_with_the_hessian() -> None:
    left, right = torch.randn(2, 2, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    function = lambda a, b: torch.tanh(a.sum(0) * b[:2] + b[2]).prod()  # noqa: E731
    hessian = torch.autograd.functional.hessian(function, (left, right))[0][1]
    torch.testing.assert_close(mixed_derivative(function, left, right), hessian, rtol=0, atol=1e-13)
