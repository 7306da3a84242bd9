"""Translation: pairs of texts -> items, BLEU and chrF of what is written, translations of new texts."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clearhead.batches.batch import Item
from clearhead.batches.encoding import EncodedPairs, encode_pairs
from clearhead.batches.sampling import BatchSpec
from clearhead.evaluation.translation import BleuTokenizer, translation_scores
from clearhead.jobs.answering import chunks, scores
from clearhead.jobs.data import DataSpec, Metrics, Prepared
from clearhead.jobs.keeping import SOURCE, TOKENIZER, read_inventory, tokenizer_bytes, tokenizer_in, write_inventory
from clearhead.jobs.sides import Scored, two_sides
from clearhead.jobs.writing import translated
from clearhead.text.corpora import Corpus
from clearhead.text.embedded import embedded_pairs
from clearhead.text.examples import Reading, Scheme, TextPair
from clearhead.text.formats import open_pairs
from clearhead.text.inventory import Inventory
from clearhead.text.tokenized import TextSpec
from clearhead.text.tokenizers import Tokenizer, train_tokenizer
from clearhead.training.task import Task

EMBEDDED = "numbers in English words and in Chinese numerals"
ENCODING = "translating.json"

Gold = Scored[TextPair, EncodedPairs]


@dataclass(frozen=True)
class Encoder:
    """Pairs of texts to items and back; one tokenizer for both sides where they share it."""

    tokenizer: Tokenizer
    source_tokenizer: Tokenizer
    inventory: Inventory
    bleu_tokenizer: BleuTokenizer

    def encoded(self, pairs: Sequence[TextPair]) -> EncodedPairs:
        return encode_pairs(pairs, self.source_tokenizer, self.tokenizer, max_length=self.inventory.max_length)

    def files(self) -> dict[str, bytes]:
        return {
            TOKENIZER: tokenizer_bytes(self.tokenizer),
            SOURCE + TOKENIZER: tokenizer_bytes(self.source_tokenizer),
            ENCODING: json.dumps({"bleu_tokenizer": self.bleu_tokenizer}).encode(),
            **write_inventory(self.inventory),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Encoder:
        target, source = tokenizer_in(files), tokenizer_in(files, SOURCE + TOKENIZER)
        inventory = read_inventory(files, target.vocabulary, source.vocabulary)
        return cls(target, source, inventory, json.loads(files[ENCODING])["bleu_tokenizer"])


def prepare(data: DataSpec, text: TextSpec, corpus: Corpus, start: Mapping[str, bytes]) -> Prepared:
    """The pairs of a file, some held out unless `data.dev` names others. Raises `InputError`."""
    sides = two_sides(data, functools.partial(_opened, data=data), text.validation_fraction)
    encoder = _trained(data, text, sides.train, start)
    encoded, scored = encoder.encoded(sides.train), Scored(sides.held, encoder.encoded(sides.held))
    count = f"{len(sides.train)} pairs train, {len(sides.held)} are held out"
    notes = (*sides.notes, count, *_warnings(encoded), *_warnings(scored.encoded))
    return Prepared(encoded.items, scored.encoded.items, encoder, scored, notes, sides.source, corpus.sha256)


def _opened(path: str | None, scheme: Scheme | None, data: DataSpec) -> Reading[TextPair]:
    if path is None:
        return embedded_pairs()
    return open_pairs(
        Path(path),
        encoding=data.encoding,
        source_column=data.source_column,
        target_column=data.target_column,
        header=data.header,
    )


def _trained(data: DataSpec, text: TextSpec, pairs: Sequence[TextPair], start: Mapping[str, bytes]) -> Encoder:
    sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
    if start:
        source, target = tokenizer_in(start, SOURCE + TOKENIZER), tokenizer_in(start)
    elif text.joint_vocabulary:
        source = target = train_tokenizer(text.tokenizer, [*sources, *targets], text.vocabulary_size)
    else:
        source, target = (train_tokenizer(text.tokenizer, side, text.vocabulary_size) for side in (sources, targets))
    inventory = Inventory(target.vocabulary, text.max_length, source=Inventory(source.vocabulary, text.max_length))
    bleu_tokenizer: BleuTokenizer = "zh" if data.train is None else data.bleu_tokenizer
    return Encoder(target, source, inventory, bleu_tokenizer)


def _warnings(encoded: EncodedPairs) -> Iterator[str]:
    if encoded.cut_sources or encoded.cut_targets:
        yield (
            f"{encoded.cut_sources} sources and {encoded.cut_targets} targets are longer than text.max_length and "
            "lost their ends"
        )


def read(path: str, data: DataSpec, encoder: Encoder) -> tuple[Gold, tuple[str, ...]]:
    """The pairs of a file, encoded as those that trained. Raises `InputError`."""
    reading = _opened(path, None, data)
    encoded = encoder.encoded(reading.examples)
    return Scored(reading.examples, encoded), (*reading.notices, *_warnings(encoded))


def measure(task: Task, encoder: Encoder, examples: Gold, batches: BatchSpec) -> Metrics:
    """BLEU and chrF (sacrebleu) of what beam search writes, with their signatures; nats a token, teacher-forced."""
    written = _written(task, encoder, examples.encoded.items)
    found = translation_scores(written, [pair.target for pair in examples.examples], tokenize=encoder.bleu_tokenizer)
    nats = scores(task, examples.encoded.items, batches, encoder.inventory.vocabulary.pad).mean
    return {
        "bleu": found.bleu,
        "chrf": found.chrf,
        "nats_per_token": nats,
        "signature": found.bleu_signature,
    }


def _written(task: Task, encoder: Encoder, items: Sequence[Item]) -> list[str]:
    ids = translated(task, [item.source for item in items if item.source is not None], encoder.inventory)
    return [encoder.tokenizer.decode(one).strip() for one in ids]


def criterion(metrics: Metrics) -> float:
    """What training is to make small."""
    return float(metrics["nats_per_token"])


def predict(task: Task, encoder: Encoder, lines: Iterable[str]) -> Iterator[str]:
    """A translation for every line; an empty one for an empty one."""
    for some in chunks(lines):
        items = encoder.encoded([TextPair(line, "") for line in some if line.strip()]).items
        written = iter(_written(task, encoder, items))
        for line in some:
            yield next(written) if line.strip() else ""
