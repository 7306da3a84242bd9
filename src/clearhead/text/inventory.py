"""`Inventory`: what the numbers of a data set stand for, as far as models and objectives must know it."""

from __future__ import annotations

from dataclasses import dataclass

from clearhead.text.tokenizers import Vocabulary


@dataclass(frozen=True)
class Inventory:
    """`labels` are the classes or tags by their id; `max_length` counts the tokens of the longest sequence.

    `features` and `characters` say how many different ids the maps of that name hold (0: the data has none).
    `source` is the inventory of the other side, where there is one to read from.
    """

    vocabulary: Vocabulary
    max_length: int
    labels: tuple[str, ...] = ()
    features: int = 0
    characters: int = 0
    source: Inventory | None = None
