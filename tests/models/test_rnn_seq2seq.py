"""The RNN encoder-decoder against the equations, written out step by step, and against values worked out by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.batch import Batch, Item, collate
from clearhead.errors import InputError
from clearhead.evaluation.probes import influence, watch
from clearhead.layers.alignment import ALIGNMENT_SCORES, Alignment, ConcatScore
from clearhead.layers.decoding_beam import beam
from clearhead.layers.decoding_sampling import greedy
from clearhead.models import rnn_seq2seq
from clearhead.objectives import causal_lm
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

D, LAYERS = 6, 2
INVENTORY = Inventory(Vocabulary(12), 16, source=Inventory(Vocabulary(9), 16))
RNG = np.random.default_rng(0)
ITEMS = [
    Item(RNG.integers(5, 12, length), source=Item(RNG.integers(5, 9, source)))
    for length, source in ((4, 3), (7, 1), (1, 5), (3, 3))
]
PACKED, DENSE = (collate(ITEMS, packed=packed) for packed in (True, False))
SCORES = list(ALIGNMENT_SCORES)
EVERY = pytest.mark.parametrize(
    "fields",
    [
        {"attention": attention, "encoder_direction": direction, "input_feeding": feeding}
        for attention in ("none", *SCORES)
        for direction in ("forward", "reversed", "bidirectional")
        for feeding in (False, True)
        if not (feeding and attention == "none")
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
ATOL = 1e-12


def build(**fields: Any) -> rnn_seq2seq.RNNSeq2Seq:
    torch.manual_seed(0)
    spec = rnn_seq2seq.Spec(**{"hidden_size": D, "num_hidden_layers": LAYERS, **fields})
    return rnn_seq2seq.build(spec, INVENTORY).double().eval()


def as_cell(lstm: nn.LSTM) -> nn.LSTMCell:
    cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size).double()
    cell.load_state_dict({name: getattr(lstm, f"{name}_l0") for name in cell.state_dict()})
    return cell


def over(lstm: nn.LSTM, inputs: list[Tensor]) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
    """torch's cell, step by step, from zeros."""
    cell, outputs = as_cell(lstm), []
    state = (torch.zeros(lstm.hidden_size).double(), torch.zeros(lstm.hidden_size).double())
    for x in inputs:
        state = cell(x, state)
        outputs.append(state[0])
    return outputs, state


def score_by_hand(score: nn.Module, state: Tensor, source: Tensor) -> Tensor:
    """Luong et al. 2015, eq. 8, and Bahdanau et al. 2014, for one pair of states."""
    weights = dict(score.named_parameters())
    if not weights:
        return state @ source
    if len(weights) == 1:
        return state @ weights["matrix.weight"] @ source
    if len(weights) == 3:
        inner = weights["query.weight"] @ state + weights["key.weight"] @ source
    else:
        inner = weights["matrix.weight"] @ torch.cat((state, source))
    return weights["vector.weight"][0] @ torch.tanh(inner)


def by_the_equations(model: rnn_seq2seq.RNNSeq2Seq, item: Item) -> tuple[Tensor, Tensor]:
    """The target's states (T, D) and alignments (T, S) of one pair, a loop over steps and one over source words."""
    source_ids, target_ids = torch.as_tensor(item.source.token_ids), torch.as_tensor(item.token_ids)  # type: ignore[union-attr]
    inputs = list(model.source_embedding(source_ids))
    starts = []
    for layer in model.source_layers:
        halves, lasts = [], []
        if layer.ahead is not None:
            outputs, last = over(layer.ahead.cell, inputs)
            halves.append(outputs)
            lasts.append(last)
        if layer.behind is not None:
            outputs, last = over(layer.behind.cell, inputs[::-1])
            halves.append(outputs[::-1])
            lasts.append(last)
        inputs = [torch.cat(parts) for parts in zip(*halves, strict=True)]
        starts.append(tuple(torch.cat(parts) for parts in zip(*lasts, strict=True)))
    states, alignments, fed = [], [], torch.zeros(D).double()
    cells = [as_cell(layer.cell) for layer in model.target_layers]
    for word in target_ids:
        x = model.token_embedding(word)
        if model.input_feeding:
            x = torch.cat((x, fed))
        for number, cell in enumerate(cells):
            starts[number] = cell(x, starts[number])
            x = starts[number][0]
        if model.alignment is not None:
            scores = torch.stack([score_by_hand(model.alignment.score, x, one) for one in inputs])
            weights = scores.exp() / scores.exp().sum()
            context = sum(weight * one for weight, one in zip(weights, inputs, strict=True))
            x = fed = torch.tanh(model.alignment.output.weight @ torch.cat((context, x)))
            alignments.append(weights)
        states.append(x)
    return torch.stack(states), torch.stack(alignments) if alignments else torch.zeros(0)


@EVERY
@pytest.mark.parametrize("batch", [PACKED, DENSE], ids=["packed", "dense"])
@torch.no_grad()
def test_states_and_alignments_are_those_of_the_equations(fields: dict[str, Any], batch: Batch) -> None:
    model = build(**fields)
    names = ["alignment.weights"] if model.alignment is not None else []
    with watch(model, names) as seen:
        states = model(batch)
    ours = batch.layout.take_real(states.hidden).split([len(item) for item in ITEMS])
    if names:
        weights = torch.cat(seen["alignment.weights"], dim=1)  # (B, T, S), one step a time under input feeding
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0, atol=ATOL)
    for number, (item, found) in enumerate(zip(ITEMS, ours, strict=True)):
        expected, alignment = by_the_equations(model, item)
        torch.testing.assert_close(found, expected, rtol=0, atol=ATOL)
        if names:
            length = len(item.source)  # type: ignore[arg-type]
            torch.testing.assert_close(weights[number, : len(item), :length], alignment, rtol=0, atol=ATOL)
            assert torch.count_nonzero(weights[number, :, length:]) == 0


@EVERY
def test_step_by_step_is_the_whole_sequence_at_once(fields: dict[str, Any]) -> None:
    model = build(**fields)
    whole = PACKED.layout.grid(model(PACKED).hidden)
    cache = model.begin(PACKED, len(ITEMS))
    for place in range(PACKED.layout.longest):
        state = model.step(PACKED.layout.grid(PACKED.token_ids)[:, place], cache)
        real = PACKED.layout.real_grid[:, place]
        torch.testing.assert_close(state[real], whole[real, place], rtol=0, atol=ATOL)


@EVERY
def test_selected_rows_go_on_from_what_theirs_have_written(fields: dict[str, Any]) -> None:
    """Reordered within sources, then across them, then fewer: always as if the row had been written alone."""
    model, rng = build(**fields), np.random.default_rng(1)
    cache = model.begin(PACKED, 2 * len(ITEMS))
    written: list[tuple[int, list[int]]] = [(number // 2, []) for number in range(2 * len(ITEMS))]
    for rows in ([1, 0, 2, 2, 4, 5, 7, 6], [7, 0, 3, 3, 1, 2, 5, 6], [6, 2, 2], [0, 1, 2]):
        ids = rng.integers(5, 12, len(written)).tolist()
        model.step(torch.tensor(ids), cache)
        written = [(source, [*before, one]) for (source, before), one in zip(written, ids, strict=True)]
        cache.select(torch.tensor(rows))
        written = [written[row] for row in rows]
    last = rng.integers(5, 12, len(written)).tolist()
    found = model.step(torch.tensor(last), cache)
    for row, (source, before), one in zip(found, written, last, strict=True):
        alone = collate([Item(np.array([*before, one]), source=ITEMS[source].source)], packed=True)
        torch.testing.assert_close(row, model(alone).hidden[-1], rtol=0, atol=ATOL)


def test_a_beam_over_the_model_is_a_beam_over_each_source_alone() -> None:
    model = build(input_feeding=True, initializer_range=2.0)

    def step(token_ids: Tensor, cache: rnn_seq2seq.Cache) -> Tensor:
        return 3 * model.step(token_ids, cache) @ model.token_embedding.weight.T

    def search(batch: Batch) -> Any:
        begin = torch.full((len(batch.layout.sizes),), 2)
        found = beam(step, model.begin(batch, len(begin)), begin, end=3, max_length=8, beams=3, length_penalty=1.0)
        assert greedy(step, model.begin(batch, len(begin)), begin, end=3, max_length=8)
        return [[(one.token_ids, round(one.score, 9)) for one in hypotheses] for hypotheses in found]

    assert search(PACKED) == [search(collate([item], packed=True))[0] for item in ITEMS]


def test_alignment_by_hand() -> None:
    """h = (1, 0), sources (1, 0), (0, 2), (1, 1): scores 1, 0, 1, so weights e, 1, e over 2 e + 1."""
    alignment = Alignment(2, ALIGNMENT_SCORES["dot"](2)).double()
    nn.init.zeros_(alignment.output.weight)
    with torch.no_grad():
        alignment.output.weight[0, 1] = alignment.output.weight[1, 2] = 0.5  # h~ = tanh(c_2 / 2), tanh(h_1 / 2)
    sources = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]], dtype=torch.float64)
    state = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    with watch(alignment, ["weights"]) as seen:
        found = alignment(state, alignment.remember(sources, None))
    total = 2 * math.e + 1
    expected = torch.tensor([[[math.e, 1, math.e]]], dtype=torch.float64) / total
    torch.testing.assert_close(seen["weights"][0], expected, rtol=0, atol=1e-15)
    context = (2 + math.e) / total
    by_hand = torch.tensor([[[math.tanh(context / 2), math.tanh(0.5)]]], dtype=torch.float64)
    torch.testing.assert_close(found, by_hand, rtol=0, atol=1e-15)
    with watch(alignment, ["weights"]) as seen:
        alignment(state, alignment.remember(sources, torch.tensor([[True, True, False]])))
    expected = torch.tensor([[[math.e, 1, 0]]], dtype=torch.float64) / (math.e + 1)
    torch.testing.assert_close(seen["weights"][0], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        ("dot", {}, [2.0, -1.0]),
        ("general", {"matrix": [[1, 0], [2, 1]]}, [0.0, 3.0]),
        (
            "additive",
            {"query": [[1, 1], [0, 0]], "key": [[0, 0], [1, 0]], "vector": [[3, -1]]},
            [3 * math.tanh(1) - math.tanh(1), 3 * math.tanh(1) + math.tanh(2)],
        ),
        (
            "concat",
            {"matrix": [[1, 1, 0, 0], [0, 0, 1, 0]], "vector": [[3, -1]]},
            [3 * math.tanh(1) - math.tanh(1), 3 * math.tanh(1) + math.tanh(2)],
        ),
    ],
)
def test_scores_by_hand(name: str, weights: dict[str, list[list[int]]], expected: list[float]) -> None:
    """h_t = (2, -1) against (1, 0) and (-2, -3). The last two add up h_t, and take h_s's first number beside it."""
    score = ALIGNMENT_SCORES[name](2).double()
    with torch.no_grad():
        for part, values in weights.items():
            score.get_parameter(f"{part}.weight").copy_(torch.tensor(values))
    sources = torch.tensor([[[1.0, 0.0], [-2.0, -3.0]]], dtype=torch.float64)
    found = score(torch.tensor([[[2.0, -1.0]]], dtype=torch.float64), score.keys(sources))
    torch.testing.assert_close(found[0, 0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-14)


def test_concat_is_additive_with_its_matrices_side_by_side() -> None:
    torch.manual_seed(0)
    additive = ALIGNMENT_SCORES["additive"](D).double()
    concat = ConcatScore(D).double()
    weights = additive.state_dict()
    concat.load_state_dict(
        {
            "matrix.weight": torch.cat((weights["query.weight"], weights["key.weight"]), dim=1),
            "vector.weight": weights["vector.weight"],
        }
    )
    states, sources = torch.randn(2, 3, D).double(), torch.randn(2, 4, D).double()
    found = [score(states, score.keys(sources)) for score in (additive, concat)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-14)


def test_without_attention_the_last_state_is_all_that_passes() -> None:
    """Two sources whose last states are made equal give equal targets; with attention they do not."""
    for attention, same in (("none", True), ("dot", False)):
        model = build(attention=attention, encoder_direction="forward")
        item = ITEMS[0]
        other = Item(item.token_ids, source=ITEMS[2].source)
        one, two = (model.begin(collate([each], packed=True), 1) for each in (item, other))
        two.states = list(one.states)
        found = [model.step(torch.tensor([7]), cache) for cache in (one, two)]
        assert torch.equal(*found) == same


def test_the_reversed_encoder_reads_the_last_word_first() -> None:
    """Its states are the forward encoder's on the reversed source, each at its own word."""
    ahead, behind = build(encoder_direction="forward"), build(encoder_direction="reversed")
    for layer, other in zip(ahead.source_layers, behind.source_layers, strict=True):
        other.behind.load_state_dict(layer.ahead.state_dict())  # type: ignore[union-attr]
    for name in ("source_embedding", "token_embedding", "target_layers", "alignment"):
        getattr(behind, name).load_state_dict(getattr(ahead, name).state_dict())
    turned = [Item(item.token_ids, source=Item(item.source.token_ids[::-1].copy())) for item in ITEMS]  # type: ignore[union-attr]
    found = behind(PACKED).hidden, ahead(collate(turned, packed=True)).hidden
    torch.testing.assert_close(*found, rtol=0, atol=ATOL)


@EVERY
def test_no_step_sees_what_comes_after_it(fields: dict[str, Any]) -> None:
    model = build(**fields)
    batch = collate([ITEMS[1]], packed=True)

    def states(embedded: Tensor) -> Tensor:
        handed = 0

        def hand_out(module: nn.Module, given: Any, out: Tensor) -> Tensor:
            nonlocal handed
            handed += len(out)  # all words at once, or one a time
            return embedded[handed - len(out) : handed]

        hook = model.token_embedding.register_forward_hook(hand_out)
        try:
            hidden: Tensor = model(batch).hidden
        finally:
            hook.remove()
        return hidden

    matrix = influence(states, model.token_embedding(batch.token_ids).detach())
    assert torch.equal(matrix > 0, torch.ones_like(matrix).tril() > 0)


def test_scheduled_sampling_of_all_is_the_models_own_text() -> None:
    """With probability 1 every word but the first is the most probable after what was read before it."""
    model = build(scheduled_sampling=1.0, input_feeding=True).train()
    found = PACKED.layout.grid(model(PACKED).hidden)
    cache, words = model.begin(PACKED, len(ITEMS)), PACKED.layout.grid(PACKED.token_ids)[:, 0]
    for place in range(PACKED.layout.longest):
        state = model.step(words, cache)
        real = PACKED.layout.real_grid[:, place]
        torch.testing.assert_close(found[real, place], state[real], rtol=0, atol=ATOL)
        words = (state @ model.token_embedding.weight.T).argmax(-1)


def test_scheduled_sampling_acts_in_training_alone_and_by_the_seed() -> None:
    model, plain = build(scheduled_sampling=0.5), build()
    assert torch.equal(model(PACKED).hidden, plain(PACKED).hidden)
    model.train()
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(model(PACKED).hidden)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    torch.manual_seed(0)
    torch.testing.assert_close(model(DENSE).hidden[DENSE.layout.real], drawn[0], rtol=0, atol=ATOL)


def test_a_sampled_share_is_its_probability() -> None:
    model = build(scheduled_sampling=0.3, attention="none", num_hidden_layers=1).train()
    items = [Item(np.full(21, 7), source=Item(np.array([5]))) for _ in range(100)]
    with torch.no_grad():
        model.token_embedding.weight.zero_()
        model.token_embedding.weight[11] = 1e-9  # so that the model's own word is 11, or 0 where its states point away
    read: list[Tensor] = []
    model.token_embedding.register_forward_hook(lambda module, given, out: read.append(given[0]))
    torch.manual_seed(0)
    model(collate(items, packed=True))
    words = torch.stack(read, dim=1)  # (100, 21)
    assert (words[:, 0] == 7).all()
    assert 0.26 < (words[:, 1:] != 7).double().mean() < 0.34


def test_gradients_of_both_ways_through_time_agree() -> None:
    """One at a time and all at once are the same function: so are their gradients."""
    model = build(attention="concat")
    slow = copy.deepcopy(model).train()
    slow.scheduled_sampling = 1e-300  # takes the loop, and never a word of its own
    for each in (model, slow):
        each(PACKED).hidden.square().sum().backward()
    for one, other in zip(model.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-11)


def test_dropout_falls_in_training_alone() -> None:
    model = build(dropout=0.5)
    assert torch.equal(model(PACKED).hidden, build()(PACKED).hidden)
    dropped = model.train()(PACKED).hidden
    assert 0.2 < (dropped == 0).double().mean() < 0.8


def test_a_head_of_its_own_cannot_say_what_the_model_would_write() -> None:
    model = build(scheduled_sampling=0.5)
    causal_lm.build(causal_lm.Spec(), model, INVENTORY)
    with pytest.raises(InputError, match="tie_embeddings: under model"):
        causal_lm.build(causal_lm.Spec(tie_embeddings=False), model, INVENTORY)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"attention": "none", "input_feeding": True}, "attention is none"),
        ({"hidden_size": 7}, "no half for each direction"),
        ({"attention": "additiv"}, "did you mean 'additive'"),
        ({"encoder_direction": "backward"}, "is not one of forward, reversed, bidirectional"),
        ({"scheduled_sampling": 1.5}, "model.scheduled_sampling"),
    ],
)
def test_what_is_not_offered_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(rnn_seq2seq.Spec, fields, "model")


def test_a_source_is_needed() -> None:
    with pytest.raises(InputError, match="one side only"):
        rnn_seq2seq.build(rnn_seq2seq.Spec(), Inventory(Vocabulary(12), 16))
    model, bare = build(), collate([np.array([5, 6])], packed=True)
    for call in (lambda: model(bare), lambda: model.begin(bare, 1), lambda: model.begin(None, 1)):
        with pytest.raises(InputError, match="the batch has none"):
            call()
    with pytest.raises(InputError, match="6 rows cannot be shared out among 4 sources"):
        model.begin(PACKED, 6)
