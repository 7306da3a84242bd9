"""The feature CRF against CRFsuite on the same features: likelihood, weights, probabilities, tags."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycrfsuite
import pytest
import torch

from clearhead.batches.batch import Item, collate
from clearhead.models import sparse_features
from clearhead.objectives import tagging
from clearhead.text.inventory import Inventory
from clearhead.text.templates import FeatureIndex, TemplateSpec, feature_names, index_features, templates
from clearhead.text.tokenizers import Vocabulary
from clearhead.training.loop import fit
from clearhead.training.spec import TrainingSpec
from clearhead.training.task import Task

LABELS = ("NOUN", "VERB", "DET")
SPEC = TemplateSpec(window=1, affixes=2)
Sentence = tuple[list[str], list[str]]


@pytest.fixture(scope="module")
def corpus() -> list[Sentence]:
    """A language in which the label hangs on the word, its ending and the label before, now and then at random."""
    rng = np.random.default_rng(0)
    endings = {"NOUN": "tion", "VERB": "ing", "DET": ""}
    sentences = []
    for length in rng.integers(1, 9, 60):
        words, tags = [], []
        for _ in range(length):
            before = LABELS.index(tags[-1]) if tags else 2
            tags.append(LABELS[rng.choice(3, p=np.roll([0.7, 0.2, 0.1], before + 1))])
            shown = tags[-1] if rng.random() < 0.8 else LABELS[rng.integers(3)]
            words.append("abcdef"[rng.integers(6)] + endings[shown])
        sentences.append((words, tags))
    return sentences


def trained_by_crfsuite(corpus: list[Sentence], c2: float, path: Path) -> tuple[pycrfsuite.Tagger, float]:
    """The model and its penalised negative log-likelihood at the end."""
    params = {"c1": 0, "c2": c2, "max_iterations": 2000, "epsilon": 1e-9, "delta": 0.0}
    every = {"feature.possible_states": True, "feature.possible_transitions": True}
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", params={**params, **every}, verbose=False)
    for words, tags in corpus:
        trainer.append(feature_names(words, templates(SPEC)), tags)
    trainer.train(str(path))
    tagger = pycrfsuite.Tagger()
    tagger.open(str(path))
    return tagger, trainer.logparser.last_iteration["loss"]


def items(corpus: list[Sentence], index: FeatureIndex) -> list[Item]:
    encoded = index.encode([words for words, _ in corpus])
    return [
        Item(ids[:, 0] * 0, labels={"tags": np.array([LABELS.index(tag) for tag in tags])}, features={"templates": ids})
        for (_, tags), ids in zip(corpus, encoded, strict=True)
    ]


def trained_here(corpus: list[Sentence], index: FeatureIndex, c2: float) -> tuple[Task, float]:
    """The same, with neither start nor end weights: CRFsuite has none."""
    inventory = Inventory(Vocabulary(5), 16, labels=LABELS, features=len(index))
    model = sparse_features.build(sparse_features.Spec(), inventory)
    objective = tagging.build(tagging.Spec(output="crf"), model, inventory)
    for edge in (objective.start, objective.end):
        edge.requires_grad_(False)
    task = Task(model, objective).double()
    batch = collate(items(corpus, index), packed=True)
    tokens = len(batch.token_ids)
    spec = TrainingSpec(optimizer={"name": "lbfgs", "tolerance": 1e-10}, steps=2000, l2=2 * c2 / tokens, clip=None)
    for _ in fit(task, iter([batch]), spec, seed=0):
        pass
    squares = sum(weight.square().sum() for weight in (model.weight, objective.transition))
    return task, (task(batch).total + c2 * squares).item()


@pytest.mark.parametrize("c2", [0.05, 1.0])
def test_the_same_optimum(corpus: list[Sentence], c2: float, tmp_path: Path) -> None:
    tagger, their_loss = trained_by_crfsuite(corpus, c2, tmp_path / "model.crfsuite")
    index = index_features([words for words, _ in corpus], SPEC)
    task, our_loss = trained_here(corpus, index, c2)
    assert our_loss == pytest.approx(their_loss, rel=1e-5)
    their_weights = tagger.info()
    weight, transition = (task.get_parameter(name).detach() for name in ("model.weight", "objectives.0.transition"))
    assert len(their_weights.state_features) == len(index) * len(LABELS)
    for (feature, label), value in their_weights.state_features.items():
        assert weight[index.ids[feature], LABELS.index(label)].item() == pytest.approx(value, abs=5e-4)
    for (before, label), value in their_weights.transitions.items():
        assert transition[LABELS.index(before), LABELS.index(label)].item() == pytest.approx(value, abs=5e-4)


def test_the_same_answers_and_probabilities(corpus: list[Sentence], tmp_path: Path) -> None:
    """On sentences that training has not seen, new features among them."""
    tagger, _ = trained_by_crfsuite(corpus[:40], 0.1, tmp_path / "model.crfsuite")
    index = index_features([words for words, _ in corpus[:40]], SPEC)
    task, _ = trained_here(corpus[:40], index, 0.1)
    batch = collate(items(corpus[40:], index), packed=True)
    states = task.model(batch)
    loss = task.objective.loss(states, batch)
    nats = torch.split(loss.each, batch.layout.sizes)
    right = {"ours": 0, "theirs": 0}
    for (words, tags), path, each in zip(corpus[40:], task.objective.answer(states, batch), nats, strict=True):  # type: ignore[attr-defined]
        tagger.set(feature_names(words, templates(SPEC)))
        said = tagger.tag()
        assert [LABELS[label] for label in path] == said
        assert (-each.sum()).exp().item() == pytest.approx(tagger.probability(tags), abs=1e-4)
        right["ours"] += sum(LABELS[label] == tag for label, tag in zip(path, tags, strict=True))
        right["theirs"] += sum(one == tag for one, tag in zip(said, tags, strict=True))
    assert right["ours"] == right["theirs"] > 0.5 * sum(len(words) for words, _ in corpus[40:])
