"""`DataSpec`: which files are trained and scored on, and how they are read; `Prepared`: what a job makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator, Field, model_validator

from clearhead.batches.sampling import ManySequences
from clearhead.evaluation.translation import BleuTokenizer
from clearhead.spec import SpecModel
from clearhead.text.inventory import Inventory

Job = Literal["language", "tagging", "classification", "translation"]
Metrics = dict[str, float | str]
ONLY_FOR: dict[str, Job] = {
    "token_column": "tagging",
    "tag_column": "tagging",
    "tag": "tagging",
    "scheme": "tagging",
    "characters": "tagging",
    "source_column": "translation",
    "target_column": "translation",
    "bleu_tokenizer": "translation",
    "label": "classification",
}


def _none_where_empty(value: Any) -> Any:
    return None if value in ("", "none", "null") else value


Absent = BeforeValidator(_none_where_empty)


class DataSpec(SpecModel):
    """Where the examples of a `job` stand. Without `train`, embedded or synthetic ones, and the run says so.

    Without `dev`, a tenth of `train` is held out, told by a hash of each example, so that equal ones stay together.
    `scheme` names how spans are written in tags (none: they mark no spans; auto: what the tags fit best, and the notes
    say so). `characters`: the token column holds a character, with its place in the word behind it. `label` names a
    line of metadata (`# intent = ...`) that holds the class.
    """

    job: Job = "language"
    train: Annotated[str | None, Absent] = None
    dev: Annotated[str | None, Absent] = None
    format: Literal["auto", "conll", "conllu", "tsv"] = "auto"
    encoding: str = "utf-8"
    tag: Literal["upos", "xpos", "feats", "deprel"] = "upos"
    token_column: int = 0
    tag_column: int = -1
    scheme: Literal["auto", "none", "bio", "iob1", "bioes", "bmes"] = "auto"
    characters: bool = False
    label: Annotated[str | None, Absent] = None
    header: bool | None = None
    source_column: int = Field(default=0, ge=0)
    target_column: int = Field(default=1, ge=0)
    bleu_tokenizer: BleuTokenizer = "13a"

    @model_validator(mode="after")
    def _fields_of_this_job(self) -> DataSpec:
        for field, owner in ONLY_FOR.items():
            if owner != self.job and getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(f"{field} belongs to {owner}, not to {self.job}; take it out")
        if self.dev is not None and self.train is None:
            raise ValueError("dev is given and train is not; give data.train as well")
        return self


class Encoder(Protocol):
    """From examples to items and back; all that is kept beside the weights."""

    @property
    def inventory(self) -> Inventory: ...

    def files(self) -> Mapping[str, bytes]: ...


@dataclass(frozen=True)
class Prepared:
    """Items that train and that are scored while training, and the examples that metrics are measured on.

    `notes` say in words what was found, cut and left out; `sha256` names what was read.
    """

    train: ManySequences
    dev: ManySequences
    encoder: Any
    examples: Any
    notes: tuple[str, ...]
    source: str
    sha256: str


def count_tokens(data: Prepared) -> int:
    """The tokens of all sequences, held-out ones too, begin and end marks counted."""
    return sum(len(side[number]) for side in (data.train, data.dev) for number in range(len(side)))
