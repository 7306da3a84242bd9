"""Writing token by token with a cache is the whole-sequence run, whatever happens to the rows on the way."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clearhead.batches.batch import Item, collate
from clearhead.errors import InputError
from clearhead.layers.cache import Cache
from clearhead.layers.positions import POSITIONS
from clearhead.models import encoder_decoder, transformer_decoder
from clearhead.models.encoder_decoder import EncoderDecoder
from clearhead.models.transformer import Transformer, TransformerSpec
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

V, LONGEST = 30, 48
INVENTORY = Inventory(Vocabulary(V), LONGEST, source=Inventory(Vocabulary(V), LONGEST))
RNG = np.random.default_rng(0)
SOURCES = [RNG.integers(1, V, length) for length in (5, 21, 1)]
MASKS: list[dict[str, Any]] = [{}, {"mask": "causal_window", "mask_size": 3}]
SCORES = ("scaled", "plain", "cosine", "additive")
SIZES = {"hidden_size": 8, "initializer_range": 0.5}


def decoder(**fields: Any) -> Transformer:
    torch.manual_seed(0)
    return transformer_decoder.build(TransformerSpec(**SIZES, **fields), INVENTORY).double().eval()


def translator(**fields: Any) -> EncoderDecoder:
    torch.manual_seed(0)
    return encoder_decoder.build(encoder_decoder.Spec(**SIZES, **fields), INVENTORY).double().eval()


def choices() -> list[dict[str, Any]]:
    every = itertools.product(POSITIONS, ("pre", "post"), MASKS, SCORES, (True, False))
    made = [
        {"positions": positions, "norm_place": place, "attention_score": score, "fused": fused, **mask}
        for positions, place, mask, score, fused in every
        if not (positions == "rotary" and score == "additive")
    ]
    return made[::5]  # every pair of choices is still there


def written(model: Any, cache: Cache, rows: list[list[int]]) -> Tensor:
    """The states of each row's tokens, written one by one: (R, T, D)."""
    return torch.stack([model.step(torch.tensor(ids), cache) for ids in zip(*rows, strict=True)], dim=1)


def test_every_pair_of_choices_is_tried() -> None:
    made = [{**choice, "mask": choice.get("mask")} for choice in choices()]
    for one, other in itertools.combinations(("positions", "norm_place", "attention_score", "fused", "mask"), 2):
        values = [{choice[field] for choice in made} for field in (one, other)]
        pairs = {(choice[one], choice[other]) for choice in made}
        missing = set(itertools.product(*values)) - pairs
        assert missing <= {("rotary", "additive")}


@pytest.mark.parametrize("fields", choices(), ids=lambda fields: "-".join(map(str, fields.values())))
@torch.no_grad()
def test_cached_is_whole_behind_a_source_and_behind_prompts(fields: dict[str, Any]) -> None:
    model, length = translator(**fields), 18
    rows = RNG.integers(1, V, (3, length)).tolist()
    batch = collate(
        [Item(np.array(ids), source=Item(source)) for ids, source in zip(rows, SOURCES, strict=True)], packed=True
    )
    whole = batch.layout.grid(model(batch).hidden)
    torch.testing.assert_close(written(model, model.begin(batch, 3), rows), whole, rtol=0, atol=1e-12)

    alone = decoder(**fields)
    texts = [[*prompt.tolist(), *row] for prompt, row in zip(SOURCES, rows, strict=True)]
    states = alone(collate([np.array(text) for text in texts], packed=True)).hidden.split([len(text) for text in texts])
    for packed in (True, False):
        told = written(alone, alone.begin(collate(SOURCES, packed=packed), 3), rows)
        torch.testing.assert_close(told, torch.stack([x[-length:] for x in states]), rtol=0, atol=1e-12)
    from_nothing = written(alone, alone.begin(None, 3), rows)
    expected = alone(collate([np.array(row) for row in rows], packed=True)).hidden
    torch.testing.assert_close(from_nothing.flatten(0, 1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("positions", POSITIONS)
@torch.no_grad()
def test_in_single_precision_within_5e_7(positions: str) -> None:
    model = translator(positions=positions, norm_place="pre").float()
    rows = RNG.integers(1, V, (3, 40)).tolist()
    batch = collate(
        [Item(np.array(ids), source=Item(source)) for ids, source in zip(rows, SOURCES, strict=True)], packed=True
    )
    whole = batch.layout.grid(model(batch).hidden)
    off = (written(model, model.begin(batch, 3), rows) - whole).norm() / whole.norm()
    assert off < 5e-7


@st.composite
def searches(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """Rows a source at first, and at each step which rows go on, in which order."""
    beams = draw(st.integers(1, 3))
    rows, steps = 3 * beams, []
    for _ in range(draw(st.integers(1, 6))):
        steps.append(draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=8)))
        rows = len(steps[-1])
    return beams, steps


def followed(model: Any, cache: Cache, owners: list[int], steps: list[list[int]]) -> tuple[list[list[int]], list[int]]:
    """Writes and selects as told; what each row has written at the end, and which source it reads."""
    draw = np.random.default_rng(7)
    histories: list[list[int]] = [[] for _ in owners]
    for rows in [*steps, list(range(len(steps[-1])))]:
        ids = draw.integers(1, V, len(histories)).tolist()
        model.step(torch.tensor(ids), cache)
        histories = [[*past, token] for past, token in zip(histories, ids, strict=True)]
        cache.select(torch.tensor(rows))
        histories, owners = [histories[row] for row in rows], [owners[row] for row in rows]
    return histories, owners


@settings(max_examples=30)
@given(searches(), st.sampled_from(["rotary", "alibi", "learned"]), st.booleans())
@torch.no_grad()
def test_rows_may_be_reordered_repeated_and_left_out(
    search: tuple[int, list[list[int]]], positions: str, window: bool
) -> None:
    """After any selections a further token has the state that each row's own history gives it, with its own source."""
    beams, steps = search
    fields = MASKS[1] if window else MASKS[0]
    model, alone = translator(positions=positions, **fields), decoder(positions=positions, **fields)
    owners = [number for number in range(3) for _ in range(beams)]
    sources = collate([Item(np.array([1]), source=Item(source)) for source in SOURCES], packed=True)
    cache = model.begin(sources, 3 * beams)
    histories, read = followed(model, cache, owners, steps)
    ids = [[*past, 3] for past in histories]
    batch = collate([Item(np.array(x), source=Item(SOURCES[n])) for x, n in zip(ids, read, strict=True)], packed=True)
    expected = torch.stack([x[-1] for x in model(batch).hidden.split([len(x) for x in ids])])
    here = model.step(torch.full((len(ids),), 3), cache)
    torch.testing.assert_close(here, expected, rtol=0, atol=1e-12)

    cache = alone.begin(collate(SOURCES, packed=True), 3 * beams)
    histories, read = followed(alone, cache, owners, steps)
    texts = [np.array([*SOURCES[n], *past, 3]) for past, n in zip(histories, read, strict=True)]
    whole = alone(collate(texts, packed=True)).hidden.split([len(text) for text in texts])
    here = alone.step(torch.full((len(texts),), 3), cache)
    torch.testing.assert_close(here, torch.stack([x[-1] for x in whole]), rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_store_grows_by_doubling() -> None:
    model = decoder(positions="rotary")
    cache = model.begin(None, 2)
    rows = RNG.integers(1, V, (2, 140)).tolist()
    rooms = []
    for ids in zip(*rows, strict=True):
        model.step(torch.tensor(ids), cache)
        store = cache.layers[0]
        assert store is not None
        rooms.append(store[0].shape[2])
    assert sorted(set(rooms)) == [32, 64, 128, 256]
    expected = model(collate([np.array(row) for row in rows], packed=True)).layout
    assert expected.longest == cache.longest == 140


@torch.no_grad()
def test_beams_of_a_source_move_no_key_and_read_it_once() -> None:
    model = translator()
    batch = collate([Item(np.array([1]), source=Item(source)) for source in SOURCES], packed=True)
    cache = model.begin(batch, 12)
    model.step(torch.ones(12, dtype=torch.int64), cache)
    stores, sources = list(cache.layers), list(cache.source)
    assert sources[0][0].shape[0] == 3
    cache.select(torch.tensor([3, 3, 0, 1, 4, 4, 4, 4, 11, 10, 9, 8]))
    assert all(one is other for one, other in zip((*cache.layers, *cache.source), (*stores, *sources), strict=True))
    cache.select(torch.tensor([8, 8, 8, 9]))
    assert (cache.rows, cache.groups, cache.beams) == (4, 1, 4)


@torch.no_grad()
def test_a_batch_may_lose_all_its_rows() -> None:
    model = decoder()
    cache = model.begin(None, 2)
    model.step(torch.ones(2, dtype=torch.int64), cache)
    cache.select(torch.zeros(0, dtype=torch.int64))
    assert cache.rows == 0


@torch.no_grad()
def test_blocked_keys_of_source_and_prompt_stay_blocked() -> None:
    out = [np.arange(len(source))[:, None] % 2 for source in SOURCES]
    told = [Item(source, features={"blocked": gaps}) for source, gaps in zip(SOURCES, out, strict=True)]
    rows = RNG.integers(1, V, (3, 6)).tolist()
    model = translator()
    batch = collate([Item(np.array(ids), source=one) for ids, one in zip(rows, told, strict=True)], packed=True)
    whole = batch.layout.grid(model(batch).hidden)
    torch.testing.assert_close(written(model, model.begin(batch, 3), rows), whole, rtol=0, atol=1e-12)

    alone = decoder()
    full = [
        Item(np.array([*source, *ids]), features={"blocked": np.concatenate((gaps, np.zeros((6, 1), int)))})
        for source, gaps, ids in zip(SOURCES, out, rows, strict=True)
    ]
    states = alone(collate(full, packed=True)).hidden.split([len(one) for one in full])
    here = written(alone, alone.begin(collate(told, packed=True), 3), rows)
    torch.testing.assert_close(here, torch.stack([x[-6:] for x in states]), rtol=0, atol=1e-12)


@torch.no_grad()
def test_batch_norm_steps_in_evaluation_alone() -> None:
    model = decoder(norm="batch").train()
    batch = collate(SOURCES, packed=True)
    model(batch)
    with pytest.raises(InputError, match=r"batch norm in training reads whole batches; call eval\(\)"):
        model.begin(None, 3)
    rows = [source.tolist() for source in SOURCES[1:2]]
    expected = model.eval()(collate(SOURCES[1:2], packed=True)).hidden
    torch.testing.assert_close(written(model, model.begin(None, 1), rows)[0], expected, rtol=0, atol=1e-12)


def test_what_cannot_step_says_so() -> None:
    batch = collate(SOURCES, packed=True)
    for mask in ({"mask": "full"}, {"mask": "prefix", "mask_size": 4}, {"mask": "window", "mask_size": 1}):
        with pytest.raises(InputError, match=r"tokens see those after them; set model\.mask to causal"):
            decoder(**mask).begin(batch, 3)
    with pytest.raises(InputError, match="batch_position reads whole sequences"):
        decoder(norm="batch_position").begin(None, 1)
    with pytest.raises(InputError, match="4 rows cannot be shared out among 3 sequences; take a multiple of 3"):
        decoder().begin(batch, 4)
    with pytest.raises(InputError, match="reads a source, and the batch has none"):
        translator().begin(batch, 3)


@torch.no_grad()
def test_a_token_past_the_learned_positions_is_refused_by_name() -> None:
    model = decoder(positions="learned")
    cache = model.begin(None, 1)
    for _ in range(LONGEST):
        model.step(torch.tensor([1]), cache)
    with pytest.raises(InputError, match=f"{LONGEST + 1} tokens is longer than the {LONGEST} learned ones"):
        model.step(torch.tensor([1]), cache)
