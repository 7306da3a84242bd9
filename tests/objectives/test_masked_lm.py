"""What is chosen, what replaces it, and BERT's head against another implementation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch, Item, collate
from clearhead.errors import InputError
from clearhead.models import transformer_encoder
from clearhead.models.states import States
from clearhead.objectives import masked_lm
from clearhead.objectives.masking import SPAN_LENGTHS, in_spans, singly
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary, train_tokenizer

VOCABULARY = Vocabulary(size=50, pad=0, unknown=1, begin=2, end=3, mask=4, continues=frozenset(range(30, 50)))
INVENTORY = Inventory(VOCABULARY, 16)


class Trunk(nn.Module):
    """Only what a head asks of a trunk: its width and its token embeddings."""

    def __init__(self, size: int = VOCABULARY.size) -> None:
        super().__init__()
        self.width = 6
        self.token_embedding = nn.Embedding(size, 6)


def build(**spec: Any) -> masked_lm.MaskedLM:
    torch.manual_seed(0)
    return masked_lm.build(masked_lm.Spec(**spec), Trunk(), INVENTORY)


@pytest.fixture
def many() -> Batch:
    return collate(list(np.random.default_rng(0).integers(0, 50, (1000, 50))), packed=True)


def ask(objective: masked_lm.MaskedLM, batch: Batch, seed: int = 0) -> tuple[Batch, torch.Tensor]:
    asked = objective.ask(batch, torch.Generator().manual_seed(seed))
    return asked, asked.labels["masked"] != -100


def assert_share(hits: int, trials: int, share: float) -> None:
    """Within five standard errors of a binomial share."""
    assert abs(hits - trials * share) < 5 * math.sqrt(trials * share * (1 - share))


def test_shares_are_those_of_the_paper(many: Batch) -> None:
    asked, chosen = ask(build(), many)
    words = many.token_ids > 4
    assert not (chosen & ~words).any()
    assert_share(int(chosen.sum()), int(words.sum()), 0.15)
    new, old = asked.token_ids[chosen], many.token_ids[chosen]
    assert_share(int((new == 4).sum()), len(new), 0.8)
    assert_share(int(((new != 4) & (new != old)).sum()), len(new), 0.1 * 44 / 45)  # one random word in 45 is itself
    assert_share(int((new == old).sum()), len(new), 0.1 + 0.1 / 45)
    assert torch.equal(asked.labels["masked"][chosen], old)
    assert torch.equal(asked.token_ids[~chosen], many.token_ids[~chosen])


def test_random_words_are_uniform_and_never_special(many: Batch) -> None:
    asked, chosen = ask(build(mask_share=0.0, random_share=1.0, keep_share=0.0, probability=1.0), many)
    counts = asked.token_ids[chosen].bincount(minlength=50)
    assert counts[:5].sum() == 0
    expected = counts.sum().item() / 45
    assert float(((counts[5:] - expected) ** 2 / expected).sum()) < 90  # chi-squared with 44 degrees: p = 5e-5


def test_with_masks_only_the_answers_cannot_be_read(many: Batch) -> None:
    objective = build(mask_share=1.0, random_share=0.0, keep_share=0.0)
    asked, chosen = ask(objective, many)
    other = many.token_ids.clone()
    other[chosen] = 5 + (other[chosen] - 4) % 45  # other answers, same context
    changed, chosen_too = ask(objective, replace(many, token_ids=other))
    assert torch.equal(chosen, chosen_too)
    assert torch.equal(asked.token_ids, changed.token_ids)
    assert not (asked.labels["masked"][chosen] == changed.labels["masked"][chosen]).any()


def test_the_questions_do_not_depend_on_where_batches_end(many: Batch) -> None:
    objective = build()
    sequences = list(many.token_ids.reshape(1000, 50)[:60])
    generator = torch.Generator().manual_seed(9)
    whole = objective.ask(collate(sequences, packed=True), generator)
    generator = torch.Generator().manual_seed(9)
    parts = [
        objective.ask(collate(sequences[start:end], packed=packed), generator)
        for start, end, packed in ((0, 1, True), (1, 20, False), (20, 60, True))
    ]
    assert torch.equal(torch.cat([part.token_ids for part in parts]), whole.token_ids)
    assert torch.equal(torch.cat([part.labels["masked"] for part in parts]), whole.labels["masked"])


def test_short_lines_often_ask_nothing() -> None:
    objective = build()
    generator = torch.Generator().manual_seed(0)
    line = collate([np.array([2, 9, 3])], packed=True)
    asked = [int((objective.ask(line, generator).labels["masked"] != -100).sum()) for _ in range(4000)]
    assert_share(sum(asked), 4000, 0.15)


def words_of(batch: Batch) -> list[list[int]]:
    """The places of each word: pieces from 30 on continue the word before them, unless that is a special token."""
    words: list[list[int]] = []
    ids, starts = batch.token_ids.tolist(), batch.layout.position_ids == 0
    for place, token in enumerate(ids):
        if token > 4:
            goes_on = token >= 30 and not starts[place] and ids[place - 1] > 4
            words = [*words[:-1], [*words[-1], place]] if goes_on else [*words, [place]]
    return words


def test_whole_words_are_chosen_whole_and_as_often() -> None:
    batch = collate(list(np.random.default_rng(0).integers(0, 50, (200, 50))), packed=True)
    words = words_of(batch)
    asked, chosen = ask(build(whole_word=True, probability=0.3), batch)
    hits = [chosen[word] for word in words]
    assert all(hit.all() or not hit.any() for hit in hits)
    assert_share(sum(bool(hit.all()) for hit in hits), len(words), 0.3)
    pieces = torch.cat([asked.token_ids[word] == 4 for word in words if len(word) > 1 and chosen[word].all()])
    assert_share(int(pieces.sum()), len(pieces), 0.8)
    assert any(0 < int((asked.token_ids[word] == 4).sum()) < len(word) for word in words if chosen[word].all()), (
        "each piece is replaced by itself"
    )


def test_words_are_those_of_the_text() -> None:
    """With a tokenizer that was trained: between the masks stand whole words, and only whole words are gone."""
    lines = [
        "the unbelievable unreliable reader reads unreadable tables",
        "believable tables are readable and reliable",
    ]
    tokenizer = train_tokenizer("wordpiece", lines * 20, 40)
    inventory = Inventory(tokenizer.vocabulary, 64)
    objective = masked_lm.build(masked_lm.Spec(whole_word=True, probability=0.4), Trunk(40), inventory)
    batch = collate(tokenizer.encode(lines), packed=True)
    pieces = sum(tokenizer.engine.id_to_token(i).startswith("##") for i in batch.token_ids.tolist())
    assert pieces > 10
    for seed in range(10):
        _, chosen = ask(objective, batch, seed)
        left = " ".join(tokenizer.decode(batch.token_ids[~chosen & (batch.layout.sequence_ids == n)]) for n in (0, 1))
        gone = " ".join(tokenizer.decode(batch.token_ids[chosen & (batch.layout.sequence_ids == n)]) for n in (0, 1))
        assert sorted([*left.split(), *gone.split()]) == sorted(" ".join(lines).split())


@pytest.mark.parametrize("at_least_one", [False, True])
@pytest.mark.parametrize("words", [1, 5])
def test_a_line_in_which_nothing_is_masked_counts_for_nothing(words: int, at_least_one: bool) -> None:
    """No mean of nothing: total 0, count 0, gradient 0; or, where that is asked for, one token of the line."""
    objective = build(probability=1e-9, at_least_one=at_least_one)
    asked, chosen = ask(objective, collate([np.array([2, *range(5, 5 + words), 3])], packed=True))
    hidden = torch.randn(words + 2, 6, requires_grad=True)
    loss = objective.loss(States(hidden, asked.layout, (hidden,)), asked)
    loss.total.backward()
    assert int(loss.count) == len(loss.each) == int(chosen.sum()) == at_least_one
    assert (loss.total > 0) == at_least_one
    assert hidden.grad is not None
    assert torch.count_nonzero(hidden.grad).bool() == at_least_one


@pytest.mark.parametrize("spans", ["geometric", "ngram"])
def test_spans_keep_the_share_at_every_place(spans: str) -> None:
    """At the first place of a line, at the last, and in lines of a single word, as anywhere."""
    objective = build(spans=spans)
    for length in (1, 2, 12):
        batch = collate(list(np.full((6000, length), 7)), packed=True)
        _, chosen = ask(objective, batch)
        for share in chosen.reshape(-1, length).sum(0).tolist():
            assert_share(share, 6000, 0.15)


@pytest.mark.parametrize("spans", ["geometric", "ngram"])
def test_spans_are_as_long_as_the_paper_has_it(spans: str) -> None:
    weights = SPAN_LENGTHS[spans]
    n = 200_000
    draws = torch.rand(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    leaders = in_spans(draws, torch.zeros(n, dtype=torch.bool), torch.zeros(n), 0.15, weights)
    lengths = leaders[leaders >= 0].unique_consecutive(return_counts=True)[1].bincount(minlength=len(weights) + 1)[1:]
    total = int(lengths.sum())
    for count, weight in zip(lengths.tolist(), weights, strict=True):
        assert_share(count, total, weight / sum(weights))
    if spans == "geometric":
        assert 3.7 < sum(k * w for k, w in enumerate(weights, 1)) / sum(weights) < 3.9  # SpanBERT's 3.8


def test_spans_of_one_are_each_by_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(500, generator=generator, dtype=torch.float64)
    special = torch.rand(500, generator=generator) < 0.1
    sequences = torch.arange(500) // 7
    assert torch.equal(in_spans(draws, special, sequences, 0.4, (1.0,)), singly(draws, special, 0.4))


def test_spans_are_replaced_together_and_stay_between_special_tokens(many: Batch) -> None:
    asked, chosen = ask(build(spans="geometric", random_share=0.0, keep_share=0.2), many)
    masked = asked.token_ids == 4
    runs = chosen & many.layout.real
    assert not (chosen & (many.token_ids <= 4)).any()
    both = runs[1:] & runs[:-1] & (many.layout.position_ids[1:] > 0)
    agree = masked[1:][both] == masked[:-1][both]
    assert agree.double().mean() > 0.9  # two spans may touch, else all of a run are masked or none


@pytest.mark.parametrize("more", [{}, {"whole_word": True, "spans": "ngram", "at_least_one": True}])
def test_static_masking_depends_on_the_ids_and_its_seed_alone(more: dict[str, Any], many: Batch) -> None:
    objective = build(masking="static", **more)
    asked, _ = ask(objective, many, seed=0)
    again, _ = ask(objective, many, seed=1)
    assert torch.equal(asked.token_ids, again.token_ids)
    rows = list(many.token_ids.reshape(1000, 50)[:20])
    dense, _ = ask(objective, collate(rows[::-1], packed=False, longest=60), seed=2)
    assert torch.equal(dense.layout.grid(dense.token_ids)[:, :50].flip(0).flatten(), asked.token_ids[:1000])
    other, chosen = ask(build(masking="static", masking_seed=1, **more), many)
    assert not torch.equal(other.token_ids, asked.token_ids)
    if not more:
        assert_share(int(chosen.sum()), int((many.token_ids > 4).sum()), 0.15)


def test_dynamic_masking_is_another_at_every_draw(many: Batch) -> None:
    assert not torch.equal(ask(build(), many, seed=0)[0].token_ids, ask(build(), many, seed=1)[0].token_ids)


@pytest.mark.parametrize("more", [{}, {"whole_word": True}, {"spans": "geometric"}])
def test_at_least_one_asks_in_every_line_that_has_a_word(more: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    lines = [np.concatenate([[2], rng.integers(5, 50, length), [3]]) for length in (1, 5) * 300]
    batch = collate([*lines, np.array([2, 3])], packed=True)
    asked, chosen = ask(build(at_least_one=True, **more), batch)
    counts = torch.zeros(601).index_add(0, batch.layout.sequence_ids, chosen.float())
    assert (counts[:-1] > 0).all()
    assert counts[-1] == 0
    plain, chosen_plainly = ask(build(**more), batch)
    before = torch.zeros(601).index_add(0, batch.layout.sequence_ids, chosen_plainly.float())
    for sequence in range(600):
        if before[sequence]:
            own = batch.layout.sequence_ids == sequence
            assert torch.equal(asked.token_ids[own], plain.token_ids[own])


def test_which_one_of_a_line_is_asked_is_even() -> None:
    batch = collate(list(np.full((4000, 4), 7)), packed=True)
    _, chosen = ask(build(at_least_one=True, probability=0.001), batch)
    for share in chosen.reshape(-1, 4).sum(0).tolist():
        assert_share(share, 4000, 0.25)


def attending(**spec: Any) -> tuple[nn.Module, masked_lm.MaskedLM]:
    torch.manual_seed(0)
    trunk = transformer_encoder.build(transformer_encoder.Spec(hidden_size=8, dropout=0.0), INVENTORY)
    return trunk, masked_lm.build(masked_lm.Spec(**spec), trunk, INVENTORY)


@pytest.mark.parametrize("packed", [True, False])
def test_blocked_tokens_are_hidden_from_the_others_and_not_from_themselves(packed: bool) -> None:
    """Question 7: why BERT replaces what it asks for, where a Transformer's masks only hide scores."""
    trunk, objective = attending(hiding="block", probability=0.3)
    rows = list(np.random.default_rng(1).integers(5, 50, (6, 9)))
    batch = collate([*rows, np.array([2, 7, 3])], packed=packed)
    asked, chosen = ask(objective, batch)
    assert torch.equal(asked.token_ids, batch.token_ids)
    assert torch.equal(asked.features["blocked"], chosen.long()[:, None])
    other = replace(asked, token_ids=torch.where(chosen, 5 + (asked.token_ids - 4) % 45, asked.token_ids))
    one, two = trunk(asked).hidden, trunk(other).hidden
    seen = ~chosen & batch.layout.real
    torch.testing.assert_close(one[seen], two[seen], rtol=0, atol=0)
    assert (one[chosen] - two[chosen]).abs().amax(-1).min() > 0.01


def test_hiding_both_ways_replaces_and_blocks(many: Batch) -> None:
    _, replacing = attending()
    _, both = attending(hiding="both")
    plain, chosen = ask(replacing, many)
    asked, chosen_too = ask(both, many)
    assert torch.equal(plain.token_ids, asked.token_ids)
    assert torch.equal(chosen, chosen_too)
    assert torch.equal(asked.features["blocked"].squeeze(1) == 1, chosen)


def test_choices_that_cannot_act_on_these_tokens_or_this_trunk_are_refused() -> None:
    with pytest.raises(InputError, match="whole_word: these tokens do not say which of them continue a word"):
        masked_lm.build(masked_lm.Spec(whole_word=True), Trunk(), Inventory(Vocabulary(50), 16))
    with pytest.raises(InputError, match="hiding: block blocks keys of attention, and this model has none"):
        build(hiding="block")


def test_the_head_is_berts() -> None:
    bert = pytest.importorskip("transformers.models.bert.modeling_bert")
    from transformers import BertConfig

    objective = build().double()
    config = BertConfig(vocab_size=50, hidden_size=6, layer_norm_eps=objective.norm.eps)
    head = bert.BertOnlyMLMHead(config).double()
    with torch.no_grad():
        objective.norm.weight.copy_(torch.rand(6))
        objective.norm.bias.copy_(torch.rand(6))
        objective.decoder.bias.copy_(torch.rand(50))
    transform, decoder = head.predictions.transform, head.predictions.decoder
    transform.dense.load_state_dict(objective.dense.state_dict())
    transform.LayerNorm.load_state_dict(objective.norm.state_dict())
    decoder.load_state_dict(objective.decoder.state_dict())
    asked, chosen = ask(objective, collate([np.arange(5, 45)], packed=True))
    hidden = torch.randn(40, 6, dtype=torch.float64)
    loss = objective.loss(States(hidden, asked.layout, (hidden,)), asked)
    theirs = F.cross_entropy(head(hidden), asked.labels["masked"], reduction="sum", ignore_index=-100)
    assert int(loss.count) == int(chosen.sum()) > 0
    torch.testing.assert_close(loss.total, theirs, rtol=0, atol=1e-12)


def test_the_projection_is_computed_only_where_asked(many: Batch) -> None:
    objective = build()
    sizes = []
    objective.decoder.register_forward_hook(lambda _, inputs, output: sizes.append(len(output)))
    asked, chosen = ask(objective, many)
    hidden = torch.zeros(len(many.token_ids), 6)
    objective.loss(States(hidden, asked.layout, (hidden,)), asked)
    assert sizes == [int(chosen.sum())]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"mask_share": 0.9}, "must add up to 1, not to 1.1"),
        ({"probability": 0}, "probability"),
        ({"mask_shares": 1}, "did you mean 'mask_share'"),
        ({"hiding": "block", "mask_share": 1, "random_share": 0, "keep_share": 0}, "block replaces nothing"),
        ({"masking_seed": 3}, "dynamic masking follows the seed of the run; set masking to static"),
        ({"spans": "geometrical"}, "did you mean 'geometric'"),
    ],
)
def test_shares_that_do_not_fit_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(masked_lm.Spec, data, "objective")


def test_the_characters_of_a_hidden_token_are_hidden_too() -> None:
    ids = np.arange(10, 40)
    characters = np.repeat(ids[:, None], 3, axis=1)
    batch = collate([Item(ids, features={"characters": characters})], packed=True)
    asked = build(probability=0.5).ask(batch, torch.Generator().manual_seed(0))
    hidden = asked.labels["masked"] != -100
    assert hidden.any()
    assert (asked.features["characters"][hidden] == -1).all()
    assert torch.equal(asked.features["characters"][~hidden], batch.features["characters"][~hidden])
