"""The LSTM trunk: what it reads, what it drops, what it carries. Torch's own: tests/parity."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from clearhead.batches.batch import Batch, Item, collate
from clearhead.errors import InputError
from clearhead.evaluation.probes import influence, watch
from clearhead.models import lstm
from clearhead.objectives import masked_lm
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

INVENTORY = Inventory(Vocabulary(20), 16, characters=9)
RNG = np.random.default_rng(0)
ITEMS = [
    Item(RNG.integers(5, 20, length), features={"characters": RNG.integers(0, 9, (length, 4))}) for length in (5, 2, 8)
]
BATCH = collate(ITEMS, packed=True)
FIELDS = pytest.mark.parametrize(
    "fields",
    [{}, {"bidirectional": True}, {"input": "characters"}, {"input": "both", "projection": True, "embedding_size": 5}],
    ids=str,
)


def build(**fields: Any) -> lstm.StackedLSTM:
    torch.manual_seed(0)
    return lstm.build(lstm.Spec(**{"hidden_size": 6, **fields}), INVENTORY).double().eval()


def states(model: lstm.StackedLSTM, batch: Batch = BATCH) -> torch.Tensor:
    with torch.inference_mode():
        hidden: torch.Tensor = model(batch).hidden
    return hidden


@FIELDS
def test_what_it_says_of_a_sentence_never_changes(fields: dict[str, Any]) -> None:
    """Twice; after other sentences; saved and loaded: bit by bit. In another batch: to the last bits of float64."""
    model = build(**fields)
    one, others = collate(ITEMS[:1], packed=True), collate(ITEMS[1:], packed=True)
    first = states(model, one)
    states(model, others)
    model.train()(others)
    model.eval()
    assert torch.equal(states(model, one), first)
    assert torch.equal(states(model, one), first)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    torch.manual_seed(5)
    again = lstm.build(lstm.Spec(**{"hidden_size": 6, **fields}), INVENTORY).double().eval()
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(states(again, one), first)
    torch.testing.assert_close(states(model)[:5], first, rtol=0, atol=1e-14)


def test_writing_in_between_leaves_what_is_read_as_it_is() -> None:
    model = build()
    first = states(model)
    cache = model.begin(None, 3)
    model.step(torch.tensor([5, 6, 7]), cache)
    assert torch.equal(states(model), first)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_who_sees_whom(bidirectional: bool) -> None:
    model = build(bidirectional=bidirectional, num_hidden_layers=2)

    def read(embedded: torch.Tensor) -> torch.Tensor:
        hook = model.token_embedding.register_forward_hook(lambda *_: embedded)
        try:
            hidden: torch.Tensor = model(BATCH).hidden
        finally:
            hook.remove()
        return hidden

    seen = influence(read, torch.randn(BATCH.layout.tokens, 6)) > 0
    where, place = BATCH.layout.sequence_ids, BATCH.layout.position_ids
    same = where[:, None] == where
    assert torch.equal(seen, same if bidirectional else same & (place[:, None] >= place))


@pytest.mark.parametrize("fields", [{}, {"projection": True, "embedding_size": 4}], ids=str)
def test_step_by_step_is_the_whole_run(fields: dict[str, Any]) -> None:
    model = build(**fields)
    ids = torch.tensor([[5, 9, 7, 6], [8, 8, 19, 5]])
    whole = model(collate(list(ids), packed=True)).hidden.reshape(2, 4, -1)
    cache = model.begin(None, 2)
    for place in range(4):
        torch.testing.assert_close(model.step(ids[:, place], cache), whole[:, place], rtol=0, atol=1e-13)


def test_rows_go_on_from_their_prompts_and_may_change_places() -> None:
    model = build()
    prompts = collate([np.array([5, 9, 7]), np.array([8])], packed=False, pad=11)
    cache = model.begin(prompts, 4)
    stepped = model.step(torch.tensor([6, 7, 6, 7]), cache)
    cache.select(torch.tensor([3, 0, 0]))
    after = model.step(torch.tensor([10, 11, 12]), cache)
    for row, written in ((0, [5, 9, 7, 6]), (1, [5, 9, 7, 7]), (2, [8, 6]), (3, [8, 7])):
        whole = model(collate([np.array(written)], packed=True)).hidden[-1]
        torch.testing.assert_close(stepped[row], whole, rtol=0, atol=1e-13)
    for row, written in ((0, [8, 7, 10]), (1, [5, 9, 7, 6, 11]), (2, [5, 9, 7, 6, 12])):
        whole = model(collate([np.array(written)], packed=True)).hidden[-1]
        torch.testing.assert_close(after[row], whole, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("fields", "told"), [({"bidirectional": True}, "model.bidirectional"), ({"input": "both"}, "model.input to tokens")]
)
def test_who_cannot_write_says_so(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        build(**fields).begin(None, 1)


def test_prompts_are_shared_out_evenly() -> None:
    with pytest.raises(InputError, match="4 rows cannot be shared out among 3"):
        build().begin(BATCH, 4)


@pytest.mark.parametrize("kind", ["plain", "variational"])
def test_dropout_falls_on_what_each_layer_reads_and_on_the_last(kind: str) -> None:
    model = build(dropout=0.5, dropout_kind=kind, hidden_size=40, num_hidden_layers=3)
    torch.manual_seed(1)
    with watch(model, ["dropout"]) as seen:
        model.train()(BATCH)
    assert len(seen["dropout"]) == 4
    for dropped in seen["dropout"]:
        masks = [(one == 0).unique(dim=0) for one in dropped.split(BATCH.layout.sizes)]
        assert [len(mask) for mask in masks] == ([1, 1, 1] if kind == "variational" else BATCH.layout.sizes)
    with watch(model, ["dropout"]) as seen:
        model.eval()(BATCH)
    assert all((kept != 0).all() for kept in seen["dropout"])


def test_word_dropout_leaves_out_words() -> None:
    model = build(word_dropout=0.5)
    torch.manual_seed(1)
    with watch(model, ["word_dropout"]) as seen:
        model.train()(BATCH)
    (embedded,) = seen["word_dropout"]
    gone = (embedded == 0).all(-1)
    assert 0 < gone.sum() < len(gone)
    assert all(len(gone[BATCH.token_ids == word].unique()) == 1 for word in BATCH.token_ids.unique())


def test_a_projection_lets_a_head_be_tied() -> None:
    model = build(projection=True, embedding_size=5, bidirectional=True)
    head = masked_lm.build(masked_lm.Spec(tie_embeddings=True), model, INVENTORY)
    assert head.decoder.weight is model.token_embedding.weight
    assert (model.width, build(bidirectional=True).width, build().width) == (5, 12, 6)


def test_characters_alone_decide_where_they_alone_are_read() -> None:
    from_characters, from_both = build(input="characters"), build(input="both")
    other = collate([Item(item.token_ids[::-1].copy(), features=item.features) for item in ITEMS], packed=True)
    assert torch.equal(states(from_characters), states(from_characters, other))
    assert not torch.equal(states(from_both), states(from_both, other))
    assert not hasattr(from_characters, "token_embedding")


def test_layers_are_the_embedding_and_each_layer() -> None:
    layers = build(num_hidden_layers=3, embedding_size=4, bidirectional=True)(BATCH).layers
    assert [layer.shape[1] for layer in layers] == [4, 12, 12, 12]


def test_data_without_characters_is_refused_with_the_mend() -> None:
    with pytest.raises(InputError, match=r"set model\.input to tokens"):
        lstm.build(lstm.Spec(input="both"), Inventory(Vocabulary(20), 16))
    with pytest.raises(InputError, match="no feature map 'characters'"):
        build(input="characters")(collate([np.array([5, 6])], packed=True))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"input": "character"}, "did you mean 'characters'"),
        ({"characters": {"highways": 2}}, "set input to characters"),
        ({"input": "characters", "word_dropout": 0.1}, "word_dropout leaves out rows"),
        ({"input": "characters", "characters": {"filters": [[0, 4]]}}, "filters are pairs"),
        ({"input": "characters", "characters": {"filter": []}}, "did you mean 'filters'"),
        ({"dropout_kind": "locked"}, "is not one of plain, variational"),
        ({"hidden_size": 0}, "model.hidden_size"),
    ],
)
def test_what_is_not_offered_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(lstm.Spec, fields, "model")
