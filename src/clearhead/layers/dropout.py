"""Dropout over a stream: what is dropped together. None of it acts in evaluation; all of it keeps the expectation."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.layout import Layout


class PlainDropout(nn.Module):
    """(N, D) -> (N, D): every number is zeroed by itself with probability `p`, the rest times 1 / (1 - p) (Srivastava
    et al. 2014, JMLR 15)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        return F.dropout(x, self.p, self.training)


class VariationalDropout(nn.Module):
    """(N, D) -> (N, D): the same features are zeroed at every token of a sequence, others in the next sequence (Gal &
    Ghahramani 2015, arXiv:1512.05287, 4; "locked" in Merity et al. 2017, arXiv:1708.02182, 4.1).

    B * D numbers are drawn, whatever the lengths: dense and packed batches are dropped alike.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        if not self.training or self.p == 0:
            return x
        mask = F.dropout(x.new_ones(len(layout.sizes), x.shape[1]), self.p)  # (B, D)
        return x * mask.index_select(0, layout.sequence_ids)


class WordDropout(nn.Module):
    """(N, D) -> (N, D): words are zeroed whole, each at all its places in the batch, the rest times 1 / (1 - p).

    The rows of the embedding matrix are dropped, one mask (V,) a batch (Gal & Ghahramani 2015, arXiv:1512.05287, 4.2;
    Merity et al. 2017, arXiv:1708.02182, 4.3).
    """

    def __init__(self, vocabulary_size: int, p: float) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.p = p

    def forward(self, x: Tensor, token_ids: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        mask = F.dropout(x.new_ones(self.vocabulary_size), self.p)
        return x * mask[token_ids, None]


DROPOUTS: dict[str, type[PlainDropout] | type[VariationalDropout]] = {
    "plain": PlainDropout,
    "variational": VariationalDropout,
}
