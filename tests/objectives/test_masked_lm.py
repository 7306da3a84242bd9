"""What is chosen, what replaces it, and BERT's head against another implementation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clearhead.batches.batch import Batch, collate
from clearhead.errors import InputError
from clearhead.models.states import States
from clearhead.objectives import masked_lm
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

VOCABULARY = Vocabulary(size=50, pad=0, unknown=1, begin=2, end=3, mask=4)
INVENTORY = Inventory(VOCABULARY, 16)


class Trunk(nn.Module):
    """Only what a head asks of a trunk: its width and its token embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 6
        self.token_embedding = nn.Embedding(VOCABULARY.size, 6)


def build(**spec: float) -> masked_lm.MaskedLM:
    torch.manual_seed(0)
    return masked_lm.build(masked_lm.Spec(**spec), Trunk(), INVENTORY)  # type: ignore[arg-type]


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
    ],
)
def test_shares_that_do_not_fit_are_refused(data: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(masked_lm.Spec, data, "objective")
