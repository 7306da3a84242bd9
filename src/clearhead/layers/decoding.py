"""Generation: from a model that writes one token at a time to whole sequences, by greedy choice, beam search or draws.

A search knows no model. It is given `step(token_ids (R,), cache) -> logits (R, V)`, a cache with `select(rows)`, and
the first input of each source; the caller joins a model's `begin` and `step` with the projection to its vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from pydantic import Field, model_validator
from torch import Tensor

from clearhead.errors import InputError
from clearhead.layers.decoding_beam import beam
from clearhead.layers.decoding_sampling import greedy, sample
from clearhead.layers.decoding_steps import C, Hypothesis, Step
from clearhead.spec import SpecModel

ONLY_BEAM = ("length_penalty", "n_best")


class DecodingSpec(SpecModel):
    """How the next token is chosen: the most probable one; with `beam` above 1, beam search, which gives the `n_best`
    best by log p / length^`length_penalty`; with a `temperature`, draws, from the `top_k` and `top_p` best words.

    At most `max_length` tokens are written, the end included.
    """

    beam: int = Field(default=1, ge=1)
    length_penalty: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    n_best: int = Field(default=1, ge=1)
    max_length: int = Field(default=128, ge=1)
    temperature: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    top_k: int | None = Field(default=None, ge=1)
    top_p: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _switches_act(self) -> DecodingSpec:
        if self.beam == 1:
            for name in ONLY_BEAM:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} belongs to beam search, and a beam of 1 is none; set beam to 2 or more")
        if self.n_best > self.beam:
            raise ValueError(f"a beam of {self.beam} cannot give the {self.n_best} best; raise beam, or lower n_best")
        if self.temperature is None and (self.top_k is not None or self.top_p is not None):
            raise ValueError("top_k and top_p cut what is drawn from, and nothing is drawn; set temperature (1.0)")
        if self.temperature is not None and self.beam > 1:
            raise ValueError("temperature draws one token at a time, and a beam keeps the best; set beam to 1")
        return self


def generate(
    step: Step[C],
    cache: C,
    begin_ids: Tensor,
    spec: DecodingSpec,
    *,
    end: int,
    banned: Iterable[int] = (),
    max_length: int | Sequence[int] | None = None,
    generator: torch.Generator | None = None,
) -> list[list[Hypothesis]]:
    """The hypotheses of each of B sources, the best first, as `spec` says: `n_best` of beam search, else one.

    `cache` holds a row a source, `begin_ids` (B,) their first inputs. `max_length` (of all, or of each) lowers the
    spec's. Draws need `generator`: `InputError` without. `banned` words are never written."""
    limits = _limits(spec, max_length, len(begin_ids))
    if spec.temperature is not None:
        if generator is None:
            raise InputError("temperature: what is drawn needs a generator with a seed; give one")
        written = sample(
            step,
            cache,
            begin_ids,
            end=end,
            max_length=limits,
            generator=generator,
            temperature=spec.temperature,
            top_k=spec.top_k,
            top_p=spec.top_p,
            banned=banned,
        )
        return [[one] for one in written]
    if spec.beam == 1:
        return [[one] for one in greedy(step, cache, begin_ids, end=end, max_length=limits, banned=banned)]
    return beam(
        step,
        cache,
        begin_ids,
        end=end,
        max_length=limits,
        beams=spec.beam,
        length_penalty=spec.length_penalty,
        n_best=spec.n_best,
        banned=banned,
    )


def _limits(spec: DecodingSpec, max_length: int | Sequence[int] | None, sources: int) -> list[int]:
    given = spec.max_length if max_length is None else max_length
    own = [given] * sources if isinstance(given, int) else given
    return [min(spec.max_length, limit) for limit in own]
