"""What holds for every objective of the folder, on a trunk that it is meant for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.evaluation.probes import watch
from clearhead.models import menu as models
from clearhead.objectives import menu
from clearhead.objectives.loss import NOT_ASKED, asked_count, asked_sequences
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.task import Task

VOCABULARY = Vocabulary(size=24, pad=0, unknown=1, begin=2, end=3, mask=4)
INVENTORY = Inventory(VOCABULARY, 16)
TRUNKS = {"bidirectional_lm": "elmo", "causal_lm": "transformer_decoder", "masked_lm": "transformer_encoder"}


@pytest.fixture
def sequences() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    words = [rng.integers(5, 24, length) for length in (7, 1, 12, 3, 9)]
    return [np.concatenate([[2], ids, [3]]) for ids in words]


def build(name: str, **spec: object) -> Task:
    torch.manual_seed(0)
    trunk_module = models.load(TRUNKS[name])
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "dropout": 0.0}
    trunk = trunk_module.build(trunk_module.Spec(**sizes), INVENTORY)
    module = menu.load(name)
    return Task(trunk, module.build(module.Spec(**spec), trunk, INVENTORY)).double().eval()


def ask(task: Task, sequences: list[np.ndarray], *, packed: bool = True, seed: int = 1) -> Batch:
    return task.ask(collate(sequences, packed=packed), torch.Generator().manual_seed(seed))


def part(asked: Batch, first: int, last: int, *, packed: bool) -> Batch:
    """Sequences first..last of an asked packed batch, labels and all."""
    lengths = asked.layout.lengths.tolist()
    chosen = collate([ids.numpy() for ids in asked.token_ids.split(lengths)[first:last]], packed=packed)
    labels = {}
    for name, values in asked.labels.items():
        labels[name] = torch.full_like(chosen.token_ids, NOT_ASKED)
        labels[name][chosen.layout.real] = torch.cat(values.split(lengths)[first:last])
    return replace(chosen, labels=labels)


def test_every_objective_has_its_trunk_here() -> None:
    assert menu.objective_names() == sorted(TRUNKS)


def test_an_unknown_name_gets_the_nearest() -> None:
    for name in ("mask_lm", "loss", "decoder", "os"):
        with pytest.raises(InputError, match="is not one of bidirectional_lm, causal_lm, masked_lm"):
            menu.load(name)
    with pytest.raises(InputError, match="did you mean 'masked_lm'"):
        menu.load("mask_lm")


@pytest.mark.parametrize("name", TRUNKS)
def test_parts_add_up_to_the_whole(name: str, sequences: list[np.ndarray]) -> None:
    task = build(name)
    asked = ask(task, sequences)
    whole = task(asked)
    for packed in (True, False):
        parts = [task(part(asked, *ends, packed=packed)) for ends in ((0, 1), (1, 3), (3, 5))]
        assert sum(int(loss.count) for loss in parts) == int(whole.count) == asked_count(asked) == len(whole.each)
        torch.testing.assert_close(sum(loss.total for loss in parts), whole.total, rtol=0, atol=1e-12)
    torch.testing.assert_close(whole.each.sum(), whole.total, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TRUNKS)
def test_dense_and_packed_ask_and_judge_alike(name: str, sequences: list[np.ndarray]) -> None:
    task = build(name)
    packed, dense = ask(task, sequences), ask(task, sequences, packed=False)
    assert packed.labels.keys() == dense.labels.keys()
    for label in packed.labels:
        assert torch.equal(packed.labels[label], dense.labels[label][dense.layout.real])
        assert (dense.labels[label][~dense.layout.real] == NOT_ASKED).all()
    assert torch.equal(packed.token_ids, dense.token_ids[dense.layout.real])
    left, right = task(packed), task(dense)
    torch.testing.assert_close(left.each, right.each, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(loss.total, list(task.parameters()), allow_unused=True) for loss in (left, right)]
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", TRUNKS)
def test_asking_leaves_the_batch_as_it_was(name: str, sequences: list[np.ndarray]) -> None:
    task, batch = build(name), collate(sequences, packed=True)
    before = batch.token_ids.clone()
    asked = task.ask(batch, torch.Generator().manual_seed(1))
    assert torch.equal(batch.token_ids, before)
    assert not batch.labels
    assert asked_count(asked) > 0


@pytest.mark.parametrize("name", TRUNKS)
@pytest.mark.parametrize("packed", [True, False])
def test_one_token_alone_asks_nothing_and_harms_nothing(name: str, packed: bool) -> None:
    task = build(name)
    asked = ask(task, [np.array([2]), np.array([3])], packed=packed)
    loss = task(asked)
    assert (loss.total.item(), int(loss.count), len(loss.each), asked_count(asked)) == (0.0, 0, 0, 0)
    loss.total.backward()
    assert all(p.grad is None or torch.count_nonzero(p.grad) == 0 for p in task.parameters())


@pytest.mark.parametrize("name", TRUNKS)
def test_each_item_knows_its_sentence(name: str, sequences: list[np.ndarray]) -> None:
    task = build(name)
    asked = ask(task, sequences)
    owners = asked_sequences(asked)
    whole = task(asked)
    for number in range(len(sequences)):
        alone = task(part(asked, number, number + 1, packed=True))
        torch.testing.assert_close(whole.each[owners == number], alone.each, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TRUNKS)
def test_nothing_asked_leaks_into_the_input(name: str, sequences: list[np.ndarray]) -> None:
    """No asked item's loss depends on the embedding at the place of its own answer, unless that place shows a mask."""
    task = build(name, **({"mask_share": 1.0, "random_share": 0.0, "keep_share": 0.0} if name == "masked_lm" else {}))
    asked = ask(task, sequences)
    with watch(task.model, ["token_embedding"]) as seen:
        each = task(asked).each
    (embedded,) = seen["token_embedding"]
    places = [(label, place.item()) for label, values in asked.labels.items() for place in (values != -100).nonzero()]
    for item, (label, place) in zip(each, places, strict=True):
        reach = torch.autograd.grad(item, embedded, retain_graph=True)[0].reshape(-1, 8).abs().sum(-1)  # (N,)
        answer = place + {"next": 1, "previous": -1, "masked": 0}[label]
        assert_hidden(asked, label, answer, reach)


def assert_hidden(asked: Batch, label: str, answer: int, reach: Tensor) -> None:
    if label == "masked":
        assert asked.token_ids[answer] == VOCABULARY.mask
    elif label == "next":
        assert torch.count_nonzero(reach[answer:]) == 0
        assert reach[answer - 1] > 0
    else:
        assert torch.count_nonzero(reach[: answer + 1]) == 0
        assert reach[answer + 1] > 0


@pytest.mark.parametrize("name", TRUNKS)
def test_equal_seeds_give_equal_heads_on_any_depth(name: str) -> None:
    """Arms of a comparison that differ in the trunk start with the same head."""
    module, trunk_module = menu.load(name), models.load(TRUNKS[name])
    heads = []
    for layers in (1, 3):
        torch.manual_seed(4)
        trunk = trunk_module.build(trunk_module.Spec(hidden_size=8, num_hidden_layers=layers), INVENTORY)
        heads.append(module.build(module.Spec(tie_embeddings=False), trunk, INVENTORY).state_dict())
    assert heads[0].keys() == heads[1].keys()
    assert all(torch.equal(heads[0][key], heads[1][key]) for key in heads[0])
    assert 0.015 < heads[0]["decoder.weight"].std() < 0.025


@pytest.mark.parametrize("name", TRUNKS)
@pytest.mark.parametrize("tied", [True, False])
def test_the_head_owns_no_trunk(name: str, tied: bool) -> None:
    task = build(name, tie_embeddings=tied)
    shared = {id(p) for p in task.objective.parameters()} & {id(p) for p in task.model.parameters()}  # type: ignore[attr-defined]
    assert len(shared) == tied
    assert all(not isinstance(module, type(task.model)) for module in task.objective.modules())  # type: ignore[attr-defined]
    assert isinstance(task.objective, nn.Module)
