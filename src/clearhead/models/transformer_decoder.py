"""Transformer decoder: every token sees itself and those before it (Radford et al. 2018; 2019).

GPT-2 itself is norm_place pre, learned positions and hidden_act gelu_tanh.
"""

from __future__ import annotations

from clearhead.layers.masks import causal
from clearhead.models.transformer import Transformer, build_transformer
from clearhead.models.transformer import TransformerSpec as Spec
from clearhead.text.inventory import Inventory

__all__ = ["Spec", "build"]


def build(spec: Spec, inventory: Inventory) -> Transformer:
    """The trunk for the token ids of `inventory` and sequences of at most its `max_length` tokens."""
    return build_transformer(spec, causal(), inventory)
