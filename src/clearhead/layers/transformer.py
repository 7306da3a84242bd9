"""One layer of a Transformer: attention and a feed-forward layer, each with a residual connection and a norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from clearhead.batches.layout import Layout
from clearhead.layers.attention import MultiHeadAttention
from clearhead.layers.feedforward import FeedForward

NormPlace = Literal["pre", "post"]


class Block(nn.Module):
    """(N, D) -> (N, D). Post: x = norm(x + f(x)) (Vaswani et al. 2017, arXiv:1706.03762, 3.1); pre: x = x + f(norm(x))
    (Xiong et al. 2020, arXiv:2002.04745), which leaves the last norm to the trunk. f: attention, then feed-forward."""

    def __init__(
        self,
        attention: MultiHeadAttention,
        feedforward: FeedForward,
        make_norm: Callable[[], nn.Module],
        *,
        norm_place: NormPlace,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = make_norm()
        self.feedforward = feedforward
        self.feedforward_norm = make_norm()
        self.norm_place = norm_place
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        if self.norm_place == "pre":
            x = x + self.dropout(self.attention(self.attention_norm(x, layout), layout))
            x = x + self.dropout(self.feedforward(self.feedforward_norm(x, layout)))
        else:
            x = self.attention_norm(x + self.dropout(self.attention(x, layout)), layout)
            x = self.feedforward_norm(x + self.dropout(self.feedforward(x)), layout)
        return x
