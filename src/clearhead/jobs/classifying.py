"""Classification: texts, or pairs of texts, with a label -> items, accuracy and macro F1, classes of new texts."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.batches.batch import Batch
from clearhead.batches.encoding import EncodedTexts, encode_labelled
from clearhead.batches.sampling import BatchSpec
from clearhead.errors import InputError
from clearhead.evaluation.classification import class_scores
from clearhead.jobs.answering import answers, chunks, scores
from clearhead.jobs.data import DataSpec, Metrics, Prepared
from clearhead.jobs.keeping import TOKENIZER, read_inventory, tokenizer_bytes, tokenizer_in, write_inventory
from clearhead.jobs.sides import Scored, two_sides, unseen_words
from clearhead.models.states import States
from clearhead.text.corpora import Corpus
from clearhead.text.embedded import embedded_labelled
from clearhead.text.examples import LabelledText, Reading, Scheme
from clearhead.text.formats import open_labelled
from clearhead.text.inventory import Inventory
from clearhead.text.supervised import classes_in
from clearhead.text.tokenized import TextSpec
from clearhead.text.tokenizers import Tokenizer, train_tokenizer
from clearhead.training.task import Task

EMBEDDED = "sentences of Python's documentation, by where they stand"

Gold = Scored[LabelledText, EncodedTexts]


@dataclass(frozen=True)
class Encoder:
    """Labelled texts to items and back."""

    tokenizer: Tokenizer
    inventory: Inventory

    def encoded(self, texts: Sequence[LabelledText]) -> EncodedTexts:
        return encode_labelled(texts, self.tokenizer, self.inventory.labels, max_length=self.inventory.max_length)

    def files(self) -> dict[str, bytes]:
        return {TOKENIZER: tokenizer_bytes(self.tokenizer), **write_inventory(self.inventory)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Encoder:
        tokenizer = tokenizer_in(files)
        return cls(tokenizer, read_inventory(files, tokenizer.vocabulary))


def prepare(data: DataSpec, text: TextSpec, corpus: Corpus, start: Mapping[str, bytes]) -> Prepared:
    """The texts of a file, some held out unless `data.dev` names others. Raises `InputError`."""
    sides = two_sides(data, functools.partial(_opened, data=data), text.validation_fraction)
    labels = classes_in(sides.train)
    if len(labels) < 2:
        raise InputError(f"{sides.source}: one class only, {', '.join(labels)}; a classifier needs two or more")
    tokenizer = tokenizer_in(start) if start else _tokenizer(text, sides.train)
    encoder = Encoder(tokenizer, Inventory(tokenizer.vocabulary, text.max_length, labels))
    encoded, scored = encoder.encoded(sides.train), Scored(sides.held, encoder.encoded(sides.held))
    count = f"{len(sides.train)} texts of {len(labels)} classes train, {len(sides.held)} are held out"
    notes = (*sides.notes, count, *_warnings(encoded), *_warnings(scored.encoded))
    return Prepared(encoded.items, scored.encoded.items, encoder, scored, notes, sides.source, corpus.sha256)


def _opened(path: str | None, scheme: Scheme | None, data: DataSpec) -> Reading[LabelledText]:
    if path is None:
        return embedded_labelled()
    if data.format == "conllu":
        raise InputError("data.format: conllu holds no labels of texts; take tsv, or conll with data.label")
    return open_labelled(
        Path(path),
        format=None if data.format == "auto" else data.format,
        encoding=data.encoding,
        header=data.header,
        metadata=data.label,
    )


def _tokenizer(text: TextSpec, texts: Sequence[LabelledText]) -> Tokenizer:
    sides = [side for one in texts for side in (one.text, one.second) if side]
    return train_tokenizer(text.tokenizer, sides, text.vocabulary_size)


def _warnings(encoded: EncodedTexts) -> Iterator[str]:
    if encoded.cut:
        yield f"{encoded.cut} texts are longer than text.max_length and lost their ends"
    yield from unseen_words("classes", encoded.unseen_labels)


def read(path: str, data: DataSpec, encoder: Encoder) -> tuple[Gold, tuple[str, ...]]:
    """The texts of a file, encoded as those that trained. Raises `InputError`."""
    reading = _opened(path, None, data)
    encoded = encoder.encoded(reading.examples)
    return Scored(reading.examples, encoded), (*reading.notices, *_warnings(encoded))


def measure(task: Task, encoder: Encoder, examples: Gold, batches: BatchSpec) -> Metrics:
    """Accuracy, macro F1, nats a text."""
    pad = encoder.inventory.vocabulary.pad
    labels = encoder.inventory.labels
    said = [labels[int(one)] for one in answers(task, examples.encoded.items, batches, pad)]
    found = class_scores([text.label for text in examples.examples], said)
    nats = scores(task, examples.encoded.items, batches, pad).mean
    return {"accuracy": found.accuracy, "macro_f1": found.macro_f1, "nats_per_text": nats}


def criterion(metrics: Metrics) -> float:
    """What training is to make small: the share of texts that are put wrong."""
    return 1.0 - float(metrics["accuracy"])


def predict(task: Task, encoder: Encoder, lines: Iterable[str]) -> Iterator[str]:
    """`class TAB probability TAB text` for every line that is not empty; a TAB in a line parts a pair of texts."""
    labels = encoder.inventory.labels
    objective: Any = task.objective

    def shares_of(states: States, batch: Batch) -> Sequence[Any]:
        return list(objective.probabilities(states))

    for some in chunks(line for line in lines if line.strip()):
        parts = [line.split("\t") for line in some]
        texts = [LabelledText("", part[0], part[1] if len(part) > 1 else None) for part in parts]
        items = encoder.encoded(texts).items
        likely = answers(task, items, BatchSpec(), encoder.inventory.vocabulary.pad, shares_of)
        for line, shares in zip(some, likely, strict=True):
            best = int(shares.argmax())
            yield f"{labels[best]}\t{shares[best]:.4f}\t{line}"
