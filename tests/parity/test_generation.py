"""Searches against Hugging Face's `generate`, on Marian and GPT-2 with their weights copied into our models."""

from __future__ import annotations

import copy
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import (
    GPT2LMHeadModel,
    LogitsProcessorList,
    MarianMTModel,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from clearhead.batches.batch import Item, collate
from clearhead.layers.cache import Cache
from clearhead.layers.decoding import DecodingSpec, generate
from clearhead.layers.decoding_beam import beam
from clearhead.layers.decoding_sampling import greedy, sampling_probabilities

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "benchmarks")]
beam_search = importlib.import_module("beam_search")
trunks = importlib.import_module("test_hugging_face")

SHAPE = beam_search.SHAPES["tiny"]
BEGIN, LONGEST = SHAPE.words - 1, 12
PULL = 1.5  # towards the end of the sentence, so that hypotheses of all lengths are written


@pytest.fixture(scope="module")
def marian() -> MarianMTModel:
    """Whose last norm leans to one side, on which the end lies: a constant is added to the end's logit."""
    theirs: MarianMTModel = beam_search.marian(SHAPE)
    with torch.no_grad():
        theirs.model.shared.weight *= 0.5
        theirs.model.decoder.layers[-1].final_layer_norm.bias[0] = 2.0
        theirs.model.shared.weight[beam_search.END, 0] = PULL
    return theirs


def sources() -> list[np.ndarray]:
    return beam_search.draw(SHAPE, 10, np.random.default_rng(0))


def theirs_written(theirs: MarianMTModel, **options: Any) -> tuple[list[tuple[int, ...]], Tensor]:
    """What `generate` writes for the sources, up to the end, and the normalised scores."""
    drawn = sources()
    grid = torch.nn.utils.rnn.pad_sequence([torch.as_tensor(ids) for ids in drawn], True, BEGIN)
    mask = torch.arange(grid.shape[1]) < torch.tensor([[len(ids)] for ids in drawn])
    written = theirs.generate(
        input_ids=grid,
        attention_mask=mask.long(),
        do_sample=False,
        max_new_tokens=LONGEST,
        bad_words_ids=[[BEGIN]],
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    return [beam_search.up_to_the_end(row) for row in written.sequences[:, 1:].tolist()], written.sequences_scores


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("beams", [2, 4])
@torch.no_grad()
def test_beam_search_writes_what_marian_generates(marian: MarianMTModel, beams: int, penalty: float) -> None:
    """Every source's n best, and their scores, for sources of many lengths at once."""
    model, objective = beam_search.copied(marian, SHAPE)

    def step(token_ids: Tensor, cache: Cache) -> Tensor:
        return objective.logits(model.step(token_ids, cache))

    drawn = sources()
    batch = collate([Item(np.array([BEGIN]), source=Item(ids)) for ids in drawn], packed=True)
    found = beam(
        step,
        model.begin(batch, len(drawn)),
        torch.full((len(drawn),), BEGIN),
        end=beam_search.END,
        max_length=LONGEST,
        beams=beams,
        length_penalty=penalty,
        n_best=beams,
        banned=[BEGIN],
    )
    ours = [one for hypotheses in found for one in hypotheses]
    expected, scores = theirs_written(
        marian, num_beams=beams, num_return_sequences=beams, length_penalty=penalty, early_stopping="never"
    )
    assert [one.token_ids for one in ours] == expected
    torch.testing.assert_close(torch.tensor([one.normalized for one in ours]), scores, rtol=0, atol=1e-5)
    assert len({len(ids) for ids in expected}) > 2 or penalty == 2.0  # under which the longest win


@torch.no_grad()
def test_the_benchmark_compares_equals(marian: MarianMTModel) -> None:
    search = (marian, SHAPE, 4, LONGEST)
    ours, theirs = beam_search.clearhead_side(*search), beam_search.hugging_face_side(*search, early_stopping="never")
    assert ours(sources()) == theirs(sources())


@pytest.fixture(scope="module")
def language_model() -> GPT2LMHeadModel:
    """Whose places weigh more than its words, so that it does not write one word on and on."""
    theirs: GPT2LMHeadModel = trunks.gpt2()
    nn.init.zeros_(theirs.transformer.ln_f.bias)
    nn.init.normal_(theirs.transformer.wpe.weight, generator=torch.Generator().manual_seed(0))
    return theirs


@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_it_writes_on_what_gpt_2_writes_on(language_model: GPT2LMHeadModel, beams: int) -> None:
    """From prompts of one token and of several, without an end."""
    model = trunks.copied_gpt2(language_model.transformer)

    def step(token_ids: Tensor, cache: Cache) -> Tensor:
        return model.step(token_ids, cache) @ model.token_embedding.weight.T

    rng = np.random.default_rng(1)
    for length in (1, 2, 7):
        prompts = torch.from_numpy(rng.integers(1, trunks.VOCABULARY, (4, length)))
        expected = language_model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=False,
            num_beams=beams,
            length_penalty=0.0,
            max_new_tokens=9,
            bad_words_ids=[[0]],
        )
        before = collate(list(prompts[:, :-1]), packed=True) if length > 1 else None
        cache = model.begin(before, len(prompts))
        spec = DecodingSpec(max_length=9) if beams == 1 else DecodingSpec(max_length=9, beam=beams, length_penalty=0)
        found = generate(step, cache, prompts[:, -1], spec, end=0, banned=[0])
        assert [list(hypotheses[0].token_ids) for hypotheses in found] == expected[:, length:].tolist()


@torch.no_grad()
def test_greedy_ends_where_gpt_2_ends(language_model: GPT2LMHeadModel) -> None:
    """The end is a word that it writes at many places: rows stop at unlike lengths."""
    language_model = copy.deepcopy(language_model)
    nn.init.normal_(language_model.transformer.wte.weight, generator=torch.Generator().manual_seed(1))
    nn.init.normal_(language_model.transformer.wpe.weight, std=0.3, generator=torch.Generator().manual_seed(2))
    model = trunks.copied_gpt2(language_model.transformer)
    prompts = torch.arange(1, 31)[:, None]
    free = language_model.generate(prompts, do_sample=False, max_new_tokens=9, eos_token_id=trunks.VOCABULARY + 1)[
        :, 1:
    ]
    places = [{row.index(word) if word in row else 9 for row in free.tolist()} for word in range(trunks.VOCABULARY)]
    end = max(range(trunks.VOCABULARY), key=lambda word: len(places[word]))
    written = language_model.generate(prompts, do_sample=False, max_new_tokens=9, eos_token_id=end)[:, 1:]
    expected = [row[: row.index(end) + 1] if end in row else row for row in written.tolist()]

    def step(token_ids: Tensor, cache: Cache) -> Tensor:
        return model.step(token_ids, cache) @ model.token_embedding.weight.T

    found = greedy(step, model.begin(None, len(prompts)), prompts[:, 0], end=end, max_length=9)
    assert [list(one.token_ids) for one in found] == expected
    assert len({len(row) for row in expected}) > 2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("top_k", [None, 1, 7, 500])
@pytest.mark.parametrize("top_p", [None, 0.2, 0.9, 0.999])
def test_what_is_drawn_from_is_what_their_processors_leave(
    temperature: float, top_k: int | None, top_p: float | None
) -> None:
    logits = 3 * torch.randn(6, 80, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    processors = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    processors += [TopKLogitsWarper(top_k)] if top_k is not None else []
    processors += [TopPLogitsWarper(top_p)] if top_p is not None else []
    expected = processors(torch.zeros(6, 1, dtype=torch.int64), logits).softmax(-1)
    found = sampling_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    assert torch.equal(found > 0, expected > 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
