"""`TokenizedText`: a corpus as sequences of token ids, split, kept on disk once they are made.

What is on disk is whole or absent: it is written under a temporary name, renamed, and verified by hash when read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from clearhead.digests import digest
from clearhead.errors import MachineError
from clearhead.files import make_folder
from clearhead.spec import SpecModel
from clearhead.text.corpora import Corpus
from clearhead.text.splits import Unit, split_corpus, units_of
from clearhead.text.templates import TemplateSpec
from clearhead.text.tokenizers import LEAST_SIZE, Kind, Tokenizer, load_tokenizer, train_tokenizer

_FORMAT = 1  # raised whenever the same corpus and spec would give other sequences
_ANOTHER_WAS_QUICKER = (errno.EEXIST, errno.ENOTEMPTY)
_MANIFEST = "manifest.json"
_TOKENIZER = "tokenizer.json"
_ARRAYS = ("train.ids.npy", "train.offsets.npy", "validation.ids.npy", "validation.offsets.npy")


@dataclass(frozen=True)
class Sequences:
    """Many sequences in one array: `ids` (N,) int32, `offsets` (S+1,) int64; `[i]` is a view of sequence i."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        index %= len(self)
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[index] for index in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The length of every sequence, `(S,)`."""
        return np.diff(self.offsets)


def _kind_alone(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return None if value in ("", "none", "null") else {"kind": value}


class TextSpec(SpecModel):
    """How a corpus becomes sequences: what a sequence is, of which tokens, how long at most (begin and end counted).

    `unit` "pair": two neighbouring stretches of sentences, as BERT reads them. For words with tags: `marks` puts begin
    and end around a sentence; tokens of kind word are those seen `min_frequency` times, and from the others a model
    learns what unknown words do; `characters` and `templates` add maps of features of each word.
    `joint_vocabulary`: one tokenizer for both sides of a translation.
    """

    tokenizer: Kind = "bpe"
    vocabulary_size: int = 1024
    unit: Unit | Literal["pair"] = "sentence"
    max_length: int = Field(default=64, ge=3)
    marks: bool = True
    min_frequency: int = Field(default=1, ge=1)
    lowercase: bool = False
    characters: bool = False
    templates: Annotated[TemplateSpec | None, BeforeValidator(_kind_alone)] = None
    joint_vocabulary: bool = True
    validation_fraction: float = Field(default=0.1, gt=0, le=0.5)
    max_characters: int = Field(default=2_000_000, ge=10_000)

    @field_validator("vocabulary_size")
    @classmethod
    def _holds_the_alphabet(cls, size: int, others: ValidationInfo) -> int:
        kind = others.data.get("tokenizer", "bpe")
        if size < LEAST_SIZE[kind]:
            raise ValueError(f"too small for {kind}, which takes at least {LEAST_SIZE[kind]}")
        return size


@dataclass(frozen=True)
class TokenizedText:
    """A corpus as sequences, begin and end in each. `validation_bytes` is the UTF-8 length of what validates."""

    train: Sequences
    validation: Sequences
    tokenizer: Tokenizer
    validation_bytes: int
    corpus: Corpus


def tokenize_corpus(
    corpus: Corpus, spec: TextSpec, cache: Path | None, tokenizer: Tokenizer | None = None
) -> TokenizedText:
    """The sequences of a corpus under a spec, read from `cache` where they are there whole, else made and kept.

    `tokenizer` is one that exists already (None: the spec's, trained on the text). Two processes may do this at once.
    Raises `InputError` for a text too small, `MachineError` where `cache` refuses.
    """
    if cache is None:
        return _made(corpus, spec, tokenizer)
    given = "" if tokenizer is None else tokenizer.engine.to_str()
    folder = cache / digest(_FORMAT, version("tokenizers"), corpus.sha256, spec, *filter(None, [given]))
    found = _read(folder, corpus)
    if found is not None:
        return found
    made = _made(corpus, spec, tokenizer)
    _keep(made, folder)
    return _read(folder, corpus) or made


def sequences_of(corpus: Corpus, tokenizer: Tokenizer, spec: TextSpec) -> tuple[Sequences, int]:
    """All of a corpus as sequences, none held out, and the UTF-8 length of its sentences, lines or documents."""
    texts = units_of(corpus, _whole(spec))
    return _sequences(texts, tokenizer, spec.max_length), sum(len(text.encode("utf-8", "replace")) for text in texts)


def _made(corpus: Corpus, spec: TextSpec, given: Tokenizer | None) -> TokenizedText:
    split = split_corpus(
        corpus,
        validation_fraction=spec.validation_fraction,
        max_characters=spec.max_characters,
        unit=_whole(spec),
    )
    tokenizer = given or train_tokenizer(spec.tokenizer, split.train, spec.vocabulary_size)
    validation_bytes = sum(len(text.encode("utf-8", "replace")) for text in split.validation)
    train, validation = (_sequences(texts, tokenizer, spec.max_length) for texts in (split.train, split.validation))
    return TokenizedText(train, validation, tokenizer, validation_bytes, corpus)


def _whole(spec: TextSpec) -> Unit:
    """What a text falls into; pairs are made of whole documents."""
    return "document" if spec.unit == "pair" else spec.unit


def _sequences(texts: Sequence[str], tokenizer: Tokenizer, max_length: int) -> Sequences:
    """Each text between begin and end; a longer one in pieces of about equal length."""
    begin, end = (np.array([one], np.int32) for one in (tokenizer.vocabulary.begin, tokenizer.vocabulary.end))
    pieces = [
        np.concatenate([begin, piece, end])
        for ids in tokenizer.encode(texts)
        if len(ids)
        for piece in np.array_split(ids, -(-len(ids) // (max_length - 2)))
    ]
    offsets = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    return Sequences(np.concatenate(pieces) if pieces else np.empty(0, np.int32), offsets)


def _keep(text: TokenizedText, folder: Path) -> None:
    """Writes all files under a temporary name and renames their folder; one that is not whole makes way."""
    make_folder(folder.parent)
    temporary = ""
    try:
        temporary = tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.")
        _write(text, Path(temporary))
        if folder.exists() and _read(folder, text.corpus) is None:
            shutil.rmtree(folder, ignore_errors=True)
        Path(temporary).rename(folder)
    except OSError as fault:
        if fault.errno not in _ANOTHER_WAS_QUICKER:
            raise MachineError(
                f"{folder}: cannot keep it ({fault.strerror or fault}); free some space there"
            ) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(text: TokenizedText, folder: Path) -> None:
    arrays: list[NDArray[np.int32] | NDArray[np.int64]] = [
        text.train.ids,
        text.train.offsets,
        text.validation.ids,
        text.validation.offsets,
    ]
    for name, array in zip(_ARRAYS, arrays, strict=True):
        with (folder / name).open("wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())
    text.tokenizer.save(folder / _TOKENIZER)
    hashes = {name: _hash(folder / name) for name in (*_ARRAYS, _TOKENIZER)}
    with (folder / _MANIFEST).open("w", encoding="utf-8") as file:
        json.dump({"sha256": hashes, "validation_bytes": text.validation_bytes}, file)
        file.flush()
        os.fsync(file.fileno())


def _read(folder: Path, corpus: Corpus) -> TokenizedText | None:
    """What stands in the folder; None where it is absent, cut short or altered."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if any(_hash(folder / name) != manifest["sha256"][name] for name in (*_ARRAYS, _TOKENIZER)):
            return None
        arrays = [np.load(folder / name, mmap_mode="r") for name in _ARRAYS]
        tokenizer = load_tokenizer(folder / _TOKENIZER)
        return TokenizedText(
            Sequences(*arrays[:2]), Sequences(*arrays[2:]), tokenizer, manifest["validation_bytes"], corpus
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
