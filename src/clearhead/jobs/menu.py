"""The jobs by name, and the text behind each of them as a `Corpus`: what is read, named by its digest."""

from __future__ import annotations

import importlib
from dataclasses import replace
from types import ModuleType

from clearhead.digests import digest
from clearhead.jobs.data import DataSpec, Job
from clearhead.text.corpora import Corpus, open_corpus

MODULES: dict[Job, str] = {
    "language": "modelling_language",
    "tagging": "tagging",
    "classification": "classifying",
    "translation": "translating",
}


def load(job: Job) -> ModuleType:
    """The module of a job: `prepare`, `read`, `measure`, `criterion`, `predict`, `Encoder`."""
    return importlib.import_module(f"clearhead.jobs.{MODULES[job]}")


def corpus_of(data: DataSpec, text: str | None = None) -> Corpus:
    """The file that trains (or `text`, or what is embedded for the job), with a digest of all that is read."""
    train = data.train or text
    if train is None and data.job != "language":
        name: str = load(data.job).EMBEDDED
        return Corpus(name, digest("embedded", data.job), 0, "embedded")
    corpus = open_corpus(train, encoding=data.encoding)
    if data.dev is None:
        return corpus
    return replace(corpus, beside=open_corpus(data.dev, encoding=data.encoding).sha256)
