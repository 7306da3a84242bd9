"""What lies beside the weights of a run: the tokenizer and what ids stand for, as bytes and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clearhead.errors import InputError
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Tokenizer, Vocabulary, tokenizer_from

INVENTORY = "inventory.json"
TOKENIZER = "tokenizer.json"
SOURCE = "source."  # before the names of what belongs to the side that is translated from


def tokenizer_in(files: Mapping[str, bytes], name: str = TOKENIZER) -> Tokenizer:
    """The tokenizer of a run. Raises `InputError` where the run has none."""
    if name not in files:
        raise InputError(f"the run holds no {name}; it was trained by another job")
    return tokenizer_from(files[name].decode(), name)


def tokenizer_bytes(tokenizer: Tokenizer) -> bytes:
    """A `tokenizer.json` that Hugging Face's `tokenizers` reads as well."""
    return tokenizer.engine.to_str(pretty=True).encode()


def write_inventory(inventory: Inventory) -> dict[str, bytes]:
    """The inventory as a file; vocabularies are read off their tokenizers again."""
    return {INVENTORY: json.dumps(_plain(inventory), ensure_ascii=False, indent=1).encode()}


def read_inventory(files: Mapping[str, bytes], vocabulary: Vocabulary, source: Vocabulary | None = None) -> Inventory:
    """The inventory that `write_inventory` wrote, with the vocabularies of the run's tokenizers."""
    kept: dict[str, Any] = json.loads(files[INVENTORY])
    inner = kept.pop("source")
    found = Inventory(vocabulary, **{**kept, "labels": tuple(kept["labels"])})
    if inner is None or source is None:
        return found
    return replace(found, source=Inventory(source, inner["max_length"]))


def _plain(inventory: Inventory) -> dict[str, Any]:
    source = inventory.source
    return {
        "max_length": inventory.max_length,
        "labels": list(inventory.labels),
        "features": inventory.features,
        "characters": inventory.characters,
        "source": None if source is None else {"max_length": source.max_length},
    }
