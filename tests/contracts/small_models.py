"""How small a model of each name is in the contract tests, and what its batches hold."""

from __future__ import annotations

from typing import Any

from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

LONGEST = 32
INVENTORY = Inventory(
    Vocabulary(30),
    LONGEST,
    labels=("O", "B-A", "I-A"),
    features=40,
    characters=12,
    source=Inventory(Vocabulary(20), LONGEST),
)
TRUNK: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 2, "dropout": 0.0}
SMALL: dict[str, dict[str, Any]] = {  # models whose spec has not all the fields of TRUNK
    "autoencoder": {"hidden_sizes": (8, 8)},
    "bert": {"hidden_size": 16, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "hmm": {"num_states": 16},
    "rbm": {"hidden_sizes": (8, 8)},
    "sparse_features": {"initializer_range": 0.1},
}
READS_NO_SINGLE_TOKEN = {
    "autoencoder",
    "rbm",
    "sparse_features",
}  # models whose states cannot tell which token stands where
