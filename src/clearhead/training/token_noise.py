"""Token noise: what is read in training is spoilt a little, what is asked is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from clearhead.batches.batch import NO_FEATURE, NOT_ASKED, Batch
from clearhead.errors import InputError
from clearhead.layers.embeddings import first_word
from clearhead.text.inventory import Inventory
from clearhead.training.spec import TokenNoiseSpec


def noisy(batch: Batch, spec: TokenNoiseSpec, inventory: Inventory | None, generator: torch.Generator) -> Batch:
    """An asked batch with noise in what is read: its `source` where it has one, its own tokens otherwise.

    Labels stay as they were asked, so a language model still has to say the words that were written (Xie et al. 2017,
    arXiv:1703.02573, 3.1). Special tokens ([MASK] too) are never touched. A word that gives way loses its features.
    Two numbers are drawn for each real token, in order, whatever the layout. Raises `InputError` where `swap` would
    move words away from labels of their own, or where `inventory` is not given.
    """
    if spec.name == "none":
        return batch
    if inventory is None:
        raise InputError("training.token_noise needs to know which token ids are words; give fit the inventory")
    if batch.source is not None and inventory.source is not None:
        return replace(batch, source=noisy(batch.source, spec, inventory.source, generator))
    if spec.name == "swap" and not asks_of_whole_sequences(batch):
        raise InputError(
            "training.token_noise: swap moves words away from their labels, and this objective asks word by word; "
            "take unknown or random"
        )
    real = batch.layout.real
    draws = torch.rand((int(real.sum()), 2), generator=generator, dtype=torch.float64).to(batch.token_ids.device)
    first = first_word(inventory.vocabulary)
    if spec.name == "swap":
        return _swapped(batch, spec.share, draws, first)
    words = batch.token_ids[real]  # (n,)
    chosen = (draws[:, 0] < spec.share) & (words >= first)
    others = first + (draws[:, 1] * (inventory.vocabulary.size - first)).long()
    put = torch.full_like(words, inventory.vocabulary.unknown) if spec.name == "unknown" else others
    gone = torch.zeros_like(real)
    gone[real] = chosen
    token_ids = batch.token_ids.clone()
    token_ids[real] = torch.where(chosen, put, words)
    return replace(batch, token_ids=token_ids, features=_without(batch.features, gone))


def asks_of_whole_sequences(batch: Batch) -> bool:
    """Whether all labels stand at the first token of a sequence, where those of whole sequences do."""
    return all(not bool((labels[batch.layout.position_ids > 0] != NOT_ASKED).any()) for labels in batch.labels.values())


def _without(features: Mapping[str, Tensor], gone: Tensor) -> dict[str, Tensor]:
    return {name: rows.masked_fill(gone[:, None], NO_FEATURE) for name, rows in features.items()}


def _swapped(batch: Batch, share: float, draws: Tensor, first: int) -> Batch:
    """Neighbouring words exchanged, pair by pair: `share` of all pairs that start at an even place, or at an odd one,
    which is tossed for each sequence. Features go with their word."""
    real, places = batch.layout.real, batch.layout.position_ids
    tossed = torch.ones(len(real), 2, dtype=draws.dtype, device=draws.device)
    tossed[real] = draws
    odd = (tossed[places == 0, 1] < 0.5)[batch.layout.sequence_ids]  # (N,)
    word = real & (batch.token_ids >= first)
    pair = word & word.roll(-1) & (places.roll(-1) == places + 1)
    left = pair & (places % 2 == odd.long()) & (tossed[:, 0] < share)
    here = torch.arange(len(real), device=real.device)
    order = here + left.long() - left.roll(1).long()
    features = {name: rows[order] for name, rows in batch.features.items()}
    return replace(batch, token_ids=batch.token_ids[order], features=features)
