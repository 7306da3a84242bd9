"""Sequences of unlike lengths, and models by the names on the menus."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clearhead.batches.batch import Item
from clearhead.models import menu

sys.path.insert(0, str(Path(__file__).parent))
from small_models import INVENTORY, SMALL, TRUNK


@pytest.fixture
def sequences() -> list[Item]:
    """More than one group of like lengths; one token alone; two of a length. With all that a model may read."""
    rng = np.random.default_rng(0)

    def one(length: int) -> Item:
        features = {
            "templates": rng.integers(-1, INVENTORY.features, (length, 3)),
            "characters": rng.integers(-1, INVENTORY.characters, (length, 4)),
        }
        ids = rng.integers(1, INVENTORY.vocabulary.size, length)
        return Item(ids, features=features, source=Item(rng.integers(1, 20, length % 5 + 1)))

    return [one(length) for length in (5, 24, 2, 7, 1, 23, 7)]


@pytest.fixture
def make_model() -> Callable[..., nn.Module]:
    def make(name: str, **fields: Any) -> nn.Module:
        torch.manual_seed(0)
        module = menu.load(name)
        model: nn.Module = module.build(module.Spec(**{**SMALL.get(name, TRUNK), **fields}), INVENTORY)
        return model.double()

    return make
