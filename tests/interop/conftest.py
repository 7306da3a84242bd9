"""Small BERTs of Hugging Face's making, in folders as they write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import BertConfig, BertForPreTraining

CONFIG = {
    "vocab_size": 50,
    "max_position_embeddings": 24,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}


def rough(module: nn.Module) -> None:
    """Weights large enough that a mistake shows: biases and norms too."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, mean=0.5 if parameter.ndim == 1 else 0.0, std=0.3)


@pytest.fixture
def theirs() -> BertForPreTraining:
    model = BertForPreTraining(BertConfig(**CONFIG)).eval()
    rough(model)
    return model


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes weights and config into a folder."""

    def write(weights: dict[str, Tensor], **config: Any) -> Path:
        save_file(
            {name: values.clone().contiguous() for name, values in weights.items()}, tmp_path / "model.safetensors"
        )
        (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "model_type": "bert", **config}))
        return tmp_path

    return write
