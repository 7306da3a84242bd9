"""Mixup: sequences are blended with one another where they become vectors, and asked for both of their labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from clearhead.batches.batch import NOT_ASKED, Batch
from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.models.states import States
from clearhead.objectives.loss import Loss
from clearhead.training.task import Task
from clearhead.training.token_noise import asks_of_whole_sequences


def mixed_losses(task: Task, batch: Batch, share: float, partners: Tensor) -> list[Loss | None]:
    """The losses of each sequence's embeddings, `share` of them its own and the rest its partner's, for both labels in
    the same shares (Zhang et al. 2017, arXiv:1710.09412, eq. 1; Guo et al. 2019, arXiv:1905.08941, wordMixup).

    `partners` (B,) is a permutation of the sequences. Vectors are added place by place, a sequence that has ended
    counting as zeros; the mixture is as long as the longer of the two. Positions are added after, as always. `each`
    and `logits` are judged by the sequence's own label. Raises `InputError` where labels are asked word by word, where
    words have features or a source, and where the model looks up no `token_embedding`.
    """
    if not asks_of_whole_sequences(batch):
        raise InputError(
            "training.mixup blends whole sequences and their labels, and this objective asks word by word; set it to 0"
        )
    if batch.features or batch.source is not None:
        raise InputError("training.mixup blends token embeddings alone, and this data has features or a source")
    together = _as_long_as_both(batch, partners)
    labels = {name: _of_partners(values, partners, together.layout) for name, values in together.labels.items()}
    with _blended(task.model, batch.layout.real_grid, together.layout, share, partners):
        states: States = task.model(together)
    own, other = task.judged(states, together), task.judged(states, replace(together, labels=labels))
    return [_between(one, two, share) for one, two in zip(own, other, strict=True)]


def _as_long_as_both(batch: Batch, partners: Tensor) -> Batch:
    old = batch.layout
    new = Layout(torch.maximum(old.lengths, old.lengths[partners]), old.longest, old.packed)

    def moved(x: Tensor, fill: int) -> Tensor:
        return new.flat(old.grid(x, fill))

    types = None if batch.token_type_ids is None else moved(batch.token_type_ids, 0)
    labels = {name: moved(values, NOT_ASKED) for name, values in batch.labels.items()}
    return replace(batch, layout=new, token_ids=moved(batch.token_ids, 0), token_type_ids=types, labels=labels)


def _of_partners(x: Tensor, partners: Tensor, layout: Layout) -> Tensor:
    """(N,) -> (N,): at each place what stands at the same place of the partner; nothing asked beyond its end."""
    return layout.flat(layout.grid(x, NOT_ASKED)[partners])


@contextmanager
def _blended(model: nn.Module, real: Tensor, layout: Layout, share: float, partners: Tensor) -> Iterator[None]:
    """While it is open, `model.token_embedding` gives blended vectors; `real` (B, T) is where each had tokens."""
    embedding = getattr(model, "token_embedding", None)
    seen: list[bool] = []

    def blend(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen.append(True)
        own = layout.grid(output) * real[..., None]  # (B, T, E)
        return layout.flat(share * own + (1 - share) * own[partners])

    handle = embedding.register_forward_hook(blend) if isinstance(embedding, nn.Module) else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()
    if not seen:
        raise InputError("training.mixup blends token embeddings, and this model looks up none; set it to 0")


def _between(own: Loss | None, other: Loss | None, share: float) -> Loss | None:
    if own is None or other is None:
        return None
    return replace(own, total=share * own.total + (1 - share) * other.total)
