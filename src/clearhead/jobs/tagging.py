"""Tagging: columns of words and tags -> items, accuracy and span F1, tags of new sentences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clearhead.batches.batch import Item
from clearhead.batches.encoding import EncodedSentences, WordFeatures, encode_tagged, join_tags
from clearhead.batches.sampling import BatchSpec
from clearhead.errors import InputError
from clearhead.evaluation.spans import span_scores
from clearhead.jobs.answering import answers, chunks, scores
from clearhead.jobs.data import DataSpec, Metrics, Prepared
from clearhead.jobs.keeping import TOKENIZER, read_inventory, tokenizer_bytes, tokenizer_in, write_inventory
from clearhead.text.corpora import Corpus
from clearhead.text.embedded import embedded_tagged
from clearhead.text.examples import Reading, Scheme, TaggedSentence
from clearhead.text.formats import open_tagged
from clearhead.text.inventory import Inventory
from clearhead.text.supervised import hold_out, in_both, tags_in
from clearhead.text.templates import FeatureIndex, feature_index_from_json, index_features
from clearhead.text.tokenized import TextSpec
from clearhead.text.tokenizers import Tokenizer, train_tokenizer
from clearhead.text.words import CharacterVocabulary, seen_once, train_characters, train_words, with_unknown
from clearhead.training.task import Task

EMBEDDED = "the standard library's own code, tagged by kind of token"
CHARACTERS, TEMPLATES = "characters.json", "templates.json"
ENCODING = "tagging.json"
BLANK = ""


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


@dataclass(frozen=True)
class Scored:
    """Sentences with their gold tags, and the items they became."""

    sentences: Sequence[TaggedSentence]
    encoded: EncodedSentences


def characters_in(files: Mapping[str, bytes]) -> CharacterVocabulary | None:
    """The characters of a run, None where it has none."""
    return CharacterVocabulary(tuple(json.loads(files[CHARACTERS]))) if CHARACTERS in files else None


def prepare(data: DataSpec, text: TextSpec, corpus: Corpus, start: Mapping[str, bytes]) -> Prepared:
    """The sentences of a file, some held out unless `data.dev` names others. Raises `InputError`."""
    reading = _opened(data.train, data)
    if data.dev is not None:
        dev = _opened(data.dev, replace_scheme(data, reading.scheme))
        train, held, notes = reading.examples, dev.examples, (*reading.notices, *dev.notices)
    else:
        train, held = hold_out(reading.examples, text.validation_fraction)
        notes = reading.notices
    encoder = _trained(data, text, train, reading.scheme, start)
    encoded, scored = encoder.encoded(train), Scored(held, encoder.encoded(held))
    return Prepared(
        _with_unknown_words(encoded.items, encoder),
        scored.encoded.items,
        encoder,
        scored,
        (*notes, *_counts(train, held, encoded, scored.encoded)),
        reading.source,
        corpus.sha256,
    )


def replace_scheme(data: DataSpec, scheme: Scheme | None) -> DataSpec:
    """The same data, read by the scheme that was found in what trains."""
    return data.model_copy(update={"scheme": scheme or "none"})


def _opened(path: str | None, data: DataSpec) -> Reading[TaggedSentence]:
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
        scheme=None if data.scheme == "auto" else data.scheme,
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


def _with_unknown_words(items: Sequence[Item], encoder: Encoder) -> Sequence[Item]:
    """Items in which words seen once stand for unknown ones, where the recipe wants a share of them to."""
    if not encoder.spec.unknown_share:
        return items
    sequences = [np.asarray(item.token_ids) for item in items]
    unknown = encoder.tokenizer.vocabulary.unknown
    replaced = with_unknown(sequences, seen_once(sequences), unknown, share=encoder.spec.unknown_share, seed=0)
    return [replace(item, token_ids=ids) for item, ids in zip(items, replaced, strict=True)]


def _counts(
    train: Sequence[TaggedSentence],
    held: Sequence[TaggedSentence],
    encoded: EncodedSentences,
    scored: EncodedSentences,
) -> Iterator[str]:
    """What was found, in sentences."""
    words = [sum(len(sentence.words) for sentence in side) for side in (train, held)]
    yield f"{len(train)} sentences of {words[0]} words train, {len(held)} of {words[1]} are held out"
    if doubles := in_both(train, held):
        yield f"{doubles} of the held-out sentences stand in train too"
    yield from _warnings(encoded)
    yield from _warnings(scored)


def _warnings(encoded: EncodedSentences) -> Iterator[str]:
    if encoded.split:
        yield f"{encoded.split} sentences are longer than text.max_length and were cut into pieces"
    if encoded.cut_words:
        yield f"{encoded.cut_words} words are longer than text.max_length and lost their ends"
    if encoded.unseen_tags:
        shown = ", ".join(encoded.unseen_tags)
        times = sum(encoded.unseen_tags.values())
        yield f"tags that training has not seen, {times} times: {shown}; they count as wrong"


def read(path: str, data: DataSpec, encoder: Encoder) -> tuple[Scored, tuple[str, ...]]:
    """The sentences of a file, encoded as those that trained. Raises `InputError`."""
    reading = _opened(path, replace_scheme(data, encoder.scheme))
    encoded = encoder.encoded(reading.examples)
    return Scored(reading.examples, encoded), (*reading.notices, *_warnings(encoded))


def measure(task: Task, encoder: Encoder, examples: Scored, batches: BatchSpec) -> Metrics:
    """Accuracy over words; span F1, strict, with its scheme, where tags mark spans; nats a word."""
    pad = encoder.inventory.vocabulary.pad
    said = _tags(task, encoder, examples.encoded, batches)
    gold = [sentence.tags for sentence in examples.sentences]
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
