"""Labels that are the neighbours of each token within its own sequence."""

from __future__ import annotations

from torch import Tensor

from clearhead.batches.batch import NOT_ASKED, Batch


def next_tokens(batch: Batch) -> Tensor:
    """The id after each token (N,); -100 at the last of a sequence and at pads."""
    layout = batch.layout
    has_next = layout.real & (layout.position_ids + 1 < layout.lengths[layout.sequence_ids])  # (N,)
    return batch.token_ids.roll(-1).masked_fill(~has_next, NOT_ASKED)


def previous_tokens(batch: Batch) -> Tensor:
    """The id before each token (N,); -100 at the first of a sequence and at pads."""
    has_previous = batch.layout.real & (batch.layout.position_ids > 0)  # (N,)
    return batch.token_ids.roll(1).masked_fill(~has_previous, NOT_ASKED)
