"""What holds for every question, found by the folder's listing: both languages, claims that evidence can carry."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clearhead.bilingual import Bilingual
from clearhead.experiments.claims import Claim
from clearhead.experiments.evidence import Evidence, rows_of
from clearhead.experiments.experiment import Experiment, cell
from clearhead.experiments.question import Question
from clearhead.experiments.transfer import repeat_of
from clearhead.experiments.verdict import judge
from clearhead.interop.finding import find_checkpoint
from clearhead.questions import menu
from clearhead.text.corpora import Corpus, open_corpus

NUMBERS = list(menu.entries())
every_question = pytest.mark.parametrize("number", NUMBERS)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def texts_of(question: Question) -> list[Bilingual]:
    said = [text for c in question.claims for text in (c.statement, c.supported, c.refuted) if text is not None]
    drawn = [text for view in question.figures for text in (view.title, view.caption, view.x.title, view.y.title)]
    return [question.title, question.mechanism, question.held_equal, *said, *drawn]


def shortened(experiment: Experiment) -> dict[str, object]:
    """Settings that make a cell quick: two steps where it trains, small draws where it draws."""
    short = {"steps": 2, "queries": 20, "characters": 30_000}
    return {name: short.get(name, value) for name, value in experiment.settings.quick.items()}


def given(experiment: Experiment) -> dict[str, object]:
    """The text and the checkpoint that the runner would hand over; the test is skipped where there is no checkpoint."""
    found = find_checkpoint()
    if experiment.needs_checkpoint and found is None:
        pytest.skip("no checkpoint of BERT's kind is on this machine")
    text = {"corpus": open_corpus(None)} if experiment.needs_text else {}
    return {**text, "checkpoint": found} if experiment.needs_checkpoint else text


@every_question
def test_the_list_and_the_question_agree(number: int) -> None:
    question = menu.load(number)
    assert question.number == number
    assert question.title == menu.entry(number).title


@every_question
def test_both_languages_say_something_and_chinese_is_chinese(number: int) -> None:
    for text in texts_of(menu.load(number)):
        assert bool(text.en) == bool(text.zh)
        if len(text.en.split()) > 3:
            assert any("一" <= c <= "鿿" for c in text.zh), text
            assert not any("一" <= c <= "鿿" for c in text.en), text


@every_question
def test_claims_have_names_of_their_own_and_experiments_that_are_there(number: int) -> None:
    question = menu.load(number)
    ids = [claim.id for claim in question.claims]
    assert len(ids) == len(set(ids)) >= 2
    assert any(claim.kind == "exact" for claim in question.claims)
    assert any(claim.kind == "measured" for claim in question.claims)
    names = {experiment.name for experiment in question.experiments}
    assert len(names) == len(question.experiments)
    assert {claim.contrast.experiment for claim in question.claims} <= names
    assert {view.experiment for view in question.figures} <= names
    for experiment in question.experiments:
        for looks in (experiment.seeds.quick, experiment.seeds.standard):
            assert list(looks) == sorted(set(looks))


@every_question
def test_the_short_answer_reads_only_verdicts_that_are_there(number: int) -> None:
    question = menu.load(number)
    verdicts = {id: pair[0] for id, pair in judge(question.claims, Evidence(()), shares(question), {}, {}).items()}
    for outcome in ("supported", "refuted"):
        chosen = {id: _with(verdict, outcome) for id, verdict in verdicts.items()}
        for said in question.sentences(chosen, {}):
            assert said.en and said.zh
            assert "{" not in said.en + said.zh
        assert question.sentences(chosen, {})


def shares(question: Question) -> dict[str, float]:
    return {experiment.name: 1.0 for experiment in question.experiments}


def _with(verdict: object, outcome: str) -> object:
    import dataclasses

    return dataclasses.replace(verdict, outcome=outcome, effect=1.0, low=0.5, high=1.5)  # type: ignore[type-var]


@every_question
def test_every_measured_claim_can_be_repeated_elsewhere(number: int) -> None:
    question = menu.load(number)
    second = Corpus("a second text", "1", 1, "embedded:source")
    for experiment in question.experiments:
        if any(c.kind == "measured" and c.contrast.experiment == experiment.name for c in question.claims):
            assert repeat_of(experiment, question.claims, second) is not None, experiment.name


@every_question
def test_every_arm_measures_what_the_claims_read(number: int, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(cache))
    torch.set_num_threads(1)
    question = menu.load(number)
    rows = []
    for experiment in question.experiments:
        tuned = {experiment.tune.over: experiment.tune.values[0]} if experiment.tune else {}
        extra = {**shortened(experiment), **tuned, **given(experiment)}
        for arm in experiment.arms:
            for dose in experiment.doses():
                one = cell(experiment, arm, dose, 0, "quick", extra)
                rows += rows_of(experiment.name, arm, dose, 0, one.measure())
    evidence = Evidence(tuple(rows))
    for claim in question.claims:
        assert claim.contrast.read(evidence).n >= 1, claim.id
    for view in question.figures:
        assert any(row.experiment == view.experiment and row.measure in view.measures for row in rows), view.name


@every_question
def test_exact_claims_have_one_verdict_whatever_the_seed(number: int) -> None:
    """What follows from algebra must not depend on the draw: judged on seeds that the product does not use, each by
    itself, and held against the verdict that ships."""
    question = menu.load(number)
    exact = [claim for claim in question.claims if claim.kind == "exact"]
    seen = [outcomes(question, exact, seed) for seed in (991, 992)]
    assert seen[0] == seen[1]
    assert set(seen[0].values()) <= {"supported", "refuted"}
    shipped = menu.shipped(number)
    assert seen[0] == {**seen[0], **{id: verdict for id, verdict in shipped.items() if id in seen[0]}}


def outcomes(question: Question, claims: list[Claim], seed: int) -> dict[str, str]:
    names = {claim.contrast.experiment for claim in claims}
    rows = []
    for experiment in question.experiments:
        if experiment.name not in names:
            continue
        for arm in experiment.arms:
            for dose in experiment.doses():
                measured = cell(experiment, arm, dose, seed, "quick", given(experiment)).measure()
                rows += rows_of(experiment.name, arm, dose, seed, measured)
    judged = judge(claims, Evidence(tuple(rows)), shares(question), {}, {})
    return {id: verdict.outcome for id, (verdict, _) in judged.items()}
