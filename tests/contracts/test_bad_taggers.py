"""What HMM, feature CRF, LSTM-CRF and BERT tagger do with bad input: one sentence that names it, or a plain behaviour.

Every case runs over all four. `REFUSED` says what is told; the others must give finite numbers and answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from clearhead.batches.batch import Item, collate
from clearhead.errors import InputError
from clearhead.models import bert, hmm, lstm, sparse_features
from clearhead.objectives import generative_tagging, tagging
from clearhead.text.inventory import Inventory
from clearhead.text.templates import TemplateSpec, index_features
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.loop import Diverged, fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

V, FEATURES, LONGEST = 12, 9, 16
LABELS = ("O", "B-X", "I-X")
SYSTEMS = ("hmm", "feature_crf", "lstm_crf", "bert")
CRFS = ("feature_crf", "lstm_crf")
EVERY = pytest.mark.parametrize("system", SYSTEMS)
PLACES = pytest.mark.parametrize("packed", [True, False], ids=["packed", "dense"])


def make(system: str, labels: tuple[str, ...] = LABELS, **fields: Any) -> Task:
    torch.manual_seed(0)
    inventory = Inventory(Vocabulary(V), LONGEST, labels=labels, features=FEATURES)
    if system == "hmm":
        model: nn.Module = hmm.build(hmm.Spec(), inventory)
        return Task(model, generative_tagging.build(generative_tagging.Spec(), model, inventory))
    if system == "feature_crf":
        model = sparse_features.build(sparse_features.Spec(initializer_range=0.5), inventory)
    elif system == "lstm_crf":
        model = lstm.build(lstm.Spec(hidden_size=4, num_hidden_layers=1, bidirectional=True), inventory)
    else:
        model = bert.build(bert.Spec(hidden_size=8, num_hidden_layers=1, num_attention_heads=2), inventory)
    spec = tagging.Spec(output="softmax" if system == "bert" else "crf", **fields)
    return Task(model, tagging.build(spec, model, inventory)).eval()


def item(tags: Sequence[int], words: Sequence[int] | None = None, features: np.ndarray | None = None) -> Item:
    words = [5 + place % 4 for place in range(len(tags))] if words is None else words
    ids = np.arange(2 * len(words)).reshape(-1, 2) % FEATURES if features is None else features
    return Item(np.array(words, dtype=np.int64), labels={"tags": np.array(tags)}, features={"templates": ids})


def run(task: Task, items: list[Item], *, packed: bool = True) -> tuple[float, list[np.ndarray]]:
    """The loss of items and what is answered, the gradient finite; all that a user's call goes through."""
    batch = task.ask(collate(items, packed=packed), torch.Generator())
    loss = task(batch)
    if loss.total.requires_grad:
        loss.total.backward()
    for name, parameter in task.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    assert loss.each.isfinite().all()
    assert int(loss.count) == len(loss.each)
    return loss.total.item(), task.objective.answer(task.model(batch), batch)  # type: ignore[attr-defined]


def train(task: Task, items: list[Item], system: str, steps: int = 2) -> list[float]:
    batch = collate(items, packed=True)
    spec = TrainingSpec(optimizer="em" if system == "hmm" else "adamw", steps=steps, clip=None)
    return [step.loss for step in fit(task, iter([batch] * (1 if system == "hmm" else steps)), spec, seed=0)]


REFUSED: dict[str, tuple[Callable[[], list[Item]], str]] = {
    "no sequences": (list, "needs at least one sequence"),
    "a sequence of length 0": (lambda: [item([0]), item([])], "every sequence at least one token"),
    "only a sequence of length 0": (lambda: [item([])], "every sequence at least one token"),
    "a label beyond the last": (lambda: [item([0, 1]), item([0, 3])], "sequence 1, token 1: 3 is not one of the 3"),
    "a label far beyond the last": (lambda: [item([10**9])], "sequence 0, token 0: 1000000000 is not one of the 3"),
    "a label below what is unknown": (lambda: [item([0, -2])], "sequence 0, token 1: -2 is not one of the 3 labels"),
    "a label that is nearly not asked": (lambda: [item([-99])], "-99 is not one of the 3 labels.* -100 for a token"),
    "a label that is NaN": (lambda: [item(np.array([0, np.nan]))], "sequence 0, token 1: -?[0-9]+ is not one of"),  # type: ignore[arg-type]
    "a token beyond the vocabulary": (lambda: [item([0, 1], [5, V])], "12"),
    "a token below 0": (lambda: [item([0, 1], [5, -1])], "-1"),
    "fewer labels than tokens": (lambda: [item([0, 1], [5, 6, 7])], "'tags' are 2 for 3 tokens; give each token one"),
    "more labels than tokens": (lambda: [item([0, 1, 1, 2], [5, 6, 7])], "'tags' are 4 for 3 tokens"),
}


@EVERY
@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_what_is_refused_in_one_sentence(case: str, system: str) -> None:
    """Loss, gradient and training alike; the model is as it was, and goes on with good data."""
    bad, told = REFUSED[case]
    task = make(system)
    before = [parameter.detach().clone() for parameter in task.parameters()]
    with pytest.raises(InputError, match=told) as fault:
        run(task, bad())
    assert "\n" not in str(fault.value)
    with pytest.raises(InputError, match=told):
        train(task, bad(), system)
    assert all(torch.equal(one, other) for one, other in zip(before, task.parameters(), strict=True))
    run(task, [item([0, 1])])


BORNE: dict[str, Callable[[], list[Item]]] = {
    "one token": lambda: [item([1])],
    "one token in each": lambda: [item([1]), item([0]), item([1])],
    "only unknown words": lambda: [item([0, 1, 2], [1, 1, 1], np.full((3, 2), -1))],
    "no label known": lambda: [item([-1, -1, -1]), item([-1])],
    "one label known": lambda: [item([-1, 1, -1])],
    "a hole in the mask": lambda: [item([0, -100, 1, 2, -100])],
    "the first steps masked": lambda: [item([-100, -100, 0])],
    "one sequence masked whole": lambda: [item([-100, -100]), item([0, 1])],
    "every sequence masked whole": lambda: [item([-100, -100]), item([-100])],
    "one label for all": lambda: [item([0] * LONGEST)],
    "labels that break the scheme, without one": lambda: [item([0, 2, 2])],
    "lengths far apart": lambda: [item([0] * LONGEST), item([1])],
    "the same sequence many times": lambda: [item([0, 1, 2])] * 9,
    "a word many times": lambda: [item([0, 1, 1, 1], [5, 5, 5, 5])],
    "labels as small integers": lambda: [replace(item([0, 1]), labels={"tags": np.array([0, 1], np.int8)})],
}


@EVERY
@PLACES
@pytest.mark.parametrize("case", BORNE)
def test_what_is_borne(case: str, system: str, packed: bool) -> None:
    """Finite loss and gradient; an answer for every token that is asked, no more, and all of them labels."""
    items = BORNE[case]()
    total, answers = run(make(system), items, packed=packed)
    assert total >= 0
    asked = [(np.asarray(one.labels["tags"]) != -100).sum() for one in items]
    assert [len(path) for path in answers] == asked
    assert all(((path >= 0) & (path < 3)).all() for path in answers)
    if not sum(asked):
        assert total == 0


@EVERY
def test_nothing_known_costs_a_tagger_nothing_and_an_hmm_its_words(system: str) -> None:
    total, _ = run(make(system), [item([-1, -1])])
    assert (total > 1) if system == "hmm" else (abs(total) < 1e-6)


@EVERY
def test_no_label_map_at_all(system: str) -> None:
    """Taggers have nothing to learn from; an HMM reads the words alone. Either tags every token."""
    unlabelled = replace(item([0, 1, 2]), labels={})
    task = make(system)
    if system == "hmm":
        assert run(task, [unlabelled])[0] > 0
    else:
        with pytest.raises(InputError, match="tagging learns from labels 'tags'; the batch has none"):
            run(task, [unlabelled])
        with pytest.raises(InputError, match="the batch has class"):
            run(task, [replace(unlabelled, labels={"class": np.zeros(3, int)})])
    batch = collate([unlabelled, replace(item([0]), labels={})], packed=False)
    assert [len(path) for path in task.objective.answer(task.model(batch), batch)] == [3, 1]  # type: ignore[attr-defined]


@EVERY
def test_no_data_trains_nothing(system: str) -> None:
    task = make(system)
    before = [parameter.detach().clone() for parameter in task.parameters()]
    spec = TrainingSpec(optimizer="em" if system == "hmm" else "adamw", steps=2, clip=None)
    try:
        assert list(fit(task, iter([]), spec, seed=0)) == []
    except InputError as told:
        assert "\n" not in str(told)
    assert all(torch.equal(one, other) for one, other in zip(before, task.parameters(), strict=True))


@EVERY
def test_no_labels_in_the_data(system: str) -> None:
    with pytest.raises(InputError, match="labels"):
        make(system, labels=())


@EVERY
@PLACES
def test_one_class(system: str, packed: bool) -> None:
    """Nothing to choose: a tagger is sure, an HMM counts words, and both answer it."""
    task = make(system, labels=("O",))
    total, answers = run(task, [item([0, 0, 0]), item([0])], packed=packed)
    assert (total > 1) if system == "hmm" else (abs(total) < 1e-6)
    assert [path.tolist() for path in answers] == [[0, 0, 0], [0]]
    assert np.isfinite(train(task, [item([0, 0, 0])], system)).all()


@EVERY
def test_longer_than_anything_before(system: str) -> None:
    """2,000 tokens: no underflow. A BERT has as many learned positions as it was built for, and says so."""
    long = [item([0, 1, 2, 0] * 500)]
    if system == "bert":
        with pytest.raises(InputError, match="2000"):
            run(make(system), long)
    else:
        total, answers = run(make(system), long)
        assert np.isfinite(total)
        assert len(answers[0]) == 2000


@EVERY
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(system: str, value: float) -> None:
    """`fit` ends before a step; an answer names the token. An HMM cannot be made with such at all."""
    task = make(system)
    if system == "hmm":
        with pytest.raises(InputError, match="row 0 of emission is no distribution"):
            hmm.HMM(torch.ones(1), torch.ones(1, 1), torch.tensor([[value, 0.5]]))
        return
    with torch.no_grad():
        max(task.model.parameters(), key=torch.Tensor.numel)[5] = value
    items = [item([0, 1], [6, 5], np.array([[0, 1], [5, 5]]))]
    with pytest.raises(Diverged, match="not finite"):
        train(task, items, system)
    batch = collate(items, packed=True)
    with pytest.raises(InputError, match=r"sequence 0, token \d: its scores are not finite"):
        task.objective.answer(task.model(batch), batch)  # type: ignore[attr-defined]


@EVERY
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_scores_of_any_size(system: str, size: float) -> None:
    task = make(system)
    if system == "hmm":
        rare = torch.tensor([[1 - 1 / size, 1 / size], [1.0, 0.0]], dtype=torch.float64)
        trunk = hmm.HMM(torch.tensor([0.5, 0.5]), torch.full((2, 2), 0.5), rare)
        task = Task(trunk, generative_tagging.build(generative_tagging.Spec(), trunk, Inventory(Vocabulary(2), 9)))
        assert np.isfinite(run(task, [item([-1] * 5, [0, 1, 0, 1, 0])])[0])
        return
    head = task.model if system == "feature_crf" else task.objective.head  # type: ignore[attr-defined]
    with torch.no_grad():
        head.weight.mul_(size)
    assert np.isfinite(run(task, [item([0, 1, 2, 1])])[0])


@EVERY
def test_mixed_schemes(system: str) -> None:
    """Labels of two schemes, where one is asked for. An HMM knows no scheme: to it they are names."""
    labels = ("O", "B-X", "I-X", "E-X", "NOUN")
    if system == "hmm":
        run(make(system, labels), [item([0, 4, 3])])
        return
    run(make(system, labels), [item([0, 4, 3])])
    for scheme in ("bio", "bioes"):
        with pytest.raises(InputError, match=f"the tag '[A-Z-]+' is not of the scheme {scheme}"):
            make(system, labels, scheme=scheme)


@EVERY
def test_labels_that_break_the_scheme(system: str) -> None:
    """O I-X: impossible under a CRF of the scheme; a softmax learns it and never says it; an HMM counts it."""
    bad = [item([0, 1, 2]), item([1, 0, -100, 2])]
    if system == "hmm":
        run(make(system), bad)
    elif system in CRFS:
        with pytest.raises(InputError, match="sequence 1, token 3: the labels up to here break the scheme bio"):
            run(make(system, scheme="bio"), bad)
    else:
        _, answers = run(make(system, scheme="bio"), bad)
        assert all("0 2" not in " ".join(map(str, path)) and path[0] != 2 for path in answers)


@EVERY
def test_a_scheme_that_leaves_no_tagging(system: str) -> None:
    """Chinese segmentation without S: one character alone has no tag."""
    if system == "hmm":
        blocked = hmm.HMM(torch.tensor([1.0]), torch.ones(1, 1), torch.tensor([[1.0, 0.0]]))
        task = Task(blocked, generative_tagging.build(generative_tagging.Spec(), blocked, Inventory(Vocabulary(2), 9)))
        items, told = [item([-1], [0]), item([-1, -1], [0, 1])], "sequence 1, token 1: no path of states"
    else:
        task, items = make(system, ("B", "M", "E"), scheme="bmes"), [item([-1, -1]), item([-1])]
        told = "sequence 1, token 0: with these labels the scheme bmes has no tagging of so many tokens"
    batch = collate(items, packed=True)
    with pytest.raises(InputError, match=told):
        task.objective.answer(task.model(batch), batch)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (np.array([[0, FEATURES]]), "must lie between -1"),
        (np.array([[-2, 0]]), "must lie between -1"),
        (np.array([[0, 1], [0, 1]]), "2 rows of 'templates' for 1 tokens"),
        (None, "reads the feature map 'templates', and the batch has none"),
    ],
)
def test_features_that_do_not_exist(features: np.ndarray | None, told: str) -> None:
    task = make("feature_crf")
    one = item([0])
    bad = replace(one, features={} if features is None else {"templates": features})
    with pytest.raises(InputError, match=told):
        run(task, [bad])


def test_texts_that_show_no_features() -> None:
    for sentences in ([], [[]]):
        with pytest.raises(InputError, match="show no feature"):
            index_features(sentences, TemplateSpec())
    with pytest.raises(InputError, match="needs features and labels"):
        sparse_features.build(sparse_features.Spec(), Inventory(Vocabulary(V), LONGEST, labels=LABELS))
