"""Optimizers: torch's own, with weight decay only where it shrinks a matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from clearhead.training.spec import OptimizerSpec


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with `weight_decay`; vectors (biases, the scales of norms) without. Each parameter once, if tied too."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def build_optimizer(module: nn.Module, spec: OptimizerSpec, learning_rate: float) -> torch.optim.Optimizer:
    """Torch's optimizer of that name over the parameters of `module`; one pass over memory a step (fused).

    `adamw`: Loshchilov & Hutter 2017, arXiv:1711.05101. `sgd`: with momentum as torch defines it, v = m v + g.
    """
    groups = parameter_groups(module, spec.weight_decay)
    if spec.name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, betas=spec.betas, fused=True)
    return torch.optim.SGD(groups, lr=learning_rate, momentum=spec.momentum, nesterov=spec.nesterov, fused=True)
