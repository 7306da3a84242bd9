"""Transformer encoder: every token sees its whole sequence (Devlin et al. 2018, arXiv:1810.04805).

BERT itself is norm_place post with embedding_norm, learned positions, 2 token types and norm_eps 1e-12.
"""

from __future__ import annotations

from clearhead.layers.masks import full
from clearhead.models.transformer import Transformer, build_transformer
from clearhead.models.transformer import TransformerSpec as Spec
from clearhead.text.inventory import Inventory

__all__ = ["Spec", "build"]


def build(spec: Spec, inventory: Inventory) -> Transformer:
    """The trunk for the token ids of `inventory` and sequences of at most its `max_length` tokens."""
    return build_transformer(spec, full(), inventory)
