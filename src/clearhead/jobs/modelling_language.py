"""Language modelling: raw text -> sentences (or pairs of them) -> nats, perplexity, bits per byte; and more text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clearhead.batches.batch import Item
from clearhead.batches.pairs import sentence_pairs
from clearhead.batches.sampling import BatchSpec, ManySequences
from clearhead.errors import TooLittleError
from clearhead.evaluation.metrics import bits_per_byte
from clearhead.evaluation.perplexity import perplexity
from clearhead.files import cache_folder
from clearhead.jobs.answering import scores
from clearhead.jobs.data import DataSpec, Metrics, Prepared
from clearhead.jobs.keeping import TOKENIZER, read_inventory, tokenizer_bytes, tokenizer_in, write_inventory
from clearhead.jobs.writing import continued, filled
from clearhead.text.corpora import Corpus, open_corpus
from clearhead.text.inventory import Inventory
from clearhead.text.splits import sentences, split_corpus, units_of
from clearhead.text.tokenized import Sequences, TextSpec, sequences_of, tokenize_corpus
from clearhead.text.tokenizers import Tokenizer, train_tokenizer
from clearhead.training.task import Task

EMBEDDED = "Python documentation"
NATS = "nats_per_token"
OF_TOKENS = {"next", "previous", "masked", "tags"}  # label maps that ask tokens
ALL_TOKENS = {("next",), ("tags",)}  # each asked once, so that the nats are those of the text


@dataclass(frozen=True)
class Encoder:
    """Sentences to token ids and back. `spec` says what a sequence is."""

    tokenizer: Tokenizer
    inventory: Inventory
    spec: TextSpec

    def files(self) -> dict[str, bytes]:
        kept = {TOKENIZER: tokenizer_bytes(self.tokenizer), "text.json": self.spec.model_dump_json().encode()}
        return {**kept, **write_inventory(self.inventory)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Encoder:
        tokenizer = tokenizer_in(files)
        spec = TextSpec.model_validate_json(files["text.json"])
        return cls(tokenizer, read_inventory(files, tokenizer.vocabulary), spec)


@dataclass(frozen=True)
class Scored:
    """Sequences to be scored, and the bytes of the text that they hold."""

    items: ManySequences
    size: int


def prepare(data: DataSpec, text: TextSpec, corpus: Corpus, start: Mapping[str, bytes]) -> Prepared:
    """The sentences of a text, split. With `start`, an earlier run's tokenizer. Raises `InputError`."""
    given = tokenizer_in(start) if start else None
    made = _pairs(text, corpus, given) if text.unit == "pair" else _sequences(text, corpus, given)
    encoder, scored = made[0], made[2]
    train: ManySequences = made[1]
    if data.dev is not None:
        train = [side[number] for side in (train, scored.items) for number in range(len(side))]
        scored, _ = read(data.dev, data, encoder)
    counts = [sum(len(side[number]) for number in range(len(side))) for side in (train, scored.items)]
    notes = f"{counts[0]} tokens in {len(train)} sequences train, {counts[1]} in {len(scored.items)} are held out"
    source = EMBEDDED if corpus.source == "embedded" else corpus.source
    return Prepared(train, scored.items, encoder, scored, (notes,), source, corpus.sha256)


def _sequences(text: TextSpec, corpus: Corpus, given: Tokenizer | None) -> tuple[Encoder, Sequences, Scored]:
    whole = tokenize_corpus(corpus, text, cache_folder(), given)
    encoder = Encoder(whole.tokenizer, Inventory(whole.tokenizer.vocabulary, text.max_length), text)
    return encoder, whole.train, Scored(whole.validation, whole.validation_bytes)


def _pairs(text: TextSpec, corpus: Corpus, given: Tokenizer | None) -> tuple[Encoder, list[Item], Scored]:
    """Pairs of neighbouring stretches of sentences, none across documents."""
    split = split_corpus(
        corpus,
        validation_fraction=text.validation_fraction,
        max_characters=text.max_characters,
        unit="document",
    )
    tokenizer = given or train_tokenizer(text.tokenizer, split.train, text.vocabulary_size)
    encoder = Encoder(tokenizer, Inventory(tokenizer.vocabulary, text.max_length), text)
    train, dev = (_paired(documents, encoder) for documents in (split.train, split.validation))
    if not train or not dev:
        raise TooLittleError(f"{corpus.source}: no two sentences in a row, of which pairs are made; give a longer text")
    return encoder, train, Scored(dev, sum(len(one.encode("utf-8", "replace")) for one in split.validation))


def _paired(documents: Sequence[str], encoder: Encoder) -> list[Item]:
    encoded = (encoder.tokenizer.encode(sentences(document)) for document in documents)
    return sentence_pairs(encoded, encoder.inventory.max_length, encoder.tokenizer.vocabulary)


def read(path: str, data: DataSpec, encoder: Encoder) -> tuple[Scored, tuple[str, ...]]:
    """A text as sequences to be scored, none held out. Raises `InputError`."""
    corpus = open_corpus(path, encoding=data.encoding)
    if encoder.spec.unit == "pair":
        documents = units_of(corpus, "document")
        size = sum(len(one.encode("utf-8", "replace")) for one in documents)
        return Scored(_paired(documents, encoder), size), ()
    items, size = sequences_of(corpus, encoder.tokenizer, encoder.spec)
    return Scored(items, size), ()


def measure(task: Task, encoder: Encoder, examples: Scored, batches: BatchSpec) -> Metrics:
    """Nats and perplexity per asked token, its accuracy, and bits per byte where every token is asked once.

    An objective that asks whole sequences (bags of words, visible units) has nats alone.
    """
    pad = encoder.inventory.vocabulary.pad
    found = scores(task, examples.items, batches, pad)
    asks = tuple(task.objective.asks)
    if not OF_TOKENS & set(asks):
        return {NATS: found.mean}
    metrics: Metrics = {NATS: found.mean, "perplexity": perplexity(found.total, found.count)}
    if found.right is not None:
        metrics["token_accuracy"] = found.accuracy
    if asks in ALL_TOKENS and encoder.spec.unit != "pair":
        metrics["bits_per_byte"] = bits_per_byte(found.total, examples.size)
    for objective in list(task.objectives)[1:]:
        beside = scores(Task(task.model, objective), examples.items, batches, pad)  # type: ignore[arg-type]
        (name,) = objective.asks  # type: ignore[misc]
        metrics[f"{name}_nats"] = beside.mean
        if beside.right is not None:
            metrics[f"{name}_accuracy"] = beside.accuracy
    return metrics


def criterion(metrics: Metrics) -> float:
    """What training is to make small."""
    return float(metrics[NATS])


def predict(task: Task, encoder: Encoder, lines: Iterable[str]) -> Iterator[str]:
    """Each line written on by the model, or with its [MASK]s filled in. Raises `InputError` where it can do neither."""
    write = filled if tuple(task.objective.asks) == ("masked",) else continued
    for line in lines:
        yield write(task, encoder.tokenizer, line, encoder.inventory.max_length)
