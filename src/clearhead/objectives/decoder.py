"""The projection onto the vocabulary that every language-model head ends with."""

from __future__ import annotations

from typing import cast

from torch import nn

from clearhead.errors import InputError

INITIAL_STD = 0.02


def embedding_matrix(model: nn.Module) -> nn.Parameter:
    """The token embeddings (V, E) of a trunk. Raises `InputError` where it has none, for it reads no token ids."""
    if getattr(model, "token_embedding", None) is None:
        raise InputError(
            "objective: this model has no token embeddings to share; set objective.tie_embeddings (or tie_weights) to "
            "false, or let the model read tokens"
        )
    return model.get_parameter("token_embedding.weight")


def hidden_width(model: nn.Module) -> int:
    """D of the states (N, D) that a trunk gives."""
    return cast(int, model.width)


def tie(decoder: nn.Linear, embeddings: nn.Parameter) -> None:
    """Makes the projection's matrix the embeddings themselves (Press & Wolf 2016, arXiv:1608.05859).

    Raises `InputError` where the widths forbid it.
    """
    if decoder.weight.shape != embeddings.shape:
        raise InputError(
            f"objective.tie_embeddings: states of width {decoder.in_features} do not fit embeddings of width "
            f"{embeddings.shape[1]}; set it to false"
        )
    decoder.weight = embeddings
