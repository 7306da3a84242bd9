"""The projection onto the vocabulary that every language-model head ends with."""

from __future__ import annotations

from typing import cast

from torch import nn

from clearhead.errors import InputError

INITIAL_STD = 0.02


def embedding_matrix(model: nn.Module) -> nn.Parameter:
    """The token embeddings (V, E) of a trunk: every one has a `token_embedding`."""
    return model.get_parameter("token_embedding.weight")


def hidden_width(model: nn.Module) -> int:
    """D of the states (N, D) that a trunk gives."""
    return cast(int, model.width)


def vocabulary_decoder(width: int, embeddings: nn.Parameter, *, tied: bool, bias: bool) -> nn.Linear:
    """`x @ W.T + b` from `width` features to the vocabulary; `tied` makes W the embeddings themselves.

    Tying: Press & Wolf 2016, arXiv:1608.05859. Raises `InputError` where the widths forbid it.
    """
    vocabulary_size, embedding_width = embeddings.shape
    if tied and width != embedding_width:
        raise InputError(
            f"objective.tie_embeddings: states of width {width} do not fit embeddings of width {embedding_width}; "
            "set it to false"
        )
    decoder = nn.Linear(width, vocabulary_size, bias=bias)
    if tied:
        decoder.weight = embeddings
    else:
        nn.init.normal_(decoder.weight, std=INITIAL_STD)
    if bias:
        nn.init.zeros_(decoder.bias)
    return decoder
