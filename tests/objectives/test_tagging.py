"""Taggers against all taggings written out: likelihood, holes, partial labels, schemes, answers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearhead.batches.batch import NOT_ASKED, Batch, Item, collate
from clearhead.batches.layout import Layout
from clearhead.errors import InputError
from clearhead.layers.structured import Chain, log_partition, marginals, n_best
from clearhead.models.states import States
from clearhead.objectives import tagging
from clearhead.objectives.loss import UNKNOWN
from clearhead.objectives.tagging import Tagging, normalised_step_by_step
from clearhead.spec import validate
from clearhead.text.inventory import Inventory
from clearhead.text.tokenizers import Vocabulary

Path = tuple[int, ...]
D = 4
PLAIN = ("A", "B", "C")
SPANS = ("O", "B-X", "I-X")
OUTPUTS = pytest.mark.parametrize("output", ["softmax", "crf", "memm"])
CHAINS = pytest.mark.parametrize("output", ["crf", "memm"])
LENGTHS = (4, 1, 3)
EXACT: dict[str, Any] = {"rtol": 0, "atol": 1e-11}


class Trunk(nn.Module):
    """Only what a head asks of a trunk."""

    def __init__(self, width: int = D, gives_scores: bool = False) -> None:
        super().__init__()
        self.width = width
        self.gives_scores = gives_scores


def build(labels: tuple[str, ...] = PLAIN, trunk: nn.Module | None = None, **fields: Any) -> Tagging:
    torch.manual_seed(0)
    spec = tagging.Spec(**fields)
    objective = tagging.build(spec, trunk or Trunk(), Inventory(Vocabulary(20), 16, labels=labels)).double()
    generator = torch.Generator().manual_seed(5)
    for parameter in objective.parameters():
        nn.init.normal_(parameter, generator=generator)
    return objective


def states_of(batch: Batch, seed: int = 1) -> States:
    """The same for equal tokens in equal order, whatever the layout."""
    real = torch.randn(sum(batch.layout.sizes), D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    hidden = batch.layout.put_real(real).requires_grad_()
    return States(hidden, batch.layout, (hidden,))


def batch_of(*labels: list[int], packed: bool = True) -> Batch:
    return collate([Item(np.arange(len(tags)), labels={"tags": np.array(tags)}) for tags in labels], packed=packed)


def weights(objective: Tagging, hidden: Tensor, *, allowed: list[Path] | None = None) -> dict[Path, Tensor]:
    """log p(tagging) of one sentence for each of its taggings, by the definition of each output."""
    scores = objective.head(hidden)
    K, T = len(objective.labels), len(hidden)
    taggings = allowed or list(itertools.product(range(K), repeat=T))
    A = torch.zeros(K, K) if objective.spec.output == "softmax" else objective.transition
    start = torch.zeros(K) if objective.spec.output == "softmax" else objective.start
    end = objective.end if objective.spec.output == "crf" else torch.zeros(K)
    found = {}
    for tagging_ in taggings:
        total = torch.zeros((), dtype=torch.float64)
        for t, label in enumerate(tagging_):
            local = scores[t] + (start if t == 0 else A[tagging_[t - 1]])
            total = total + (local[label] if objective.spec.output == "crf" else local.log_softmax(0)[label])
        found[tagging_] = total + end[tagging_[-1]]
    log_z = torch.stack(list(found.values())).logsumexp(0)
    return {tagging_: total - log_z for tagging_, total in found.items()}


def agree(tagging_: Path, known: list[int]) -> bool:
    return all(label in (UNKNOWN, chosen) for chosen, label in zip(tagging_, known, strict=True))


def by_enumeration(objective: Tagging, hidden: Tensor, known: list[int]) -> Tensor:
    fitting = [weight for one, weight in weights(objective, hidden).items() if agree(one, known)]
    return -torch.stack(fitting).logsumexp(0)


@OUTPUTS
@pytest.mark.parametrize("packed", [True, False])
def test_the_loss_and_its_gradient_are_those_of_all_taggings_written_out(output: str, packed: bool) -> None:
    """Known, unknown, and both in a sentence."""
    objective = build(output=output)
    labels = [[0, 2, 1, 1], [2], [UNKNOWN, 0, UNKNOWN]]
    batch = batch_of(*labels, packed=packed)
    states = states_of(batch)
    loss = objective.loss(states, batch)
    sentences = torch.split(batch.layout.take_real(states.hidden), batch.layout.sizes)
    each = [by_enumeration(objective, hidden, known) for hidden, known in zip(sentences, labels, strict=True)]
    torch.testing.assert_close(loss.total, torch.stack(each).sum(), **EXACT)
    assert int(loss.count) == len(loss.each) == 8
    ours = torch.stack([part.sum() for part in torch.split(loss.each, [4, 1, 3])])
    torch.testing.assert_close(ours, torch.stack(each), **EXACT)
    asked = [states.hidden, *objective.parameters()]
    gradients = [torch.autograd.grad(total, asked, materialize_grads=True) for total in (loss.total, sum(each))]
    torch.testing.assert_close(*gradients, **EXACT)


@CHAINS
def test_a_sentence_costs_its_tokens_in_equal_shares(output: str) -> None:
    loss = build(output=output).loss(states_of(batch_of([0, 1], [2])), batch_of([0, 1], [2]))
    assert loss.each[0] == loss.each[1] != loss.each[2]


@OUTPUTS
@pytest.mark.parametrize("packed", [True, False])
def test_masked_steps_are_taken_out(output: str, packed: bool) -> None:
    """Mask 0 1 0 1 1 0, -100 where off: loss, gradient and path are those of the same sequence without those steps; a
    sentence that is masked whole is not there."""
    objective = build(output=output)
    holes = batch_of([-100, 2, -100, 0, 1, -100], [-100, -100], [1, -100], packed=packed)
    states = states_of(holes)
    kept = holes.labels["tags"] != NOT_ASKED
    plain = batch_of([2, 0, 1], [1])
    left = states.hidden.detach()[kept].requires_grad_()
    with_holes, without = objective.loss(states, holes), objective.loss(States(left, plain.layout, (left,)), plain)
    torch.testing.assert_close(with_holes.each, without.each, **EXACT)
    torch.testing.assert_close(with_holes.total, without.total, **EXACT)
    assert int(with_holes.count) == int(without.count) == 4
    assert with_holes.total > 0
    (ours,) = torch.autograd.grad(with_holes.total, states.hidden, retain_graph=True)
    (theirs,) = torch.autograd.grad(without.total, left, retain_graph=True)
    torch.testing.assert_close(ours[kept], theirs, **EXACT)
    assert not ours[~kept].any()
    parameters = list(objective.parameters())
    gradients = [torch.autograd.grad(loss.total, parameters) for loss in (with_holes, without)]
    torch.testing.assert_close(gradients[0], gradients[1], **EXACT)
    paths = objective.answer(states, holes)
    expected = objective.answer(States(left, plain.layout, (left,)), plain)
    assert [path.tolist() for path in paths] == [expected[0].tolist(), [], expected[1].tolist()]


@CHAINS
def test_an_unknown_label_is_not_a_masked_step(output: str) -> None:
    objective = build(output=output)
    losses = [objective.loss(states_of(batch_of(tags)), batch_of(tags)).total for tags in ([0, -1, 2], [0, -100, 2])]
    assert not torch.isclose(losses[0], losses[1])


@OUTPUTS
def test_where_nothing_is_known_it_costs_nothing_and_moves_nothing(output: str) -> None:
    objective = build(output=output)
    batch = batch_of([UNKNOWN] * 4, [UNKNOWN])
    states = states_of(batch)
    loss = objective.loss(states, batch)
    assert int(loss.count) == 5
    torch.testing.assert_close(loss.each, torch.zeros(5, dtype=torch.float64), **EXACT)
    loss.total.backward()
    assert states.hidden.grad is not None
    torch.testing.assert_close(states.hidden.grad, torch.zeros_like(states.hidden), **EXACT)


@OUTPUTS
@pytest.mark.parametrize("decoding", ["viterbi", "posterior"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_answer_is_the_likeliest(output: str, decoding: str, packed: bool) -> None:
    objective = build(output=output, decoding=decoding)
    batch = batch_of(*([UNKNOWN] * length for length in LENGTHS), packed=packed)
    states = states_of(batch, seed=3)
    sentences = torch.split(batch.layout.take_real(states.hidden), batch.layout.sizes)
    answers = objective.answer(states, batch)
    assert [len(path) for path in answers] == list(LENGTHS)
    for hidden, path in zip(sentences, answers, strict=True):
        table = weights(objective, hidden)
        if decoding == "viterbi":
            assert tuple(path.tolist()) == max(table, key=lambda one: table[one].item())
            continue
        for t, label in enumerate(path.tolist()):
            shares = [sum(w.exp().item() for one, w in table.items() if one[t] == k) for k in range(3)]
            assert label == int(np.argmax(shares))


def test_the_chain_answers_for_marginals_and_the_n_best() -> None:
    objective = build(output="crf")
    batch = batch_of([UNKNOWN] * 3)
    states = states_of(batch)
    table = weights(objective, states.hidden)
    chain = objective.chain(states, batch)
    log_z = log_partition(chain)
    ranked = sorted(table, key=lambda one: -table[one].item())
    for (path, weight), expected in zip(n_best(chain, 5)[0], ranked, strict=False):
        assert tuple(path.tolist()) == expected
        assert weight - log_z.item() == pytest.approx(table[expected].item(), abs=1e-12)
    shares = marginals(chain)
    for t, k in itertools.product(range(3), range(3)):
        expected_share = sum(weight.exp() for one, weight in table.items() if one[t] == k)
        torch.testing.assert_close(shares[t, k], torch.as_tensor(expected_share), **EXACT)


@OUTPUTS
def test_without_labels_every_token_is_answered(output: str) -> None:
    objective = build(output=output)
    plain = collate([np.arange(length) for length in LENGTHS], packed=False)
    asked = batch_of(*([UNKNOWN] * length for length in LENGTHS), packed=False)
    answers = [objective.answer(states_of(batch), batch) for batch in (plain, asked)]
    for one, other in zip(*answers, strict=True):
        assert np.array_equal(one, other)


def test_a_memm_cannot_look_back_and_a_crf_can() -> None:
    """The derivative of log p(y_1) after the scores of later tokens (Lafferty et al. 2001): the label bias."""
    for output, bound in (("memm", 1e-15), ("crf", None)):
        objective = build(output=output)
        batch = batch_of([1, UNKNOWN, UNKNOWN, UNKNOWN])
        states = states_of(batch)
        (reach,) = torch.autograd.grad(objective.loss(states, batch).total, states.hidden)
        later = reach[1:].abs().max().item()
        assert later < bound if bound else later > 1e-3
        assert reach[0].abs().max() > 1e-2


def test_a_memm_needs_no_normalisation() -> None:
    generator = torch.Generator().manual_seed(0)
    emissions, A = (torch.randn(size, 3, generator=generator, dtype=torch.float64) for size in (6, 3))
    layout = Layout(torch.tensor([4, 2]), 4, packed=True)
    for start in (None, A[0]):
        chain = normalised_step_by_step(Chain(emissions, A, layout, start))
        torch.testing.assert_close(log_partition(chain), torch.zeros(2, dtype=torch.float64), **EXACT)


@OUTPUTS
@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_what_is_answered_keeps_to_the_scheme(output: str, scheme: str) -> None:
    """Though most of what the scores prefer does not."""
    labels = {"bio": SPANS, "bioes": ("O", "B-X", "I-X", "E-X", "S-X")}[scheme]
    free, held = build(labels, output=output), build(labels, output=output, scheme=scheme)
    starts = (0, 1) if scheme == "bio" else (0, 1, 4)
    inside = (0, 1, 2) if scheme == "bio" else (2, 3)
    goes_on = {0: starts, 1: inside, 2: inside, 3: starts, 4: starts}
    ends = (0, 1, 2) if scheme == "bio" else (0, 3, 4)
    broken = 0
    for seed in range(20):
        batch = batch_of([UNKNOWN] * 3, [UNKNOWN])
        states = states_of(batch, seed)
        for objective in (free, held):
            for path in objective.answer(states, batch):
                steps = [label in goes_on[before] for before, label in itertools.pairwise(path.tolist())]
                fits = path[0] in starts and all(steps) and path[-1] in ends
                assert fits or objective is free
                broken += not fits
    assert broken > 5


@CHAINS
def test_the_scheme_is_in_the_likelihood(output: str) -> None:
    """The taggings that it allows share all of the probability; the loss is that of this distribution."""
    objective = build(SPANS, output=output, scheme="bio")
    every = itertools.product(range(3), repeat=3)
    allowed = [one for one in every if one[0] != 2 and (0, 2) not in itertools.pairwise(one)]
    states = states_of(batch_of([0, 1, 2]))
    total = 0.0
    for one in allowed:
        total += (-objective.loss(states, batch_of(list(one))).total).exp().item()
    assert total == pytest.approx(1, abs=1e-12)
    if output == "crf":
        table = weights(objective, states.hidden, allowed=allowed)
        torch.testing.assert_close(objective.loss(states, batch_of([0, 1, 2])).total, -table[0, 1, 2], **EXACT)


def test_a_softmax_learns_without_the_scheme() -> None:
    batch = batch_of([0, 2, 1])
    with_it, without = (build(SPANS, scheme=scheme).loss(states_of(batch), batch) for scheme in ("bio", "none"))
    assert torch.equal(with_it.total, without.total)
    assert with_it.total.isfinite()


@CHAINS
@pytest.mark.parametrize(
    ("tags", "place"),
    [
        ([[0, 1], [1, 0, 2]], "sequence 1, token 2"),
        ([[2]], "sequence 0, token 0"),
        ([[0, -100, -1, 2, 1, -100, 0, 2]], "sequence 0, token 7"),
    ],
)
def test_labels_that_break_the_scheme_are_named(output: str, tags: list[list[int]], place: str) -> None:
    """Counted in the sentence as it was given, holes and all."""
    objective = build(SPANS, output=output, scheme="bio")
    batch = batch_of(*tags)
    with pytest.raises(InputError, match=f"{place}: the labels up to here break the scheme bio; mend them"):
        objective.loss(states_of(batch), batch)


@CHAINS
def test_scores_that_are_not_finite_diverge_in_training_and_are_named_in_answers(output: str) -> None:
    objective = build(output=output)
    batch = batch_of([0, -100, 1], [2])
    for value in (torch.nan, torch.inf):
        states = states_of(batch)
        with torch.no_grad():
            states.hidden[2, 0] = value
        assert objective.loss(states, batch).total.isnan()
        with pytest.raises(InputError, match="sequence 0, token 2: its scores are not finite"):
            objective.answer(states, batch)
    states = states_of(batch)
    with torch.no_grad():
        states.hidden[1] = torch.nan  # a step that is taken out
    assert objective.loss(states, batch).total.isfinite()


def test_a_trunk_that_gives_scores_gets_no_head() -> None:
    objective = build(output="crf", trunk=Trunk(3, gives_scores=True))
    assert {name for name, _ in objective.named_parameters()} == {"start", "transition", "end"}
    batch = batch_of([0, 1])
    scores = torch.randn(2, 3, dtype=torch.float64)
    total = objective.loss(States(scores, batch.layout, (scores,)), batch).total
    torch.testing.assert_close(total, by_enumeration(objective, scores, [0, 1]), **EXACT)


def test_a_crf_learns_an_order_that_a_softmax_cannot() -> None:
    """Tokens that all look the same, with labels by turns."""
    losses = {}
    for output in ("softmax", "memm", "crf"):
        objective = build(("A", "B"), output=output)
        batch = batch_of([0, 1, 0, 1, 0], [0, 1])
        hidden = torch.ones(7, D, dtype=torch.float64)
        optimizer = torch.optim.LBFGS(objective.parameters(), max_iter=60, line_search_fn="strong_wolfe")

        def closure(objective: Tagging = objective, batch: Batch = batch, hidden: Tensor = hidden) -> Tensor:
            objective.zero_grad()
            total = objective.loss(States(hidden, batch.layout, (hidden,)), batch).total
            total.backward()
            return total

        optimizer.step(closure)
        losses[output] = closure().item()
        answers = objective.answer(States(hidden, batch.layout, (hidden,)), batch)
        if output != "softmax":
            assert [path.tolist() for path in answers] == [[0, 1, 0, 1, 0], [0, 1]]
    assert losses["crf"] < 1e-3
    assert losses["memm"] < 1e-3
    assert losses["softmax"] > 4


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"output": "cfr"}, "objective.output: 'cfr' is not one of softmax, crf, memm; did you mean 'crf'"),
        ({"scheme": "bioe"}, "did you mean 'bioes'"),
        ({"output": "crf", "loss": "focal"}, "a crf answers them together"),
        ({"output": "crf", "scheme": "bio", "decoding": "posterior"}, "can break the scheme; take viterbi"),
    ],
)
def test_what_cannot_act_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(tagging.Spec, fields, "objective")


@pytest.mark.parametrize(("given", "read"), [("none", None), ("", None), ("BIO", "bio"), ("IOB2", "bio")])
def test_schemes_by_their_names(given: str, read: str | None) -> None:
    assert validate(tagging.Spec, {"scheme": given}, "objective").scheme == read
