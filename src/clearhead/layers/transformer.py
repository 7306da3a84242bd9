"""One layer of a Transformer: attention and a feed-forward layer, each with a residual connection and a norm."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from clearhead.batches.layout import Layout
from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.cache import Cache
from clearhead.layers.cross_attention import CrossAttention, Source
from clearhead.layers.feedforward import FeedForward, GatedFeedForward

NormPlace = Literal["pre", "post"]
Sublayer = Callable[[Tensor], Tensor]


class Block(nn.Module):
    """(N, D) -> (N, D). Post: x = norm(x + f(x)) (Vaswani et al. 2017, arXiv:1706.03762, 3.1); pre: x = x + f(norm(x))
    (Xiong et al. 2020, arXiv:2002.04745), which leaves the last norm to the trunk. f: attention, then attention to a
    source where there is `cross`, then feed-forward. `residual` False leaves out "x +"."""

    def __init__(
        self,
        attention: MultiHeadAttention,
        feedforward: FeedForward | GatedFeedForward,
        make_norm: Callable[[], nn.Module],
        *,
        norm_place: NormPlace,
        dropout: float,
        residual: bool = True,
        cross: CrossAttention | None = None,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = make_norm()
        self.cross = cross
        self.cross_norm = None if cross is None else make_norm()
        self.feedforward = feedforward
        self.feedforward_norm = make_norm()
        self.norm_place = norm_place
        self.residual = residual
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, layout: Layout, *, blocked: Tensor | None = None, source: Source | None = None
    ) -> Tensor:
        """`blocked` (N,) is True where no query may see the key; `source` is what `cross` reads, where there is one."""
        attend = functools.partial(self.attention, layout=layout, blocked=blocked)
        x = self._around(self.attention_norm, attend, x, layout)
        if self.cross is not None and self.cross_norm is not None:
            x = self._around(self.cross_norm, functools.partial(self.cross, source=source), x, layout)
        return self._around(self.feedforward_norm, self.feedforward, x, layout)

    def step(self, x: Tensor, layout: Layout, cache: Cache, number: int) -> Tensor:
        """The next token of every row, x (R, D), as layer `number`: (R, D). `layout` is R sequences of one token."""
        attend = functools.partial(self.attention.step, cache=cache, number=number)
        x = self._around(self.attention_norm, attend, x, layout)
        if self.cross is not None and self.cross_norm is not None:
            read = functools.partial(self.cross.step, cache=cache, number=number)
            x = self._around(self.cross_norm, read, x, layout)
        return self._around(self.feedforward_norm, self.feedforward, x, layout)

    def keys_values(self, x: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """What later tokens meet of these, given what the block is given: keys and values, (N, H, d) each."""
        read: Tensor = self.attention_norm(x, layout) if self.norm_place == "pre" else x
        return self.attention.keys_values(read, layout)

    def _around(self, norm: nn.Module, sublayer: Sublayer, x: Tensor, layout: Layout) -> Tensor:
        """A sublayer with its residual connection and norm."""
        if self.norm_place == "pre":
            y: Tensor = self.dropout(sublayer(norm(x, layout)))
            return x + y if self.residual else y
        y = self.dropout(sublayer(x))
        normed: Tensor = norm(x + y if self.residual else y, layout)
        return normed
