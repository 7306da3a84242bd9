"""What holds for every question, found by the folder's listing: both languages, claims that evidence can carry."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clearhead.bilingual import Bilingual
from clearhead.experiments.evidence import Evidence, rows_of
from clearhead.experiments.experiment import Experiment, cell
from clearhead.experiments.question import Question
from clearhead.experiments.verdict import judge
from clearhead.questions import menu
from clearhead.text.corpora import open_corpus

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
        words = question.words(chosen)
        assert words.en and words.zh
        assert "{" not in words.en + words.zh


def shares(question: Question) -> dict[str, float]:
    return {experiment.name: 1.0 for experiment in question.experiments}


def _with(verdict: object, outcome: str) -> object:
    import dataclasses

    return dataclasses.replace(verdict, outcome=outcome, effect=1.0, low=0.5, high=1.5)  # type: ignore[type-var]


@every_question
def test_every_arm_measures_what_the_claims_read(number: int, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(cache))
    torch.set_num_threads(1)
    question = menu.load(number)
    corpus = open_corpus(None)
    rows = []
    for experiment in question.experiments:
        tuned = {experiment.tune.over: experiment.tune.values[0]} if experiment.tune else {}
        extra = {**shortened(experiment), **tuned, **({"corpus": corpus} if experiment.needs_text else {})}
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
def test_exact_claims_hold_their_verdict_on_other_seeds(number: int) -> None:
    """What follows from algebra must not depend on the draw: judged on seeds that the product does not use."""
    question = menu.load(number)
    exact = [claim for claim in question.claims if claim.kind == "exact"]
    names = {claim.contrast.experiment for claim in exact}
    rows = []
    for experiment in question.experiments:
        if experiment.name not in names:
            continue
        for arm in experiment.arms:
            for dose in experiment.doses():
                for seed in (991, 992):
                    measured = cell(experiment, arm, dose, seed, "quick", {}).measure()
                    rows += rows_of(experiment.name, arm, dose, seed, measured)
    for name, (verdict, _) in judge(exact, Evidence(tuple(rows)), shares(question), {}, {}).items():
        textbook_is_wrong = {"each_position_by_itself"}
        assert verdict.outcome == ("refuted" if name in textbook_is_wrong else "supported"), name
