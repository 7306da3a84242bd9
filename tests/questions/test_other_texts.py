"""Questions asked of other texts than the embedded one: Chinese, and a few kilobytes. Both are words of this project's
own, or of the Python that runs."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from clearhead.errors import TooLittleError
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import Experiment, cell
from clearhead.interop.finding import find_checkpoint
from clearhead.questions import menu
from clearhead.text.corpora import Corpus, documents, open_corpus

ASKED = (1, 8, 12, 20, 25)
SHORT = {"steps": 2, "queries": 20, "characters": 30_000}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARHEAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """What all questions say in Chinese."""
    said = []
    for number in menu.entries():
        question = menu.load(number)
        said += [question.title.zh, *question.mechanism.zh.split("\n\n"), question.held_equal.zh]
        said += [text.zh for claim in question.claims for text in (claim.statement, claim.supported) if text]
    file = tmp_path_factory.mktemp("chinese") / "own.txt"
    file.write_text("\n\n".join(said), encoding="utf-8")
    return open_corpus(file)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Five thousand characters."""
    file = tmp_path_factory.mktemp("short") / "short.txt"
    file.write_text("".join(documents(open_corpus(None)))[:5_000], encoding="utf-8")
    return open_corpus(file)


def measured(experiment: Experiment, corpus: Corpus) -> list[Measured]:
    """Every arm at its first dose, with little work."""
    settings = {name: SHORT.get(name, value) for name, value in experiment.settings.quick.items()}
    tuned = {experiment.tune.over: experiment.tune.values[0]} if experiment.tune else {}
    extra: dict[str, object] = {**settings, **tuned, "corpus": corpus}
    if experiment.needs_checkpoint:
        extra["checkpoint"] = find_checkpoint()
    dose = next(experiment.doses())
    return [cell(experiment, arm, dose, 0, "quick", extra).measure() for arm in experiment.arms]


def on_text(number: int) -> list[Experiment]:
    found = [experiment for experiment in menu.load(number).experiments if experiment.needs_text]
    assert found, "this question asks nothing of the text; choose another"
    return [one for one in found if not one.needs_checkpoint or find_checkpoint() is not None]


def numbers(measures: Measured) -> list[float]:
    return [n for found in measures.values() for n in (found.values.values() if isinstance(found, Along) else [found])]


@pytest.mark.parametrize("number", ASKED)
def test_a_chinese_text_is_measured(number: int, chinese: Corpus) -> None:
    for experiment in on_text(number):
        for measures in measured(experiment, chinese):
            assert all(map(math.isfinite, numbers(measures))), experiment.name


@pytest.mark.parametrize("number", ASKED)
def test_a_text_of_a_few_kilobytes_is_measured_or_refused_in_a_sentence(number: int, short: Corpus) -> None:
    for experiment in on_text(number):
        try:
            measured(experiment, short)
        except TooLittleError as fault:
            assert "give a longer text" in str(fault)
