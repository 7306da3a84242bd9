"""Searches against enumeration of all that could be written, and against plain loops."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clearhead.errors import InputError
from clearhead.layers.decoding import DecodingSpec, generate
from clearhead.layers.decoding_beam import beam
from clearhead.layers.decoding_sampling import drawn, greedy, sample, sampling_probabilities
from clearhead.layers.decoding_steps import Hypothesis, best_words
from clearhead.spec import validate

WORDS, STEPS, END, BEGIN = 5, 6, 0, 1
PENALTIES = (0.0, 0.6, 1.0, 2.0)


@dataclass
class Written:
    """A cache that is what each row has written, its source first."""

    rows: list[tuple[int, ...]]
    seen: list[int] = field(default_factory=list)  # how many rows each step had

    def select(self, rows: Tensor) -> None:
        self.rows = [self.rows[row] for row in rows.tolist()]


def logits_after(history: tuple[int, ...], words: int = WORDS) -> Tensor:
    """A language without structure: every history has a distribution of its own."""
    seed = 1
    for one in history:
        seed = (seed * 1_000_003 + one + 17) % (2**31 - 1)
    return 2 * torch.randn(words, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step(token_ids: Tensor, cache: Written) -> Tensor:
    cache.rows = [(*row, one) for row, one in zip(cache.rows, token_ids.tolist(), strict=True)]
    cache.seen.append(len(cache.rows))
    return torch.stack([logits_after(row) for row in cache.rows])


def start(sources: list[int]) -> tuple[Written, Tensor]:
    return Written([(source,) for source in sources]), torch.full((len(sources),), BEGIN)


def everything(source: int, steps: int = STEPS) -> list[tuple[tuple[int, ...], float]]:
    """All that can be written in so many steps, with its log p: whatever ends, or is as long as may be."""
    found, opened = [], [((), 0.0)]
    for length in range(1, steps + 1):
        longer = []
        for ids, score in opened:
            log_p = logits_after((source, BEGIN, *ids)).log_softmax(-1).tolist()
            for word, value in enumerate(log_p):
                finished = word == END or length == steps
                (found if finished else longer).append(((*ids, word), score + value))
        opened = longer
    return found


ALL = {source: everything(source) for source in (0, 1)}


def ranked(source: int, penalty: float) -> list[tuple[tuple[int, ...], float]]:
    return sorted(ALL[source], key=lambda one: -one[1] / len(one[0]) ** penalty)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("n_best", [1, 4])
def test_a_beam_that_holds_all_is_exhaustive_search(penalty: float, n_best: int) -> None:
    cache, begin = start([0, 1])
    widest = 4 ** (STEPS - 1) * WORDS
    found = beam(step, cache, begin, end=END, max_length=STEPS, beams=widest, length_penalty=penalty, n_best=n_best)
    for source, hypotheses in enumerate(found):
        expected = ranked(source, penalty)[:n_best]
        assert [one.token_ids for one in hypotheses] == [ids for ids, _ in expected]
        for one, (ids, score) in zip(hypotheses, expected, strict=True):
            assert one.score == pytest.approx(score, abs=1e-12)
            assert one.normalized == pytest.approx(score / len(ids) ** penalty, abs=1e-12)


def plain_beam(source: int, beams: int, penalty: float, steps: int) -> list[Hypothesis]:
    """Beam search that never stops before the last step, written for one source and without a cache."""
    opened: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished = []
    for length in range(1, steps + 1):
        candidates = []
        for ids, score in opened:
            log_p = logits_after((source, BEGIN, *ids)).log_softmax(-1).tolist()
            candidates += [((*ids, word), score + value) for word, value in enumerate(log_p)]
        candidates.sort(key=lambda one: -one[1])
        ends = [one for one in candidates[:beams] if one[0][-1] == END or length == steps]
        finished += [Hypothesis(ids, score, score / length**penalty) for ids, score in ends]
        opened = [one for one in candidates if one[0][-1] != END][:beams]
    return sorted(finished, key=lambda one: -one.normalized)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(2, 200), min_size=1, max_size=4, unique=True),
    st.integers(1, 5),
    st.sampled_from(PENALTIES),
    st.integers(1, 5),
    st.integers(1, 9),
)
def test_stopping_early_loses_nothing(sources: list[int], beams: int, penalty: float, n_best: int, steps: int) -> None:
    n_best = min(n_best, beams)
    cache, begin = start(sources)
    found = beam(step, cache, begin, end=END, max_length=steps, beams=beams, length_penalty=penalty, n_best=n_best)
    for source, hypotheses in zip(sources, found, strict=True):
        expected = plain_beam(source, beams, penalty, steps)[:n_best]
        assert [one.token_ids for one in hypotheses] == [one.token_ids for one in expected]
        assert [one.normalized for one in hypotheses] == pytest.approx([one.normalized for one in expected])


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("beams", [2, 4])
def test_the_first_does_not_depend_on_how_many_are_wanted(penalty: float, beams: int) -> None:
    for source in range(40):
        firsts = []
        for n_best in range(1, beams + 1):
            cache, begin = start([source])
            firsts.append(
                beam(step, cache, begin, end=END, max_length=12, beams=beams, length_penalty=penalty, n_best=n_best)[0][
                    0
                ]
            )
        assert len(set(firsts)) == 1


def markov(table: list[list[float]]) -> Any:
    """A step whose next word depends on the last one alone, by a table of probabilities."""
    logits = torch.tensor(table, dtype=torch.float64).log()
    return lambda token_ids, cache: logits[token_ids]


def test_the_search_goes_on_while_a_longer_one_may_still_win() -> None:
    """The end comes first with p = 0.6, and eight sure steps later one of mean log p nearer to 0."""
    step = markov([[1, 0, 0], [0.6, 0, 0.4], [0.02, 0, 0.98]])
    begin = torch.tensor([1])
    for penalty, expected in ((0.0, (0,)), (1.0, (2,) * 8)):
        (hypotheses,) = beam(step, Written([(0,)]), begin, end=END, max_length=8, beams=4, length_penalty=penalty)
        assert hypotheses[0].token_ids == expected
    assert hypotheses[0].normalized == pytest.approx((math.log(0.4) + 7 * math.log(0.98)) / 8, abs=1e-12)


def test_a_search_that_is_decided_takes_no_more_steps() -> None:
    steps = []
    sure = markov([[1, 0, 0], [0.9, 0.05, 0.05], [0.9, 0.05, 0.05]])

    def counted(token_ids: Tensor, cache: Written) -> Tensor:
        steps.append(len(token_ids))
        return sure(token_ids, cache)

    (found,) = beam(counted, Written([(0,)]), torch.tensor([1]), end=END, max_length=50, beams=2)
    assert found[0].token_ids == (END,)
    assert steps == [1]


def test_finished_sources_leave_the_batch() -> None:
    sources = list(range(12))
    for search in (
        lambda cache, begin: beam(step, cache, begin, end=END, max_length=9, beams=3),
        lambda cache, begin: greedy(step, cache, begin, end=END, max_length=9),
    ):
        cache, begin = start(sources)
        search(cache, begin)
        steady = cache.seen[1:] if cache.seen[1] > cache.seen[0] else cache.seen
        assert steady == sorted(steady, reverse=True)
        assert steady[-1] < steady[0]


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_sources_together_are_as_alone(beams: int) -> None:
    sources, limits = [3, 9, 27, 81], [2, 7, 1, 5]
    cache, begin = start(sources)
    together = beam(step, cache, begin, end=END, max_length=limits, beams=beams, length_penalty=0.6, n_best=beams)
    for source, limit, expected in zip(sources, limits, together, strict=True):
        cache, begin = start([source])
        alone = beam(step, cache, begin, end=END, max_length=limit, beams=beams, length_penalty=0.6, n_best=beams)
        assert alone == [expected]
        assert all(len(one.token_ids) <= limit for one in expected)


def test_greedy_takes_the_best_word_at_each_step() -> None:
    cache, begin = start(list(range(20)))
    found = greedy(step, cache, begin, end=END, max_length=7)
    for source, hypothesis in enumerate(found):
        ids, score = (), 0.0
        while len(ids) < 7 and ids[-1:] != (END,):
            log_p = logits_after((source, BEGIN, *ids)).log_softmax(-1)
            ids, score = (*ids, int(log_p.argmax())), score + float(log_p.max())
        assert hypothesis.token_ids == ids
        assert hypothesis.score == pytest.approx(score, abs=1e-12)


def test_a_beam_of_one_without_a_penalty_is_greedy() -> None:
    for source in range(20):
        cache, begin = start([source])
        (found,) = beam(step, cache, begin, end=END, max_length=7, beams=1)
        cache, begin = start([source])
        assert found == greedy(step, cache, begin, end=END, max_length=7)


def test_no_beam_beats_the_best_of_all() -> None:
    for source, penalty in itertools.product((0, 1), PENALTIES):
        best = ranked(source, penalty)[0]
        for beams in (1, 2, 4):
            cache, begin = start([source])
            ((one,),) = beam(step, cache, begin, end=END, max_length=STEPS, beams=beams, length_penalty=penalty)
            assert one.normalized <= best[1] / len(best[0]) ** penalty + 1e-12


@pytest.mark.parametrize("banned", [{2}, {1, 3}, {1, 2, 3, 4}])
def test_what_is_banned_is_never_written_and_keeps_its_share_of_the_probability(banned: set[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    for source in range(10):
        for search in (
            lambda cache, begin: beam(step, cache, begin, end=END, max_length=5, beams=3, n_best=3, banned=banned)[0],
            lambda cache, begin: greedy(step, cache, begin, end=END, max_length=5, banned=banned),
            lambda cache, begin: sample(step, cache, begin, end=END, max_length=5, generator=generator, banned=banned),
        ):
            for one in search(*start([source])):
                assert not banned & set(one.token_ids)
                score = sum(
                    float(logits_after((source, BEGIN, *one.token_ids[:place])).log_softmax(-1)[word])
                    for place, word in enumerate(one.token_ids)
                )
                assert one.score == pytest.approx(score, abs=1e-12)


def test_where_nothing_can_be_written_it_says_so() -> None:
    sure = markov([[0, 1, 0], [0, 1, 0], [0, 1, 0]])
    generator = torch.Generator()
    arguments = {"end": END, "max_length": 3, "banned": [1]}
    with pytest.raises(InputError, match="banned"):
        beam(sure, Written([(0,)]), torch.tensor([1]), beams=2, **arguments)
    with pytest.raises(InputError, match="banned"):
        greedy(sure, Written([(0,)]), torch.tensor([1]), **arguments)
    with pytest.raises(InputError, match="banned"):
        sample(sure, Written([(0,)]), torch.tensor([1]), generator=generator, **arguments)


@pytest.mark.parametrize("fault", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_refused(fault: float) -> None:
    def broken(token_ids: Tensor, cache: Written) -> Tensor:
        return torch.tensor([[0.0, 1.0, fault]])

    with pytest.raises(InputError, match="not finite numbers"):
        beam(broken, Written([(0,)]), torch.tensor([1]), end=END, max_length=3, beams=2)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 9), st.integers(0, 3), st.integers(0, 2**31 - 1))
def test_the_best_words_are_those_of_a_full_sort(words: int, count: int, bans: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_p = torch.randn(3, words, generator=generator, dtype=torch.float64).log_softmax(-1)
    banned = torch.randperm(words, generator=generator)[:bans]
    values, ids = best_words(log_p, count, banned)
    expected = log_p.index_fill(1, banned, -math.inf).sort(dim=-1, descending=True)
    possible = min(count, words - len(banned))
    assert torch.equal(values[:, :possible], expected.values[:, :possible])
    assert torch.equal(ids[:, :possible], expected.indices[:, :possible])
    assert (values[:, possible:] == -math.inf).all()


def test_draws_follow_the_distribution() -> None:
    """20,000 first words against their probabilities: every count within 5 standard deviations."""
    table = [0.5, 0.3, 0.0, 0.15, 0.05]
    many = 20_000
    found = sample(
        markov([table] * 5),
        Written([(0,)] * many),
        torch.full((many,), BEGIN),
        end=END,
        max_length=1,
        generator=torch.Generator().manual_seed(0),
    )
    counts = torch.bincount(torch.tensor([one.token_ids[0] for one in found]), minlength=5)
    for count, p in zip(counts.tolist(), table, strict=True):
        assert abs(count - many * p) <= 5 * math.sqrt(many * p * (1 - p))


def test_a_number_falls_into_its_words_share() -> None:
    probabilities = torch.tensor([[0.25, 0.0, 0.5, 0.25, 0.0]], dtype=torch.float64).repeat(6, 1)
    uniform = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2**-53], dtype=torch.float64)
    assert drawn(probabilities, uniform).tolist() == [0, 0, 2, 2, 3, 3]


def test_cuts_by_hand() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64).log()
    for cuts, expected in (
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_k": 9}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.65}, [4 / 7, 3 / 7, 0, 0]),
        ({"top_p": 0.75}, [4 / 9, 3 / 9, 2 / 9, 0]),
        ({"top_p": 0.01}, [1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.7}, [4 / 7, 3 / 7, 0, 0]),
    ):
        found = sampling_probabilities(logits, **cuts)  # type: ignore[arg-type]
        torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64), rtol=0, atol=1e-12)


def test_equal_generators_draw_alike_and_others_do_not() -> None:
    def draw(seed: int, sources: list[int]) -> list[Hypothesis]:
        cache, begin = start(sources)
        generator = torch.Generator().manual_seed(seed)
        return sample(step, cache, begin, end=END, max_length=9, generator=generator, temperature=1.5)

    many = list(range(20))
    assert draw(3, many) == draw(3, many)
    assert draw(3, many) != draw(4, many)
    assert draw(3, many)[:5] == draw(3, many[:5])


def test_the_spec_says_which_search_it_is() -> None:
    for fields, expected in (
        ({}, lambda: [[one] for one in greedy(step, *start([4, 5]), end=END, max_length=6)]),
        (
            {"beam": 3, "n_best": 2, "length_penalty": 0.6},
            lambda: beam(step, *start([4, 5]), end=END, max_length=6, beams=3, n_best=2, length_penalty=0.6),
        ),
        (
            {"temperature": 0.7, "top_k": 3, "top_p": 0.9},
            lambda: [
                [one]
                for one in sample(
                    step,
                    *start([4, 5]),
                    end=END,
                    max_length=6,
                    generator=torch.Generator().manual_seed(1),
                    temperature=0.7,
                    top_k=3,
                    top_p=0.9,
                )
            ],
        ),
    ):
        spec = DecodingSpec(max_length=6, **fields)  # type: ignore[arg-type]
        generator = torch.Generator().manual_seed(1)
        assert generate(step, *start([4, 5]), spec, end=END, generator=generator) == expected()


def test_the_length_of_a_source_is_the_lesser_of_two() -> None:
    found = generate(step, *start([0, 1]), DecodingSpec(max_length=3), end=99, max_length=[2, 8])
    assert [len(hypotheses[0].token_ids) for hypotheses in found] == [2, 3]
    found = generate(step, *start([0, 1]), DecodingSpec(max_length=3), end=99, max_length=1)
    assert [len(hypotheses[0].token_ids) for hypotheses in found] == [1, 1]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"length_penalty": 0.6}, "length_penalty belongs to beam search"),
        ({"n_best": 2}, "n_best belongs to beam search"),
        ({"beam": 2, "n_best": 3}, "cannot give the 3 best"),
        ({"top_k": 5}, "set temperature"),
        ({"top_p": 0.5}, "set temperature"),
        ({"temperature": 1.0, "beam": 4}, "set beam to 1"),
        ({"temperature": 0.0}, "greater than 0"),
        ({"beams": 4}, "did you mean 'beam'"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate(DecodingSpec, fields, "decoding")


def test_what_no_search_can_use_is_refused() -> None:
    with pytest.raises(InputError, match="needs a generator"):
        generate(step, *start([0]), DecodingSpec(temperature=1.0), end=END)
    with pytest.raises(InputError, match="2 sources need a length each"):
        greedy(step, *start([0, 1]), end=END, max_length=[3])
    with pytest.raises(InputError, match="at least 1 token"):
        greedy(step, *start([0]), end=END, max_length=0)
    with pytest.raises(InputError, match="1 to 2 hypotheses"):
        beam(step, *start([0]), end=END, max_length=3, beams=2, n_best=3)
