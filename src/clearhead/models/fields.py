"""Types of the fields that the specs of several models share: names from the layers' menus, refused unless offered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import core_schema

from clearhead.layers.activations import ACTIVATIONS
from clearhead.layers.feedforward import FEEDFORWARDS
from clearhead.layers.initialization import INITIALIZATIONS
from clearhead.layers.masks import MASKS, SIZED_MASKS, Mask
from clearhead.layers.normalization import NORMS
from clearhead.layers.positions import POSITIONS
from clearhead.layers.scores import SCORES


@dataclass(frozen=True)
class OneOf:
    """Makes pydantic read a field as a `Literal` of the names of a menu, which stays the only list of them."""

    menu: Iterable[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.literal_schema(list(self.menu))


Norm = Annotated[str, OneOf(NORMS)]
Position = Annotated[str, OneOf(POSITIONS)]
Activation = Annotated[str, OneOf(ACTIVATIONS)]
FeedForwardActivation = Annotated[str, OneOf(FEEDFORWARDS)]
AttentionScore = Annotated[str, OneOf(SCORES)]
MaskName = Annotated[str, OneOf((*MASKS, *SIZED_MASKS))]
Initialization = Annotated[str, OneOf(INITIALIZATIONS)]
Size = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


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


def check_score(score: str, positions: str) -> None:
    """Raises `ValueError` where a rotation finds no product to act on."""
    if score == "additive" and positions == "rotary":
        raise ValueError(
            "rotary positions turn queries and keys so that their product tells the distance, and an additive score "
            "has no product; take other positions, or another attention_score"
        )


def check_mask(mask: str | None, mask_size: int | None) -> None:
    """Raises `ValueError` where a mask lacks its size, or a size its mask."""
    if mask in SIZED_MASKS and mask_size is None:
        raise ValueError(f"mask {mask} needs mask_size: how many tokens it reaches")
    if mask not in SIZED_MASKS and mask_size is not None:
        raise ValueError(f"mask_size is that of {', '.join(SIZED_MASKS)}; set mask to one of them, or leave it out")


def as_mask(mask: str | None, mask_size: int | None, default: Mask) -> Mask:
    """The mask of that name and size; None is `default`."""
    if mask is None:
        return default
    return MASKS[mask]() if mask_size is None else SIZED_MASKS[mask](mask_size)
