"""Why is ELMo called pseudo-bidirectional and BERT truly so, and where does the difference come from?

为什么说 ELMo 是伪双向，BERT 是真双向？差异从何而来？
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clearhead.text.corpora import Corpus
from clearhead.text.splits import split_corpus

SYMBOLS = 48
BLOCK = 400


def one_character_each_side(arm: str, seed: int, corpus: Corpus, characters: int) -> Measured:
    """Bits to guess a character of held-out text from its two neighbours, a mean for each block of 400 guesses.

    left, right: one side alone; multiplied: two language models, p(m|l) p(m|r) / p(m); additive: the best model whose
    logits are f(l) + g(r), to its convex optimum; joint: the table of both sides, resting on the additive model.
    """
    split = split_corpus(corpus, max_characters=characters)
    common = [c for c, _ in Counter("".join(split.train)).most_common(SYMBOLS)]
    code = {c: i for i, c in enumerate(common)}
    train, held = (_triples(sentences, code) for sentences in (split.train, split.validation))
    counts = torch.zeros((SYMBOLS + 1,) * 3, dtype=torch.float64)  # left, right, middle
    counts.index_put_(tuple(torch.from_numpy(train[:, i]) for i in (0, 2, 1)), torch.ones((), dtype=torch.float64), True)
    log_p = _model(arm, counts)
    bits = -log_p[tuple(torch.from_numpy(held[:, i]) for i in (0, 2, 1))].numpy() / math.log(2)
    whole = bits[: len(bits) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(1)
    return {"bits": Along("block", dict(enumerate(whole.tolist())))}


def _triples(sentences: tuple[str, ...], code: dict[str, int]) -> NDArray[np.int64]:
    rows = [np.array([code.get(c, SYMBOLS) for c in sentence]) for sentence in sentences if len(sentence) > 2]
    return np.concatenate([np.lib.stride_tricks.sliding_window_view(row, 3) for row in rows])


def _model(arm: str, counts: Tensor) -> Tensor:
    """log p(middle | left, right) (V, V, V), by maximum likelihood with half a count of smoothing."""
    if arm in {"left", "right", "multiplied"}:
        left, right = ((counts.sum(side) + 0.5) / (counts.sum(side) + 0.5).sum(-1, True) for side in (1, 0))
        alone = (counts.sum((0, 1)) + 0.5) / (counts.sum((0, 1)) + 0.5).sum()
        both = {"left": left[:, None].log(), "right": right[None].log()}
        product = left[:, None].log() + right[None].log() - alone.log()
        return both.get(arm, product.log_softmax(-1)).expand_as(counts)
    additive = _additive(counts)
    if arm == "additive":
        return additive
    prior = 8.0
    return ((counts + prior * additive.exp()) / (counts.sum(-1, True) + prior)).log()


def _additive(counts: Tensor) -> Tensor:
    f, g = (torch.zeros(counts.shape[1:], dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.LBFGS([f, g], max_iter=200, history_size=20, line_search_fn="strong_wolfe")

    def negative_log_likelihood() -> Tensor:
        optimizer.zero_grad()
        log_p = (f[:, None] + g[None]).log_softmax(-1)
        loss = -(counts * log_p).sum() / counts.sum() + 1e-5 * (f.square().sum() + g.square().sum()) / len(f)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(negative_log_likelihood)  # type: ignore[no-untyped-call]
    return (f[:, None] + g[None]).log_softmax(-1).detach()
