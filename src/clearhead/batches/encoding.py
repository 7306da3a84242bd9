"""Examples -> `Item`s: tagged sentences, labelled texts, pairs of texts; and answers about pieces back to sentences.

What does not fit is counted. A sentence longer than `max_length` is cut at words into pieces of about equal length, so
that every word is tagged, in training and in evaluation; a text or a side of a translation loses its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearhead.batches.batch import NO_FEATURE, NOT_ASKED, Item
from clearhead.batches.pairs import kept_lengths
from clearhead.errors import InputError
from clearhead.text.examples import LabelledText, TaggedSentence, TextPair
from clearhead.text.supervised import unseen
from clearhead.text.tokenizers import Tokenizer
from clearhead.text.words import word_pieces

Ids = NDArray[np.int64]
WordFeatures = Callable[[Sequence[str]], Ids]  # words (n) -> ids (n, F), -1 where a word has fewer
UNKNOWN_LABEL = -1  # asked for and not known: it costs nothing, and is answered all the same


@dataclass(frozen=True)
class Piece:
    """The words `start` ... `end - 1` of a sentence, which one item holds."""

    sentence: int
    start: int
    end: int


@dataclass(frozen=True)
class EncodedSentences:
    """An item a piece, and how many words each sentence has. `split` counts the sentences that take several pieces.

    `cut_words` counts words that alone are longer than an item and lost tokens; `unseen_tags` the tags not among the
    labels.
    """

    items: tuple[Item, ...]
    pieces: tuple[Piece, ...]
    lengths: tuple[int, ...]
    split: int
    cut_words: int
    unseen_tags: Mapping[str, int]


@dataclass(frozen=True)
class EncodedTexts:
    """An item a text. `cut` counts those that lost tokens, `unseen_labels` the labels not among the classes."""

    items: tuple[Item, ...]
    cut: int
    unseen_labels: Mapping[str, int]


@dataclass(frozen=True)
class EncodedPairs:
    """An item a pair, the target with the source inside. Counted are the sides that lost tokens."""

    items: tuple[Item, ...]
    cut_sources: int
    cut_targets: int


def encode_tagged(
    sentences: Sequence[TaggedSentence],
    tokenizer: Tokenizer,
    labels: Sequence[str],
    *,
    max_length: int,
    marks: bool = True,
    features: Mapping[str, WordFeatures] | None = None,
) -> EncodedSentences:
    """Items with the label map "tags": a word's label stands at its first token, -100 at its others and at marks.

    `marks` puts begin and end around every piece. A word without a tag, or with one that is not among `labels`, has
    the label -1. `features` are named maps of words, such as characters; every token of a word has its row. A sentence
    without words gives no item.
    """
    room = max_length - 2 * marks
    if room < 1:
        raise InputError(f"text.max_length: {max_length} leaves no room for a word; give at least {1 + 2 * marks}")
    ids = {label: number for number, label in enumerate(labels)}
    items: list[Item] = []
    pieces: list[Piece] = []
    cut = split = 0
    encoded = word_pieces(tokenizer, [sentence.words for sentence in sentences])
    for number, (sentence, tokens) in enumerate(zip(sentences, encoded, strict=True)):
        cut += sum(len(word) > room for word in tokens)
        tokens = [word[:room] for word in tokens]
        ends = _ends([len(word) for word in tokens], room)
        split += len(ends) > 1
        known = [ids.get(tag, UNKNOWN_LABEL) for tag in sentence.tags] or [UNKNOWN_LABEL] * len(tokens)
        rows = {name: rows_of(sentence.words) for name, rows_of in (features or {}).items()}
        for start, end in zip([0, *ends], ends, strict=False):
            maps = {name: row[start:end] for name, row in rows.items()}
            items.append(_tagged(tokens[start:end], known[start:end], maps, tokenizer, marks))
            pieces.append(Piece(number, start, end))
    lengths = tuple(len(sentence.words) for sentence in sentences)
    unknown = unseen(labels, (tag for sentence in sentences for tag in sentence.tags))
    return EncodedSentences(tuple(items), tuple(pieces), lengths, split, cut, unknown)


def join_tags(
    encoded: EncodedSentences, answers: Sequence[Sequence[int]], labels: Sequence[str]
) -> list[tuple[str, ...]]:
    """The tags of every sentence, from what was answered for each item: label ids, one an asked token (a word).

    Raises `ValueError` where an answer has not one label a word.
    """
    tags: list[list[str]] = [[""] * length for length in encoded.lengths]
    for piece, answer in zip(encoded.pieces, answers, strict=True):
        if len(answer) != piece.end - piece.start:
            raise ValueError(f"{len(answer)} labels for {piece.end - piece.start} words")
        tags[piece.sentence][piece.start : piece.end] = [labels[int(label)] for label in answer]
    return [tuple(sentence) for sentence in tags]


def encode_labelled(
    texts: Sequence[LabelledText],
    tokenizer: Tokenizer,
    labels: Sequence[str],
    *,
    max_length: int,
) -> EncodedTexts:
    """Items with the label map "class": the label stands at the first token (begin), -100 at all others.

    [begin] text [end], or [begin] text [end] second [end] with token types 0 and 1. A text that is too long loses its
    end; of a pair, the longer side until both fit. A label that is empty or not among `labels` is -1. All texts, or
    none, have a second. Raises `InputError`.
    """
    paired = [text.second is not None for text in texts]
    if any(paired) != all(paired):
        example = texts[paired.index(False)]
        where = f"line {example.line}: " if example.line else ""
        raise InputError(f"{where}the text has no second one, and others have; give all of them one")
    least = 5 if any(paired) else 3
    if max_length < least:
        raise InputError(f"text.max_length: {max_length} leaves no room for a text; give at least {least}")
    ids = {label: number for number, label in enumerate(labels)}
    first = tokenizer.encode([text.text for text in texts])
    second = tokenizer.encode([text.second or "" for text in texts]) if any(paired) else [None] * len(texts)
    items = []
    cut = 0
    for text, one, two in zip(texts, first, second, strict=True):
        token_ids, types, shortened = _whole(one, two, max_length, tokenizer)
        asked = np.full(len(token_ids), NOT_ASKED, np.int64)
        asked[0] = ids.get(text.label, UNKNOWN_LABEL)
        items.append(Item(token_ids, types, {"class": asked}))
        cut += shortened
    return EncodedTexts(tuple(items), cut, unseen(labels, (text.label for text in texts if text.label)))


def encode_pairs(
    pairs: Sequence[TextPair],
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    *,
    max_length: int,
) -> EncodedPairs:
    """Items [begin] target [end] whose `source` is [begin] source [end]; a side too long loses its end."""
    sources = source_tokenizer.encode([pair.source for pair in pairs])
    targets = target_tokenizer.encode([pair.target for pair in pairs])
    if max_length < 3:
        raise InputError(f"text.max_length: {max_length} leaves no room for a text; give at least 3")
    items = []
    cut_sources = cut_targets = 0
    for source, target in zip(sources, targets, strict=True):
        read, _, shortened = _whole(source, None, max_length, source_tokenizer)
        written, _, shortened_too = _whole(target, None, max_length, target_tokenizer)
        items.append(Item(written, source=Item(read)))
        cut_sources, cut_targets = cut_sources + shortened, cut_targets + shortened_too
    return EncodedPairs(tuple(items), cut_sources, cut_targets)


def _whole(
    first: NDArray[np.int32], second: NDArray[np.int32] | None, max_length: int, tokenizer: Tokenizer
) -> tuple[Ids, Ids | None, bool]:
    """Token ids between marks, token types where there is a second part, and whether anything was cut."""
    begin, end = [tokenizer.vocabulary.begin], [tokenizer.vocabulary.end]
    if second is None:
        kept = first[: max_length - 2]
        return np.concatenate([begin, kept, end]).astype(np.int64), None, len(kept) < len(first)
    kept_first, kept_second = kept_lengths(len(first), len(second), max_length)
    ids = np.concatenate([begin, first[:kept_first], end, second[:kept_second], end]).astype(np.int64)
    types = np.repeat([0, 1], [kept_first + 2, kept_second + 1])
    return ids, types, kept_first + kept_second < len(first) + len(second)


def _tagged(
    tokens: Sequence[NDArray[np.int32]],
    labels: Sequence[int],
    features: Mapping[str, Ids],
    tokenizer: Tokenizer,
    marks: bool,
) -> Item:
    """The item of a piece of a sentence; `features` are rows a word."""
    counts = [len(word) for word in tokens]
    ids = np.concatenate(tokens).astype(np.int64)
    asked = np.full(len(ids), NOT_ASKED, np.int64)
    asked[np.cumsum([0, *counts[:-1]])] = labels
    rows = {name: np.repeat(row, counts, axis=0) for name, row in features.items()}
    if marks:
        ids = np.concatenate([[tokenizer.vocabulary.begin], ids, [tokenizer.vocabulary.end]])
        asked = np.pad(asked, 1, constant_values=NOT_ASKED)
        rows = {name: np.pad(row, ((1, 1), (0, 0)), constant_values=NO_FEATURE) for name, row in rows.items()}
    return Item(ids, labels={"tags": asked}, features=rows)


def _ends(counts: Sequence[int], room: int) -> list[int]:
    """After which words a sentence is cut into pieces of at most `room` tokens, about evenly."""
    if not counts:
        return []
    total = sum(counts)
    pieces = -(-total // room)
    while True:
        ends = _filled(counts, min(room, -(-total // pieces)), room)
        if len(ends) <= pieces:
            return ends
        pieces += 1


def _filled(counts: Sequence[int], wanted: int, room: int) -> list[int]:
    ends = []
    size = 0
    for place, count in enumerate(counts):
        if size and (size >= wanted or size + count > room):
            ends.append(place)
            size = 0
        size += count
    return [*ends, len(counts)]
