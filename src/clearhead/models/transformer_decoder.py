"""Transformer decoder: every token sees itself and those before it (Radford et al. 2018; 2019).

GPT-2 itself is norm_place pre, learned positions and hidden_act gelu_tanh.
"""

from __future__ import annotations

from clearhead.layers.masks import causal
from clearhead.models.transformer import Transformer, build_transformer
from clearhead.models.transformer import TransformerSpec as Spec

__all__ = ["Spec", "build"]


def build(spec: Spec, vocabulary_size: int, max_length: int) -> Transformer:
    """The trunk for `vocabulary_size` token ids and sequences of at most `max_length` tokens."""
    return build_transformer(spec, causal(), vocabulary_size, max_length)
