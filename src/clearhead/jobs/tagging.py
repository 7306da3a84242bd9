"""Tagging: columns of words and tags -> items, accuracy and span F1, tags of new sentences."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clearhead.batches.encoding import EncodedSentences, WordFeatures, encode_tagged, join_tags
from clearhead.batches.sampling import BatchSpec
from clearhead.errors import InputError
from clearhead.evaluation.spans import span_scores
from clearhead.jobs.answering import answers, chunks, scores
from clearhead.jobs.data import DataSpec, Metrics, Prepared
from clearhead.jobs.keeping import TOKENIZER, read_inventory, tokenizer_bytes, tokenizer_in, write_inventory
from clearhead.jobs.sides import Scored, two_sides, unseen_words
from clearhead.text.corpora import Corpus
from clearhead.text.embedded import embedded_tagged
from clearhead.text.examples import Reading, Scheme, TaggedSentence
from clearhead.text.formats import open_tagged
from clearhead.text.inventory import Inventory
from clearhead.text.supervised import tags_in
from clearhead.text.templates import FeatureIndex, feature_index_from_json, index_features
from clearhead.text.tokenized import TextSpec
from clearhead.text.tokenizers import Tokenizer, train_tokenizer
from clearhead.text.words import CharacterVocabulary, train_characters, train_words
from clearhead.training.task import Task

EMBEDDED = "the standard library's own code, tagged by kind of token"
CHARACTERS, TEMPLATES = "characters.json", "templates.json"
ENCODING = "tagging.json"
BLANK = ""

Gold = Scored[TaggedSentence, EncodedSentences]


@dataclass(frozen=True)
class Encoder:
    """Tagged sentences to items and back. `scheme` is None where tags mark no spans."""

    tokenizer: Tokenizer
    inventory: Inventory
    spec: TextSpec
    scheme: Scheme | None
    split_characters: bool
    characters: CharacterVocabulary | None
    templates: FeatureIndex | None

    def encoded(self, sentences: Sequence[TaggedSentence]) -> EncodedSentences:
        maps: dict[str, WordFeatures] = {}
        if self.characters is not None:
            maps["characters"] = self.characters.rows
        if self.templates is not None:
            rows = iter(self.templates.encode([sentence.words for sentence in sentences]))
            maps["templates"] = lambda words: next(rows).astype(np.int64)
        return encode_tagged(
            sentences,
            self.tokenizer,
            self.inventory.labels,
            max_length=self.inventory.max_length,
            marks=self.spec.marks,
            features=maps,
        )

    def files(self) -> dict[str, bytes]:
        about = {
            "spec": self.spec.model_dump(mode="json"),
            "scheme": self.scheme,
            "split_characters": self.split_characters,
        }
        kept = {TOKENIZER: tokenizer_bytes(self.tokenizer), ENCODING: _json(about), **write_inventory(self.inventory)}
        if self.characters is not None:
            kept[CHARACTERS] = _json(list(self.characters.characters))
        if self.templates is not None:
            kept[TEMPLATES] = self.templates.to_json().encode()
        return kept

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Encoder:
        tokenizer, about = tokenizer_in(files), json.loads(files[ENCODING])
        return cls(
            tokenizer,
            read_inventory(files, tokenizer.vocabulary),
            TextSpec(**about["spec"]),
            about["scheme"],
            about["split_characters"],
            characters_in(files),
            feature_index_from_json(files[TEMPLATES].decode()) if TEMPLATES in files else None,
        )


def characters_in(files: Mapping[str, bytes]) -> CharacterVocabulary | None:
    """The characters of a run, None where it has none."""
    return CharacterVocabulary(tuple(json.loads(files[CHARACTERS]))) if CHARACTERS in files else None


def prepare(data: DataSpec, text: TextSpec, corpus: Corpus, start: Mapping[str, bytes]) -> Prepared:
    """The sentences of a file, some held out unless `data.dev` names others. Raises `InputError`."""
    sides = two_sides(data, functools.partial(_opened, data=data), text.validation_fraction)
    encoder = _trained(data, text, sides.train, sides.scheme, start)
    encoded, scored = encoder.encoded(sides.train), Scored(sides.held, encoder.encoded(sides.held))
    words = [sum(len(sentence.words) for sentence in side) for side in (sides.train, sides.held)]
    count = f"{len(sides.train)} sentences of {words[0]} words train, {len(sides.held)} of {words[1]} are held out"
    notes = (*sides.notes, count, *_warnings(encoded), *_warnings(scored.encoded))
    return Prepared(encoded.items, scored.encoded.items, encoder, scored, notes, sides.source, corpus.sha256)


def _opened(path: str | None, scheme: Scheme | None, data: DataSpec) -> Reading[TaggedSentence]:
    """`scheme` is one that is known already, and overrules what the data says."""
    if path is None:
        return embedded_tagged()
    return open_tagged(
        Path(path),
        format=None if data.format == "auto" else data.format,
        encoding=data.encoding,
        token_column=data.token_column,
        tag_column=data.tag_column,
        field=data.tag,
        characters=data.characters,
        scheme=scheme or (None if data.scheme == "auto" else data.scheme),
    )


def _trained(
    data: DataSpec,
    text: TextSpec,
    sentences: Sequence[TaggedSentence],
    scheme: Scheme | None,
    start: Mapping[str, bytes],
) -> Encoder:
    words = [sentence.words for sentence in sentences]
    tokenizer = tokenizer_in(start) if start else _tokenizer(text, words)
    characters = (characters_in(start) or train_characters(words)) if text.characters else None
    templates = None if text.templates is None else index_features(words, text.templates)
    inventory = Inventory(
        tokenizer.vocabulary,
        text.max_length,
        labels=tags_in(sentences),
        features=len(templates) if templates else 0,
        characters=characters.size if characters else 0,
    )
    return Encoder(tokenizer, inventory, text, scheme, data.characters, characters, templates)


def _tokenizer(text: TextSpec, words: Sequence[Sequence[str]]) -> Tokenizer:
    if text.tokenizer == "word":
        return train_words(
            words,
            vocabulary_size=text.vocabulary_size,
            min_frequency=text.min_frequency,
            lowercase=text.lowercase,
        )
    return train_tokenizer(text.tokenizer, map(" ".join, words), text.vocabulary_size)


def _warnings(encoded: EncodedSentences) -> Iterator[str]:
    if encoded.split:
        yield f"{encoded.split} sentences are longer than text.max_length and were cut into pieces"
    if encoded.cut_words:
        yield f"{encoded.cut_words} words are longer than text.max_length and lost their ends"
    yield from unseen_words("tags", encoded.unseen_tags)


def read(path: str, data: DataSpec, encoder: Encoder) -> tuple[Gold, tuple[str, ...]]:
    """The sentences of a file, encoded as those that trained. Raises `InputError`."""
    reading = _opened(path, encoder.scheme, data)
    encoded = encoder.encoded(reading.examples)
    return Scored(reading.examples, encoded), (*reading.notices, *_warnings(encoded))


def measure(task: Task, encoder: Encoder, examples: Gold, batches: BatchSpec) -> Metrics:
    """Accuracy over words; span F1, strict, with its scheme, where tags mark spans; nats a word."""
    pad = encoder.inventory.vocabulary.pad
    said = _tags(task, encoder, examples.encoded, batches)
    gold = [sentence.tags for sentence in examples.examples]
    metrics: Metrics = {"accuracy": _accuracy(gold, said)}
    if encoder.scheme is not None:
        found = span_scores(gold, said, encoder.scheme)
        metrics |= {"f1": found.micro.f1, "precision": found.micro.precision, "recall": found.micro.recall}
        metrics["scheme"] = found.rule
    metrics["nats_per_token"] = scores(task, examples.encoded.items, batches, pad).mean
    return metrics


def _accuracy(gold: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> float:
    pairs = [pair for tags, wanted in zip(said, gold, strict=True) for pair in zip(tags, wanted, strict=True)]
    return sum(one == other for one, other in pairs) / len(pairs) if pairs else 0.0


def _tags(task: Task, encoder: Encoder, encoded: EncodedSentences, batches: BatchSpec) -> list[tuple[str, ...]]:
    found = answers(task, encoded.items, batches, encoder.inventory.vocabulary.pad)
    return join_tags(encoded, found, encoder.inventory.labels)


def criterion(metrics: Metrics) -> float:
    """What training is to make small: what spans, or words, are missed."""
    return 1.0 - float(metrics.get("f1", metrics["accuracy"]))


def predict(task: Task, encoder: Encoder, lines: Iterable[str]) -> Iterator[str]:
    """`word TAB tag` for every word of every line, an empty line after each sentence.

    Lines are sentences, words between blanks; or columns, where the first line has a TAB, the words in the first (in
    CoNLL-U the second) of them.
    """
    for some in chunks(_sentences(lines, encoder.split_characters)):
        encoded = encoder.encoded([TaggedSentence(words, ()) for words in some])
        said = _tags(task, encoder, encoded, BatchSpec()) if encoded.items else []
        for words, tags in zip(some, said, strict=True):
            yield from (f"{word}\t{tag}" for word, tag in zip(words, tags, strict=True))
            yield BLANK


def _sentences(lines: Iterable[str], split_characters: bool) -> Iterator[tuple[str, ...]]:
    columns: bool | None = None
    words: list[str] = []
    for line in lines:
        if columns is None and line.strip() and not line.startswith("#"):
            columns = "\t" in line
        if not columns:
            split = [one for one in line if not one.isspace()] if split_characters else line.split()
            if split:
                yield tuple(split)
        elif not line.strip():
            if words:
                yield tuple(words)
            words = []
        elif not line.startswith("#"):
            words += _word(line)
    if words:
        yield tuple(words)


def _word(line: str) -> list[str]:
    cells = line.split("\t")
    if len(cells) == 10:  # CoNLL-U: ranges and empty nodes are no words
        return [cells[1]] if cells[0].isdecimal() else []
    if not cells[0]:
        raise InputError(f"a line of columns begins without a word: {line!r}; give one word a line, then its columns")
    return [cells[0]]


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
