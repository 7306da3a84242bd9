"""The HMM as a trunk: rows that are distributions, symbols looked up, sentences written."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from clearhead.batches.batch import collate
from clearhead.errors import InputError
from clearhead.models import hmm
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

START = torch.tensor([0.75, 0.25])
TRANSITION = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
EMISSION = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.5, 0.5]])


def by_hand() -> hmm.HMM:
    return hmm.HMM(START, TRANSITION, EMISSION)


def build(seed: int = 0, labels: tuple[str, ...] = (), **fields: object) -> hmm.HMM:
    torch.manual_seed(seed)
    return hmm.build(hmm.Spec(**fields), Inventory(Vocabulary(12), 16, labels=labels))


def test_states_are_the_log_probabilities_of_each_token() -> None:
    states = by_hand()(collate([np.array([0, 2]), np.array([1])], packed=True))
    torch.testing.assert_close(states.hidden.exp(), EMISSION[:, [0, 2, 1]].T.double())
    assert states.hidden.dtype == torch.float64
    assert states.hidden[0, 1] == -torch.inf


@pytest.mark.parametrize("fields", [{"num_states": 5}, {"num_states": 1}, {"num_states": 3, "concentration": 0.1}])
def test_it_starts_from_distributions(fields: dict[str, float]) -> None:
    model = build(**fields)
    assert model.width == fields["num_states"]
    for parameter in model.parameters():
        torch.testing.assert_close(parameter.exp().sum(-1), torch.ones(parameter.shape[:-1], dtype=torch.float64))
        assert parameter.isfinite().all()


def test_the_more_concentrated_the_nearer_to_uniform() -> None:
    spreads = [build(num_states=4, concentration=c).emission.exp().std().item() for c in (1, 100)]
    assert spreads[1] < spreads[0] / 5


def test_states_that_start_equal_would_stay_equal() -> None:
    rows = build(num_states=4).emission
    for one, other in itertools.combinations(rows, 2):
        assert (one - other).abs().max() > 0.01


def test_the_states_are_the_labels_unless_told() -> None:
    assert build(labels=("A", "B")).width == 2
    assert build(labels=("A", "B"), num_states=7).width == 7
    with pytest.raises(InputError, match=r"model.num_states: the data has no labels to be states; say how many"):
        build()
    with pytest.raises(InputError, match=r"model.num_states"):
        validate(hmm.Spec, {"num_states": 0}, "model")


@pytest.mark.parametrize(
    ("start", "transition", "emission", "told"),
    [
        ([0.5, 0.6], TRANSITION, EMISSION, "start is no distribution: .* got a sum of 1.1"),
        (START, [[0.5, 0.5], [0.0, 0.0]], EMISSION, "row 1 of transition is no distribution"),
        (START, TRANSITION, [[1.5, -0.5, 0.0], [0.0, 0.5, 0.5]], "row 0 of emission is no distribution"),
        (START, TRANSITION, [[torch.nan, 0.5, 0.5], [0.0, 0.5, 0.5]], "row 0 of emission is no distribution"),
        (START, [[1.0]], EMISSION, r"needs start \(K,\), transition \(K, K\) and emission \(K, V\)"),
        (START, TRANSITION, [0.5, 0.5], r"needs start"),
    ],
)
def test_what_is_no_hmm_is_refused(start: Tensor, transition: Tensor, emission: Tensor, told: str) -> None:
    with pytest.raises(InputError, match=told):
        hmm.HMM(torch.as_tensor(start), torch.as_tensor(transition), torch.as_tensor(emission))


@pytest.mark.parametrize("symbol", [3, -1])
def test_a_symbol_that_it_has_not_is_refused(symbol: int) -> None:
    with pytest.raises(InputError, match="not all among the model's 3 symbols"):
        by_hand()(collate([np.array([0, symbol])], packed=True))


def test_written_sentences_follow_the_probabilities() -> None:
    """Frequencies of start, step and symbol over many sentences, within five standard errors; the impossible never."""
    sentences = by_hand().sample([3] * 4000, torch.Generator().manual_seed(0))
    states = torch.stack([path for path, _ in sentences])
    tokens = torch.stack([words for _, words in sentences])
    assert states.shape == tokens.shape == (4000, 3)
    pairs = torch.stack([states[:, :-1].flatten(), states[:, 1:].flatten()])
    counted = [
        (torch.bincount(states[:, 0], minlength=2)[None], START[None]),
        (torch.bincount(pairs[0] * 2 + pairs[1], minlength=4).view(2, 2), TRANSITION),
        (torch.bincount(states.flatten() * 3 + tokens.flatten(), minlength=6).view(2, 3), EMISSION),
    ]
    for counts, expected in counted:
        times = counts.sum(-1, keepdim=True)
        error = 5 * (expected * (1 - expected) / times).sqrt()
        assert ((counts / times - expected).abs() <= error).all()


def test_sentences_are_as_long_as_asked_and_repeat_with_the_seed() -> None:
    one, other, another = (by_hand().sample([1, 7, 2], torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert [(len(path), len(words)) for path, words in one] == [(1, 1), (7, 7), (2, 2)]
    assert all(torch.equal(a[1], b[1]) and torch.equal(a[0], b[0]) for a, b in zip(one, other, strict=True))
    assert any(not torch.equal(a[1], b[1]) for a, b in zip(one, another, strict=True))
    assert by_hand().sample([], torch.Generator()) == []
