"""The HMM's likelihood: counts where labels are known, Baum-Welch where not, and what is impossible."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clearhead.batches.batch import NOT_ASKED, Batch, Item, collate
from clearhead.errors import InputError
from clearhead.layers.structured import log_partition
from clearhead.models import hmm
from clearhead.objectives import generative_tagging
from clearhead.objectives.loss import UNKNOWN
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.loop import fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

V = 6
EXACT = {"rtol": 0, "atol": 1e-12}
SENTENCES = [[0, 1, 2, 5], [3], [4, 4, 1]]


def task_of(states: int = 3, *, decoding: str = "viterbi", model: hmm.HMM | None = None, seed: int = 0) -> Task:
    torch.manual_seed(seed)
    inventory = Inventory(Vocabulary(V), 16)
    trunk = model or hmm.build(hmm.Spec(num_states=states, concentration=1.0), inventory)
    return Task(trunk, generative_tagging.build(generative_tagging.Spec(decoding=decoding), trunk, inventory))


def batch_of(words: list[list[int]], tags: list[list[int]] | None = None, *, packed: bool = True) -> Batch:
    labels = [{}] * len(words) if tags is None else [{"tags": np.array(row)} for row in tags]
    items = [Item(np.array(row), labels=maps) for row, maps in zip(words, labels, strict=True)]
    return collate(items, packed=packed)


def asked(task: Task, *given: object, **how: bool) -> Batch:
    return task.ask(batch_of(*given, **how), torch.Generator())  # type: ignore[arg-type]


def em(task: Task, batch: Batch, steps: int, smoothing: float = 0.0) -> list[float]:
    """The nats a token before each of so many rounds."""
    spec = TrainingSpec(optimizer={"name": "em", "smoothing": smoothing}, steps=steps, clip=None)
    return [step.loss for step in fit(task, iter([batch]), spec, seed=0)]


def assert_distributions(task: Task) -> None:
    for parameter in task.model.parameters():
        assert not parameter.isnan().any()
        sums = parameter.exp().sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums), **EXACT)


def joint(model: hmm.HMM, words: list[int]) -> dict[tuple[int, ...], Tensor]:
    """log p(words, path) for every path of states."""
    found = {}
    for path in itertools.product(range(model.width), repeat=len(words)):
        total = model.start[path[0]] + model.emission[path[0], words[0]]
        for before, state, word in zip(path, path[1:], words[1:], strict=False):
            total = total + model.transition[before, state] + model.emission[state, word]
        found[path] = total
    return found


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "tags", [None, [[0, 2, 1, 1], [2], [0, 0, 1]], [[UNKNOWN, 2, UNKNOWN, 0], [UNKNOWN], [1, 1, 1]]], ids=str
)
def test_the_likelihood_is_the_sum_over_all_paths(packed: bool, tags: list[list[int]] | None) -> None:
    task = task_of()
    batch = asked(task, SENTENCES, tags, packed=packed)
    loss = task(batch)
    each = []
    for words, known in zip(SENTENCES, tags or [[UNKNOWN] * len(row) for row in SENTENCES], strict=True):
        table = joint(task.model, words)  # type: ignore[arg-type]
        fits = [w for path, w in table.items() if all(k in (UNKNOWN, s) for s, k in zip(path, known, strict=True))]
        each.append(-torch.stack(fits).logsumexp(0))
    torch.testing.assert_close(loss.total, torch.stack(each).sum(), **EXACT)
    assert int(loss.count) == len(loss.each) == 8
    tables = list(task.parameters())
    gradients = [torch.autograd.grad(total, tables, materialize_grads=True) for total in (loss.total, sum(each))]
    torch.testing.assert_close(*gradients, **EXACT)


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_labelled_text_is_counted(smoothing: float) -> None:
    """One step is the closed form: counts, plus smoothing, over their sum (Rabiner 1989; add-alpha)."""
    tags = [[0, 2, 1, 1], [2], [0, 0, 1]]
    task = task_of()
    em(task, batch_of(SENTENCES, tags), 1, smoothing)
    start, transition, emission = torch.zeros(3), torch.zeros(3, 3), torch.zeros(3, V)
    for words, path in zip(SENTENCES, tags, strict=True):
        start[path[0]] += 1
        for before, state in itertools.pairwise(path):
            transition[before, state] += 1
        for state, word in zip(path, words, strict=True):
            emission[state, word] += 1
    for name, counts in (("start", start), ("transition", transition), ("emission", emission)):
        rows = counts.double() + smoothing
        known = rows.sum(-1) > 0  # state 2 is left by no step
        expected = rows / rows.sum(-1, keepdim=True)
        trained = task.model.get_parameter(name).exp()
        torch.testing.assert_close(trained[known], expected[known], **EXACT)
        torch.testing.assert_close(trained.sum(-1), torch.ones_like(trained.sum(-1)), **EXACT)


def test_rows_without_counts_keep_their_values() -> None:
    task = task_of()
    before = task.model.get_parameter("transition").detach().clone()
    em(task, batch_of([[0, 1]], [[0, 1]]), 1)
    after = task.model.get_parameter("transition")
    torch.testing.assert_close(after[1:].detach(), before[1:], **EXACT)
    assert after[0].tolist() == [-torch.inf, 0.0, -torch.inf]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=5), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(0, 9),
)
def test_em_never_lowers_the_likelihood_and_keeps_distributions(words: list[list[int]], states: int, seed: int) -> None:
    task = task_of(states, seed=seed)
    losses = em(task, batch_of(words), 8)
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(losses))
    assert_distributions(task)


def test_five_states_on_data_of_two_and_a_state_that_is_never_visited() -> None:
    """Sequences of length 1 among them; no row becomes zeros or NaN, and it can still tag."""
    generator = torch.Generator().manual_seed(0)
    tables = [[0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2, 0, 0, 0, 0], [0.1, 0.9, 0, 0, 0, 0]]]
    source = hmm.HMM(*map(torch.tensor, tables))
    words = [tokens.tolist() for _, tokens in source.sample([1, 6, 1, 9, 4, 1] * 3, generator)]
    start = torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0])
    steps = torch.full((5, 5), 0.25) * torch.tensor([1.0, 1, 1, 1, 0])  # the last state cannot be reached
    symbols = torch.rand(5, V, generator=generator)
    task = task_of(model=hmm.HMM(start, steps, symbols / symbols.sum(1, keepdim=True)))
    unvisited = task.model.get_parameter("emission")[4].detach().clone()
    losses = em(task, batch_of(words), 40)
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(losses))
    assert_distributions(task)
    torch.testing.assert_close(task.model.get_parameter("emission")[4].detach(), unvisited, **EXACT)
    batch = batch_of(words)
    assert not any((path == 4).any() for path in task.objective.answer(task.model(batch), batch))  # type: ignore[attr-defined]


def test_given_probabilities_are_a_start_and_frozen_ones_are_kept() -> None:
    source = task_of(seed=1).model
    given = [parameter.detach().exp() for parameter in source.parameters()]
    task = task_of(model=hmm.HMM(*given))
    first = task(asked(task, SENTENCES)).total.item() / 8
    task.model.get_parameter("emission").requires_grad_(False)
    losses = em(task, batch_of(SENTENCES), 5)
    assert losses[0] == pytest.approx(first, abs=1e-12)
    assert losses[-1] < losses[0]
    torch.testing.assert_close(task.model.get_parameter("emission").exp(), given[2], **EXACT)


def test_labelled_and_unlabelled_text_together() -> None:
    """A round counts what is known and expects the rest: one step is that of the summed counts."""
    words, tags = [[0, 1], [2, 3, 3]], [[0, 1], [UNKNOWN] * 3]
    task = task_of(2)
    model = task.model
    expected = torch.zeros(2, V, dtype=torch.float64)
    expected[0, 0] += 1
    expected[1, 1] += 1
    table = joint(model, words[1])  # type: ignore[arg-type]
    log_z = torch.stack(list(table.values())).logsumexp(0)
    for path, weight in table.items():
        for state, word in zip(path, words[1], strict=True):
            expected[state, word] += (weight - log_z).exp().item()
    em(task, batch_of(words, tags), 1)
    torch.testing.assert_close(model.get_parameter("emission").exp(), expected / expected.sum(1, keepdim=True), **EXACT)


def test_a_masked_step_is_taken_out_word_and_all() -> None:
    task = task_of()
    holes = asked(task, [[0, 5, 1, 2], [5, 3]], [[NOT_ASKED, 1, NOT_ASKED, 0], [NOT_ASKED, UNKNOWN]])
    plain = asked(task, [[5, 2], [3]], [[1, 0], [UNKNOWN]])
    torch.testing.assert_close(task(holes).each, task(plain).each, **EXACT)
    answers = [task.objective.answer(task.model(batch), batch) for batch in (holes, plain)]  # type: ignore[attr-defined]
    assert [path.tolist() for path in answers[0]] == [path.tolist() for path in answers[1]]


@pytest.mark.parametrize("decoding", ["viterbi", "posterior"])
def test_the_answer_is_the_likeliest(decoding: str) -> None:
    task = task_of(decoding=decoding)
    batch = batch_of(SENTENCES)
    for words, path in zip(SENTENCES, task.objective.answer(task.model(batch), batch), strict=True):  # type: ignore[attr-defined]
        table = joint(task.model, words)  # type: ignore[arg-type]
        if decoding == "viterbi":
            assert tuple(path.tolist()) == max(table, key=lambda one: table[one].item())
        for t, state in enumerate(path.tolist() if decoding == "posterior" else []):
            shares = [sum(w.exp().item() for one, w in table.items() if one[t] == k) for k in range(3)]
            assert state == int(np.argmax(shares))


IMPOSSIBLE = hmm.HMM(
    torch.tensor([1.0, 0.0]),
    torch.tensor([[0.0, 1.0], [0.0, 1.0]]),
    torch.tensor([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0]]),
)


@pytest.mark.parametrize(
    ("words", "tags", "place"),
    [
        ([[0, 2], [0, 2, 3, 1, 0]], None, "sequence 1, token 3"),
        ([[2]], None, "sequence 0, token 0"),
        ([[0, 4]], None, "sequence 0, token 1"),
        ([[0, 2, 2]], [[0, 1, 0]], "sequence 0, token 2"),
        ([[0, 5, 2, 0]], [[UNKNOWN, NOT_ASKED, UNKNOWN, UNKNOWN]], "sequence 0, token 3"),
    ],
)
def test_an_impossible_sequence_is_named(words: list[list[int]], tags: list[list[int]] | None, place: str) -> None:
    """In the likelihood, and so in EM, and in the answer where the words alone are impossible."""
    task = task_of(model=IMPOSSIBLE)
    batch = asked(task, words, tags)
    with pytest.raises(InputError, match=f"{place}: no path of states reaches this token"):
        task(batch)
    with pytest.raises(InputError, match=place):
        em(task, batch_of(words, tags), 3)
    if tags is None or NOT_ASKED in tags[0]:
        with pytest.raises(InputError, match=f"{place}: no path of states reaches this token"):
            task.objective.answer(task.model(batch), batch)  # type: ignore[attr-defined]


def test_the_chain_gives_the_likelihood_of_words() -> None:
    task = task_of()
    batch = batch_of(SENTENCES)
    log_z = log_partition(task.objective.chain(task.model(batch), batch))  # type: ignore[attr-defined]
    torch.testing.assert_close(-log_z.sum(), task(asked(task, SENTENCES)).total, **EXACT)


def test_labels_that_are_no_state_and_trunks_that_are_no_hmm() -> None:
    with pytest.raises(InputError, match="sequence 0, token 1: 3 is not one of the 3 labels"):
        asked(task_of(), [[0, 1]], [[0, 3]])
    with pytest.raises(InputError, match=r"set model\.name to hmm"):
        generative_tagging.build(generative_tagging.Spec(), nn.Linear(2, 2), Inventory(Vocabulary(V), 16))
