"""Types of the fields that the specs of several models share: names from the layers' menus, refused unless offered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic_core import core_schema

from clearhead.layers.activations import ACTIVATIONS
from clearhead.layers.normalization import NORMS
from clearhead.layers.positions import POSITIONS


@dataclass(frozen=True)
class OneOf:
    """Makes pydantic read a field as a `Literal` of the names of a menu, which stays the only list of them."""

    menu: Iterable[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.literal_schema(list(self.menu))


Norm = Annotated[str, OneOf(NORMS)]
Position = Annotated[str, OneOf(POSITIONS)]
Activation = Annotated[str, OneOf(ACTIVATIONS)]
AttentionScale = Literal["scaled", "plain"]


def check_heads(hidden_size: int, num_attention_heads: int, positions: str) -> None:
    """Raises `ValueError` where the heads do not divide the width, or rotary positions find no pairs to turn."""
    if hidden_size % num_attention_heads:
        raise ValueError(
            f"hidden_size {hidden_size} is not a multiple of num_attention_heads {num_attention_heads}; "
            f"the nearest that fits is {max(1, round(hidden_size / num_attention_heads)) * num_attention_heads}"
        )
    if positions == "rotary" and (hidden_size // num_attention_heads) % 2:
        raise ValueError(
            f"rotary positions turn pairs of features, and a head of hidden_size {hidden_size} / num_attention_heads "
            f"{num_attention_heads} has an odd number; take another number of heads"
        )
