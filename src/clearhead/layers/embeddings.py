"""What a trunk reads: a token's vector from its characters, and a sequence's bag of words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clearhead.batches.layout import Layout
from clearhead.text.tokenizers import Vocabulary

BOUNDARIES = 2  # symbols beside the characters: where a token begins, where it ends
MOSTLY_PASSED = 2.0


class Highway(nn.Module):
    """(n, D) -> (n, D): t * relu(W_h x + b_h) + (1 - t) * x with t = sigmoid(W_t x + b_t - 2) (Srivastava et al. 2015,
    arXiv:1505.00387, eq. 3; Kim et al. 2015, eq. 8). With biases at 0 most of x passes, as both papers begin."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x) - MOSTLY_PASSED)
        return gate * F.relu(self.transform(x)) + (1 - gate) * x


class CharacterCNN(nn.Module):
    """Character ids (N, C), -1 where a token has no more -> (N, D): convolutions of several widths over a token's
    characters, the maximum over its places, tanh, highway layers, a projection (Kim et al. 2015, arXiv:1508.06615, 2.3;
    Jozefowicz et al. 2016, arXiv:1602.02410, 3.1).

    `filters` are pairs (width, count). A symbol begins and one ends every token, as in both papers. Only places where
    the whole window lies within the token are looked at (one place, filled up with zeros, where the token is shorter
    than the window), so a token's vector does not depend on how long the others are.
    """

    def __init__(
        self,
        characters: int,
        embedding_size: int,
        filters: Sequence[tuple[int, int]],
        output_size: int,
        *,
        highways: int = 1,
    ) -> None:
        super().__init__()
        self.characters = characters
        self.embedding = nn.Embedding(characters + BOUNDARIES, embedding_size)
        # A convolution as one matrix over all windows of its width.
        self.convolutions = nn.ModuleList(nn.Linear(width * embedding_size, count) for width, count in filters)
        self.widths = [width for width, _ in filters]
        total = sum(count for _, count in filters)
        self.highways = nn.ModuleList(Highway(total) for _ in range(highways))
        self.projection = nn.Linear(total, output_size)

    def forward(self, character_ids: Tensor) -> Tensor:
        ids, lengths = self._bounded(character_ids)
        embedded = self.embedding(ids.clamp(min=0)) * (ids >= 0)[..., None]  # (N, C', E)
        embedded = F.pad(embedded, (0, 0, 0, max(0, max(self.widths) - ids.shape[1])))
        found = [
            _strongest(convolution, embedded, width, lengths)
            for convolution, width in zip(self.convolutions, self.widths, strict=True)
        ]
        x = torch.tanh(torch.cat(found, dim=-1))  # tanh rises, so the maximum may come first
        for highway in self.highways:
            x = highway(x)
        projected: Tensor = self.projection(x)
        return projected

    def _bounded(self, character_ids: Tensor) -> tuple[Tensor, Tensor]:
        """The ids with a begin and an end (N, C + 2), and how many there are of each token (N,)."""
        places = torch.arange(1, character_ids.shape[1] + 1, device=character_ids.device)
        last = (places * (character_ids >= 0)).amax(dim=1, keepdim=True)  # (N, 1)
        ids = F.pad(character_ids, (1, 1), value=-1)
        ids[:, 0] = self.characters
        return ids.scatter(1, last + 1, self.characters + 1), last[:, 0] + BOUNDARIES


def _strongest(convolution: nn.Module, embedded: Tensor, width: int, lengths: Tensor) -> Tensor:
    """(N, C, E) -> (N, count): the largest value of each filter over the windows of each token."""
    windows = embedded.unfold(1, width, 1).transpose(2, 3).flatten(2)  # (N, C - width + 1, width * E)
    places = torch.arange(windows.shape[1], device=windows.device)
    outside = places > (lengths[:, None] - width).clamp(min=0)  # (N, C - width + 1)
    values: Tensor = convolution(windows)
    return values.masked_fill(outside[..., None], float("-inf")).amax(dim=1)


def first_word(vocabulary: Vocabulary) -> int:
    """The first id that is a word: the special ones are the lowest."""
    return 1 + max(vocabulary.pad, vocabulary.unknown, vocabulary.begin, vocabulary.end, vocabulary.mask)


class BagOfWords(nn.Module):
    """Token ids (N,) -> (B, V'): what each sequence holds of the V' words of the vocabulary, special tokens left out.

    `weighting` "binary": 1 where the word is there; "counts": how often; "log_counts": log(1 + how often).
    """

    def __init__(self, vocabulary: Vocabulary, weighting: str) -> None:
        super().__init__()
        self.first = first_word(vocabulary)
        self.width = vocabulary.size - self.first
        self.binary = weighting == "binary"
        self.weigh = WEIGHTINGS[weighting]

    def forward(self, token_ids: Tensor, layout: Layout, dtype: torch.dtype) -> Tensor:
        counted = layout.real & (token_ids >= self.first)  # (N,)
        cells = (layout.sequence_ids * self.width + token_ids - self.first)[counted]
        counts = torch.bincount(cells, minlength=len(layout.sizes) * self.width)
        bag: Tensor = self.weigh(counts.reshape(-1, self.width).to(dtype))
        return bag


def _binary(counts: Tensor) -> Tensor:
    return counts.clamp(max=1)


def _counts(counts: Tensor) -> Tensor:
    return counts


WEIGHTINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "binary": _binary,
    "counts": _counts,
    "log_counts": torch.log1p,
}
