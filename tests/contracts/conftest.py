"""Sequences of unlike lengths, and models by the names on the menus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clearhead.models import menu

VOCABULARY, LONGEST = 30, 32


@pytest.fixture
def sequences() -> list[np.ndarray]:
    """More than one group of like lengths; one token alone; two of a length."""
    rng = np.random.default_rng(0)
    return [rng.integers(1, VOCABULARY, length) for length in (5, 24, 2, 7, 1, 23, 7)]


@pytest.fixture
def make_model() -> Callable[..., nn.Module]:
    def make(name: str, **fields: Any) -> nn.Module:
        torch.manual_seed(0)
        module = menu.load(name)
        sizes = {"hidden_size": 8, "num_hidden_layers": 2, "dropout": 0.0}
        model: nn.Module = module.build(module.Spec(**{**sizes, **fields}), VOCABULARY, LONGEST)
        return model.double()

    return make
