"""What every model of the folder keeps. A new file is tested here without a change."""

from __future__ import annotations

import copy
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch, Item, collate
from clearhead.models import menu

sys.path.insert(0, str(Path(__file__).parent))
from small_models import INVENTORY, READS_NO_SINGLE_TOKEN, SMALL, TRUNK

Make = Callable[..., nn.Module]
TOLERANCE = 1e-12
NAMES = menu.model_names()


def variants() -> list[tuple[str, dict[str, str]]]:
    """Every model as it comes, and once for each other choice of a field with few."""
    found: list[tuple[str, dict[str, str]]] = []
    for name in NAMES:
        fields = menu.load(name).Spec.model_json_schema()["properties"]
        choices = {field: about["enum"] for field, about in fields.items() if "enum" in about}
        found.append((name, {}))
        found += [(name, {field: choice}) for field, names in choices.items() for choice in names]
    return [(name, fields) for name, fields in found if "batch_padded" not in fields.values()]


EVERY = pytest.mark.parametrize(("name", "fields"), variants())


@EVERY
def test_dense_equals_packed_at_every_layer(
    name: str, fields: dict[str, str], make_model: Make, sequences: list[Item]
) -> None:
    model = make_model(name, **fields)
    packed, dense = (copy.deepcopy(model)(collate(sequences, packed=packed)) for packed in (True, False))
    assert len(packed.layers) == len(dense.layers) >= 1
    for one, other in zip((packed.hidden, *packed.layers), (dense.hidden, *dense.layers), strict=True):
        torch.testing.assert_close(one, dense.layout.take_real(other), rtol=0, atol=TOLERANCE)
    assert packed.hidden.shape == (packed.layout.tokens, model.width)


@EVERY
def test_alone_equals_in_a_batch_and_pads_change_nothing(
    name: str, fields: dict[str, str], make_model: Make, sequences: list[Item]
) -> None:
    model = make_model(name, **fields)
    model(collate(sequences, packed=True))
    model.eval()
    alone = torch.cat([model(collate([one], packed=True)).hidden for one in sequences])
    for batch in (collate(sequences, packed=True), collate(sequences, packed=False, longest=31, pad=7)):
        together = batch.layout.take_real(model(batch).hidden)
        torch.testing.assert_close(alone, together, rtol=0, atol=TOLERANCE)


@EVERY
def test_the_order_of_the_batch_changes_nothing(
    name: str, fields: dict[str, str], make_model: Make, sequences: list[Item]
) -> None:
    model = make_model(name, **fields).eval()
    lengths = [len(one) for one in sequences]
    onward = model(collate(sequences, packed=True)).hidden.split(lengths)
    reversed_order = model(collate(sequences[::-1], packed=True)).hidden.split(lengths[::-1])
    for one, other in zip(onward, reversed_order[::-1], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=TOLERANCE)


@EVERY
def test_equal_seeds_build_equal_models_and_other_seeds_others(
    name: str, fields: dict[str, str], make_model: Make
) -> None:
    one, other = make_model(name, **fields).state_dict(), make_model(name, **fields).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    module = menu.load(name)
    torch.manual_seed(1)
    another = module.build(module.Spec(**{**SMALL.get(name, TRUNK), **fields}), INVENTORY)
    assert any(not torch.equal(value.double(), one[key]) for key, value in another.state_dict().items())


@EVERY
def test_saved_and_loaded_it_says_the_same(
    name: str, fields: dict[str, str], make_model: Make, sequences: list[Item]
) -> None:
    model, batch = make_model(name, **fields), collate(sequences, packed=True)
    model(batch)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    again = make_model(name, **fields)
    for parameter in again.parameters():
        nn.init.zeros_(parameter)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again.eval()(batch).hidden, model.eval()(batch).hidden)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in READS_NO_SINGLE_TOKEN])
@pytest.mark.parametrize("packed", [True, False])
def test_it_learns_a_few_sequences_by_heart(
    name: str, packed: bool, make_model: Make, sequences: list[Item]
) -> None:
    """Each token's own number, from its state: nothing that a trunk may not know."""
    model = make_model(name, **({} if name in SMALL else {"hidden_size": 16})).float()
    read_out = nn.Linear(model.width, 30)  # type: ignore[arg-type]
    batch: Batch = collate(sequences, packed=packed)
    optimizer = torch.optim.AdamW([*model.parameters(), *read_out.parameters()], lr=2e-2)
    real = batch.layout.real
    for _ in range(60):
        loss = F.cross_entropy(read_out(model(batch).hidden[real]), batch.token_ids[real])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3
    with torch.inference_mode():
        assert (read_out(model.eval()(batch).hidden[real]).argmax(-1) == batch.token_ids[real]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_scored_first_can_be_trained_on_later(name: str, make_model: Make, sequences: list[Item]) -> None:
    model, batch = make_model(name), collate(sequences, packed=True)
    with torch.inference_mode():
        model.eval()(batch)
    model.train()(batch).hidden.sum().backward()
    assert any(parameter.grad is not None for parameter in model.parameters())


@EVERY
def test_it_says_whether_its_states_have_seen_what_comes_after(
    name: str, fields: dict[str, str], make_model: Make, sequences: list[Item]
) -> None:
    model, item = make_model(name, **fields).eval(), sequences[0]
    ids = np.array(item.token_ids)
    ids[1] = 10 if ids[1] != 10 else 11
    features = {name: np.array(rows) for name, rows in item.features.items()}
    for rows in features.values():
        rows[1] = (rows[1] + 1) % 12
    changed = replace(item, token_ids=ids, features=features)
    before, after = (model(collate([one], packed=True)).hidden[0] for one in (item, changed))
    assert (not torch.equal(before, after)) == getattr(model, "sees_ahead", False)
