"""Text that a model writes: a line written on, masked words filled in, translations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clearhead.batches.batch import NOT_ASKED, Batch, Item, collate
from clearhead.batches.sampling import BatchSpec, numbered_batches
from clearhead.errors import InputError
from clearhead.layers.decoding import DecodingSpec, generate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import MASK, Tokenizer, Vocabulary
from clearhead.training.task import Task

CONTINUING = DecodingSpec(temperature=0.8, top_p=0.95)
TRANSLATING = DecodingSpec(beam=4)
SEED = 0
SOURCE_TOKENS = 2048  # that are translated together
LONGER, FURTHER = 1.5, 10  # a translation has at most 1.5 times the tokens of its source, and ten more
MASKED = "masked"


def continued(task: Task, tokenizer: Tokenizer, line: str, max_length: int) -> str:
    """The line and what the model writes after it, drawn with a fixed seed. Raises `InputError` where it cannot."""
    model: Any = task.model
    if not hasattr(model, "begin") or not hasattr(task.objective, "logits"):
        raise InputError("this run's model does not write from left to right; ask lm-lstm or lm-transformer to")
    vocabulary = tokenizer.vocabulary
    (written,) = tokenizer.encode([line])
    ids = np.concatenate([[vocabulary.begin], written])[: max_length - 1]
    with torch.inference_mode():
        prompt = collate([ids[:-1]], packed=True) if len(ids) > 1 else None
        cache = model.begin(prompt, 1)
        generator = torch.Generator().manual_seed(SEED)
        (found,) = generate(
            _step(task),
            cache,
            torch.tensor(ids[-1:]),
            CONTINUING,
            end=vocabulary.end,
            banned=_never_written(vocabulary),
            max_length=max_length - len(ids),
            generator=generator,
        )
    return tokenizer.decode([*ids, *found[0].token_ids])


def filled(task: Task, tokenizer: Tokenizer, line: str, max_length: int) -> str:
    """The line with the likeliest token in the place of each [MASK]. Raises `InputError` for one that is too long."""
    vocabulary = tokenizer.vocabulary
    parts = tokenizer.encode(re.split(re.escape(MASK), line))
    inner = np.concatenate([piece for part in parts for piece in (part, [vocabulary.mask])][:-1]).astype(np.int64)
    ids = np.concatenate([[vocabulary.begin], inner, [vocabulary.end]])
    if len(ids) > max_length:
        raise InputError(f"a line of {len(ids)} tokens, and the model reads {max_length}; give a shorter one")
    asked = np.where(ids == vocabulary.mask, 0, NOT_ASKED)
    if (asked == 0).any():
        batch = collate([Item(ids, labels={MASKED: asked})], packed=True)
        with torch.inference_mode():
            logits = task.objective.loss(task.model(batch), batch).logits
        if logits is None:
            raise InputError("this run's model fills nothing in; ask bert or mlm-transformer to")
        words = logits.index_fill(1, torch.tensor(_never_written(vocabulary)), -torch.inf)
        ids[ids == vocabulary.mask] = words.argmax(-1).numpy()
    return tokenizer.decode(ids)


def translated(task: Task, sources: Sequence[Item], inventory: Inventory) -> list[list[int]]:
    """The token ids that beam search writes for each source, in their order."""
    model: Any = task.model
    vocabulary = inventory.vocabulary
    found: list[list[int]] = [[] for _ in sources]
    training = task.training
    task.eval()
    pad = (inventory.source or inventory).vocabulary.pad
    spec = BatchSpec(layout="dense", tokens=SOURCE_TOKENS)
    try:
        with torch.inference_mode():
            for numbers, source in numbered_batches(sources, spec, pad=pad) if sources else ():
                begin = torch.full((len(numbers),), vocabulary.begin)
                cache = model.begin(_to_be_written(source, vocabulary), len(numbers))
                limits = [min(inventory.max_length - 1, int(size * LONGER) + FURTHER) for size in source.layout.sizes]
                hypotheses = generate(
                    _step(task),
                    cache,
                    begin,
                    TRANSLATING,
                    end=vocabulary.end,
                    banned=_never_written(vocabulary),
                    max_length=limits,
                )
                for number, best in zip(numbers, hypotheses, strict=True):
                    found[number] = list(best[0].token_ids)
    finally:
        task.train(training)
    return found


def _to_be_written(source: Batch, vocabulary: Vocabulary) -> Batch:
    """Begin tokens, a sequence each, that have the sources to read."""
    begins = [np.array([vocabulary.begin])] * len(source.layout.sizes)
    started = collate(begins, packed=True)
    return Batch(started.token_ids, started.layout, source=source)


def _step(task: Task) -> Any:
    model, objective = task.model, task.objective

    def step(token_ids: Tensor, cache: Any) -> Tensor:
        logits: Tensor = objective.logits(model.step(token_ids, cache))  # type: ignore[attr-defined, operator]
        return logits

    return step


def _never_written(vocabulary: Vocabulary) -> list[int]:
    return [vocabulary.pad, vocabulary.unknown, vocabulary.begin, vocabulary.mask]
