"""What holds for every objective of the folder, on a trunk that it is meant for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, Item, collate
from clearhead.batches.pairs import join_pair
from clearhead.errors import InputError
from clearhead.evaluation.probes import watch
from clearhead.models import menu as models
from clearhead.objectives import menu
from clearhead.objectives.loss import NOT_ASKED, asked_count, asked_sequences
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.task import Task

VOCABULARY = Vocabulary(size=24, pad=0, unknown=1, begin=2, end=3, mask=4)
INVENTORY = Inventory(VOCABULARY, 16, labels=("A", "B", "C"))
TRUNKS = {
    "bidirectional_lm": "elmo",
    "causal_lm": "transformer_decoder",
    "classification": "bert",
    "contrastive_divergence": "rbm",
    "generative_tagging": "hmm",
    "masked_lm": "transformer_encoder",
    "next_sentence": "bert",
    "reconstruction": "autoencoder",
    "tagging": "transformer_encoder",
}
STACKS = {"autoencoder", "rbm"}  # trunks whose layers the objective itself trains
DRAWS = {"contrastive_divergence"}  # objectives whose total is drawn anew each time: their own tests
TIED = [name for name in TRUNKS if "tie_embeddings" in menu.load(name).Spec.model_fields]


@pytest.fixture
def sequences() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    words = [rng.integers(5, 24, length) for length in (7, 1, 12, 3, 9)]
    return [np.concatenate([[2], ids, [3]]) for ids in words]


def sizes(name: str, layers: int) -> dict[str, object]:
    if TRUNKS[name] in STACKS:
        return {"hidden_sizes": (8,) * layers}
    if TRUNKS[name] == "hmm":
        return {}
    return {"hidden_size": 8, "num_hidden_layers": layers}


def build(name: str, **spec: object) -> Task:
    torch.manual_seed(0)
    trunk_module = models.load(TRUNKS[name])
    trunk = trunk_module.build(trunk_module.Spec(**sizes(name, 2)), INVENTORY)
    module = menu.load(name)
    return Task(trunk, module.build(module.Spec(**spec), trunk, INVENTORY)).double().eval()


def dressed(name: str, ids: np.ndarray) -> Item:
    """A sequence with all that this objective reads beside its tokens; of a single token nothing can be asked."""
    if name == "next_sentence":
        words = ids[1:-1]
        if len(words) < 2:
            return Item(ids, np.zeros_like(ids))
        return join_pair(words[: len(words) // 2], words[len(words) // 2 :], INVENTORY.max_length, VOCABULARY)
    if name == "classification":
        return Item(ids, labels={"class": np.array([len(ids) % 3 if len(ids) > 1 else NOT_ASKED, *ids[1:] * 0 - 100])})
    if name in ("tagging", "generative_tagging"):
        return Item(ids, labels={"tags": ids % 4 - 1 if len(ids) > 1 else ids * 0 + NOT_ASKED})
    return Item(ids)


def laid(name: str, sequences: list[np.ndarray], *, packed: bool = True) -> Batch:
    return collate([dressed(name, ids) for ids in sequences], packed=packed)


def ask(name: str, task: Task, sequences: list[np.ndarray], *, packed: bool = True, seed: int = 1) -> Batch:
    return task.ask(laid(name, sequences, packed=packed), torch.Generator().manual_seed(seed))


def part(asked: Batch, first: int, last: int, *, packed: bool) -> Batch:
    """Sequences first..last of an asked packed batch, with all that lies beside their tokens."""
    lengths = asked.layout.lengths.tolist()

    def rows(stream: Tensor) -> list[np.ndarray]:
        return [row.numpy() for row in stream.split(lengths)[first:last]]

    ids = rows(asked.token_ids)
    types = [None] * len(ids) if asked.token_type_ids is None else rows(asked.token_type_ids)
    labels, features = ({name: rows(map_) for name, map_ in maps.items()} for maps in (asked.labels, asked.features))
    items = [
        Item(row, kinds, *({name: map_[number] for name, map_ in maps.items()} for maps in (labels, features)))
        for number, (row, kinds) in enumerate(zip(ids, types, strict=True))
    ]
    return collate(items, packed=packed)


def test_every_objective_has_its_trunk_here() -> None:
    assert menu.objective_names() == sorted(TRUNKS)


def test_an_unknown_name_gets_the_nearest() -> None:
    for name in ("mask_lm", "loss", "decoder", "os"):
        with pytest.raises(InputError, match="is not one of bidirectional_lm, causal_lm, "):
            menu.load(name)
    with pytest.raises(InputError, match="did you mean 'masked_lm'"):
        menu.load("mask_lm")


@pytest.mark.parametrize("name", [name for name in TRUNKS if name not in DRAWS])
def test_parts_add_up_to_the_whole(name: str, sequences: list[np.ndarray]) -> None:
    task = build(name)
    asked = ask(name, task, sequences)
    whole = task(asked)
    for packed in (True, False):
        parts = [task(part(asked, *ends, packed=packed)) for ends in ((0, 1), (1, 3), (3, 5))]
        assert sum(int(loss.count) for loss in parts) == int(whole.count) == asked_count(asked) == len(whole.each)
        torch.testing.assert_close(sum(loss.total for loss in parts), whole.total, rtol=0, atol=1e-12)
    torch.testing.assert_close(whole.each.sum(), whole.total, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in TRUNKS if name not in DRAWS])
def test_dense_and_packed_ask_and_judge_alike(name: str, sequences: list[np.ndarray]) -> None:
    task = build(name)
    packed, dense = ask(name, task, sequences), ask(name, task, sequences, packed=False)
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
    task, batch = build(name), laid(name, sequences)
    before, labels = batch.token_ids.clone(), set(batch.labels)
    asked = task.ask(batch, torch.Generator().manual_seed(1))
    assert torch.equal(batch.token_ids, before)
    assert set(batch.labels) == labels
    assert asked_count(asked) > 0


@pytest.mark.parametrize("name", TRUNKS)
@pytest.mark.parametrize("packed", [True, False])
def test_one_token_alone_asks_nothing_and_harms_nothing(name: str, packed: bool) -> None:
    task = build(name)
    asked = ask(name, task, [np.array([2]), np.array([3])], packed=packed)
    loss = task(asked)
    assert (loss.total.item(), int(loss.count), len(loss.each), asked_count(asked)) == (0.0, 0, 0, 0)
    loss.total.backward()
    assert all(p.grad is None or torch.count_nonzero(p.grad) == 0 for p in task.parameters())


@pytest.mark.parametrize("name", TRUNKS)
def test_each_item_knows_its_sentence(name: str, sequences: list[np.ndarray]) -> None:
    task = build(name)
    asked = ask(name, task, sequences)
    owners = asked_sequences(asked)
    whole = task(asked)
    for number in range(len(sequences)):
        alone = task(part(asked, number, number + 1, packed=True))
        torch.testing.assert_close(whole.each[owners == number], alone.each, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TIED)
def test_nothing_asked_leaks_into_the_input(name: str, sequences: list[np.ndarray]) -> None:
    """No asked item's loss depends on the embedding at the place of its own answer, unless that place shows a mask."""
    task = build(name, **({"mask_share": 1.0, "random_share": 0.0, "keep_share": 0.0} if name == "masked_lm" else {}))
    asked = ask(name, task, sequences)
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


@pytest.mark.parametrize("name", [name for name in TRUNKS if TRUNKS[name] not in STACKS])
def test_equal_seeds_give_equal_heads_on_any_depth(name: str) -> None:
    """Arms of a comparison that differ in the trunk start with the same head."""
    module, trunk_module = menu.load(name), models.load(TRUNKS[name])
    heads = []
    for layers in (1, 3):
        torch.manual_seed(4)
        trunk = trunk_module.build(trunk_module.Spec(**sizes(name, layers)), INVENTORY)
        untied = {"tie_embeddings": False} if name in TIED else {}
        heads.append(module.build(module.Spec(**untied), trunk, INVENTORY).state_dict())
    assert heads[0].keys() == heads[1].keys()
    assert all(torch.equal(heads[0][key], heads[1][key]) for key in heads[0])
    if name in TIED:
        assert 0.015 < heads[0]["decoder.weight"].std() < 0.025


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize("tied", [True, False])
def test_the_head_owns_no_trunk(name: str, tied: bool) -> None:
    task = build(name, tie_embeddings=tied)
    shared = {id(p) for p in task.objective.parameters()} & {id(p) for p in task.model.parameters()}  # type: ignore[attr-defined]
    assert len(shared) == tied
    assert all(not isinstance(module, type(task.model)) for module in task.objective.modules())  # type: ignore[attr-defined]
    assert isinstance(task.objective, nn.Module)
