"""A linear model of sparse features: a label's score is the sum of its weights for the features that a token has.

With the objective `tagging` on top it is a maximum-entropy tagger (softmax; Ratnaparkhi 1996), a maximum-entropy Markov
model (memm) or the classic conditional random field (crf; Lafferty, McCallum & Pereira 2001, eq. 1).
"""

from __future__ import annotations

import functools

import torch
from pydantic import Field
from torch import Tensor, nn

from clearhead.batches.batch import Batch
from clearhead.errors import InputError
from clearhead.layers.feature_sums import sum_rows
from clearhead.layers.initialization import built
from clearhead.models.states import States
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

TEMPLATES = "templates"


class Spec(SpecModel):
    """Weights start from N(0, `initializer_range`^2): at 0, as good a start as any, since the loss is convex in them.

    `fused` false takes torch's own sums in place of compiled loops.
    """

    initializer_range: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    fused: bool = True


class SparseFeatures(nn.Module):
    """`Batch` -> `States` (N, K): W[f] summed over the ids f of each token's `templates` (N, M), -1 being none.

    The states are the labels' scores already (`gives_scores`), so that no head stands between them and the objective.
    A token all of whose features are new scores 0 for every label. What word it is, it says by its features alone.
    """

    gives_scores = True

    def __init__(self, features: int, labels: int, *, fused: bool = True) -> None:
        super().__init__()
        self.width = labels
        self.fused = fused
        self.weight = nn.Parameter(torch.zeros(features, labels))  # (F, K)

    def forward(self, batch: Batch) -> States:
        """Raises `InputError` for a batch whose `templates` are missing, not a row a token, or no features."""
        if TEMPLATES not in batch.features:
            raise InputError(
                f"the model sparse_features reads the feature map {TEMPLATES!r}, and the batch has "
                f"{', '.join(batch.features) or 'none'}; encode its sentences with an index of features"
            )
        ids = batch.features[TEMPLATES]
        if len(ids) != len(batch.token_ids):
            raise InputError(f"{len(ids)} rows of {TEMPLATES!r} for {len(batch.token_ids)} tokens; give each token one")
        scores: Tensor = sum_rows(self.weight, ids, fused=self.fused)
        return States(scores, batch.layout, (scores,))


def build(spec: Spec, inventory: Inventory) -> SparseFeatures:
    """A weight for each feature and label of `inventory`. Raises `InputError` where it has none of either."""
    if not inventory.features or not inventory.labels:
        raise InputError(
            f"the model sparse_features needs features and labels; the data has {inventory.features} features and "
            f"{len(inventory.labels)} labels"
        )
    make = functools.partial(SparseFeatures, inventory.features, len(inventory.labels), fused=spec.fused)
    model: SparseFeatures = built(make, functools.partial(_initialize, std=spec.initializer_range))
    return model


def _initialize(model: SparseFeatures, seed: int, *, std: float) -> None:
    if std:
        nn.init.normal_(model.weight, std=std, generator=torch.Generator().manual_seed(seed))
