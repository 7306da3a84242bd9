"""Optimizers by name: torch's own, and those that it lacks, with weight decay only where it shrinks a matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from clearhead.errors import InputError
from clearhead.training.expectation_maximization import EM
from clearhead.training.gradients import Evaluation
from clearhead.training.lamb import LAMB
from clearhead.training.lbfgs import LBFGS
from clearhead.training.penalties import matrices
from clearhead.training.spec import OptimizerSpec, TrainingSpec

Groups = list[dict[str, Any]]


def parameter_groups(module: nn.Module, weight_decay: float) -> Groups:
    """Matrices with `weight_decay`; vectors (biases, the scales of norms) without. Each parameter once, if tied too."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": matrices(module), "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def build_optimizer(module: nn.Module, spec: TrainingSpec) -> torch.optim.Optimizer:
    """The optimizer of that name over the parameters of `module`. Raises `InputError` where it does not fit them."""
    _check_distributions(module, spec.optimizer.name)
    if spec.optimizer.name == "em":
        return EM(_trained(module), smoothing=spec.optimizer.smoothing)
    if spec.optimizer.name == "lbfgs":
        groups = [{**group, "l1": spec.l1 if _shrunk(group) else 0.0} for group in parameter_groups(module, 0.0)]
        return LBFGS(groups, history=spec.optimizer.history, tolerance=spec.optimizer.tolerance)
    return OPTIMIZERS[spec.optimizer.name](module, spec.optimizer, spec.learning_rate)


def _shrunk(group: dict[str, Any]) -> bool:
    return bool(group["params"][0].ndim >= 2)


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _check_distributions(module: nn.Module, name: str) -> None:
    """A module whose `distributions` is true has log-probabilities for parameters, which only `em` keeps such."""
    owned = {
        id(parameter)
        for part in module.modules()
        if getattr(part, "distributions", False)
        for parameter in part.parameters()
    }
    others = [
        name for name, parameter in module.named_parameters() if parameter.requires_grad and id(parameter) not in owned
    ]
    if name == "em" and others:
        raise InputError(
            f"training.optimizer: em counts, and {others[0]} is no table of probabilities; take another optimizer"
        )
    if name != "em" and owned:
        raise InputError(
            f"training.optimizer: the weights of this model are probabilities, and a step of {name} would make them "
            "something else; set it to em"
        )


def update(optimizer: torch.optim.Optimizer, evaluation: Evaluation) -> bool:
    """One step of the weights; whether there may be another one that changes anything."""
    if isinstance(optimizer, LBFGS):
        optimizer.step(evaluation)
        return not optimizer.converged
    evaluation()
    if isinstance(optimizer, EM):
        optimizer.count = sum(evaluation.draw.counts)
    optimizer.step()
    return True


def _sgd(module: nn.Module, spec: OptimizerSpec, learning_rate: float) -> torch.optim.Optimizer:
    """v = momentum v + g, w -= learning_rate v, as torch defines it (Sutskever et al. 2013 for Nesterov's)."""
    groups = parameter_groups(module, 0.0)
    chosen = torch.optim.SGD(groups, lr=learning_rate, momentum=spec.momentum, nesterov=spec.nesterov, fused=True)
    return _decaying(chosen, module, spec.weight_decay)


def _adagrad(module: nn.Module, spec: OptimizerSpec, learning_rate: float) -> torch.optim.Optimizer:
    """Duchi, Hazan & Singer 2011, JMLR 12, the diagonal form."""
    chosen = torch.optim.Adagrad(parameter_groups(module, 0.0), lr=learning_rate, fused=True)
    return _decaying(chosen, module, spec.weight_decay)


def _rmsprop(module: nn.Module, spec: OptimizerSpec, learning_rate: float) -> torch.optim.Optimizer:
    """Tieleman & Hinton 2012, lecture 6.5."""
    groups = parameter_groups(module, 0.0)
    chosen = torch.optim.RMSprop(groups, lr=learning_rate, alpha=spec.alpha, momentum=spec.momentum)
    return _decaying(chosen, module, spec.weight_decay)


def _adam(module: nn.Module, spec: OptimizerSpec, learning_rate: float) -> torch.optim.Optimizer:
    """Kingma & Ba 2014, arXiv:1412.6980, algorithm 1."""
    return torch.optim.Adam(parameter_groups(module, 0.0), lr=learning_rate, betas=spec.betas, fused=True)


def _adamw(module: nn.Module, spec: OptimizerSpec, learning_rate: float) -> torch.optim.Optimizer:
    """Loshchilov & Hutter 2017, arXiv:1711.05101, algorithm 2; one pass over memory a step (fused)."""
    groups = parameter_groups(module, spec.weight_decay)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=spec.betas, fused=True)


def _lamb(module: nn.Module, spec: OptimizerSpec, learning_rate: float) -> torch.optim.Optimizer:
    groups = [{**group, "trusted": _shrunk(group)} for group in parameter_groups(module, spec.weight_decay)]
    return LAMB(groups, lr=learning_rate, betas=spec.betas)


def _decaying(optimizer: torch.optim.Optimizer, module: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    """The same optimizer, with matrices shrunk by learning_rate times `weight_decay` at each step, as AdamW does."""
    shrunk = matrices(module)

    @torch.no_grad()
    def shrink(stepping: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for weight in shrunk:
            if weight.grad is not None:
                weight.mul_(1 - stepping.param_groups[0]["lr"] * weight_decay)

    if weight_decay:
        optimizer.register_step_pre_hook(shrink)
    return optimizer


OPTIMIZERS: dict[str, Callable[[nn.Module, OptimizerSpec, float], torch.optim.Optimizer]] = {
    "gd": _sgd,
    "sgd": _sgd,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adamw,
    "lamb": _lamb,
}
