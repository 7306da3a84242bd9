"""A path -> its examples, read in the format that its name and first lines show or that is said; and what was found.

What was recognised and not said is among the notices of the `Reading`, and so is what is doubtful in the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from clearhead.errors import InputError
from clearhead.text.conll import labelled_by, read_conll
from clearhead.text.conllu import COLUMNS, Field, read_tagged_conllu
from clearhead.text.examples import LabelledText, Reading, Scheme, TaggedSentence, TextPair
from clearhead.text.lines import numbered_lines
from clearhead.text.tables import read_labelled, read_pairs, width
from clearhead.text.tag_schemes import faults, recognised

Format = Literal["conll", "conllu", "tsv"]
SUFFIXES: dict[str, Format] = {".conllu": "conllu", ".conll": "conll", ".iob": "conll", ".bio": "conll", ".tsv": "tsv"}

_PEEKED = 200


def recognise_format(path: Path, encoding: str = "utf-8") -> Format:
    """What a file is by its name (.gz apart) and first lines. Raises `InputError` where neither shows it.

    Ten columns that begin with a 1 are CoNLL-U whatever the name; blank lines between lines of columns are CoNLL.
    """
    lines = [line for _, line in islice(numbered_lines(path, encoding), _PEEKED)]
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if first.count("\t") == len(COLUMNS) - 1 and re.match(r"1(?:-\d+)?\t", first):
        return "conllu"
    suffix = (Path(path.stem) if path.suffix.lower() == ".gz" else path).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if any(not line.strip() for line in lines[:-1]) and len(first.split()) > 1:
        return "conll"
    if "\t" in first:
        return "tsv"
    raise InputError(
        f"{path}: neither its name nor its first lines show a format; name one of conll, conllu, tsv "
        f"(by their endings: {', '.join(SUFFIXES)})"
    )


def open_tagged(
    path: Path,
    *,
    format: Format | None = None,
    encoding: str = "utf-8",
    token_column: int = 0,
    tag_column: int = -1,
    field: Field = "upos",
    characters: bool = False,
    scheme: Scheme | Literal["none"] | None = None,
) -> Reading[TaggedSentence]:
    """The tagged sentences of a file; `field` is the column of CoNLL-U, the two columns are those of CoNLL.

    The scheme is the one that is named, "none" for tags that mark no spans; where none is named the one that the tags
    break least, and a notice says so. Tags that break it are counted in a notice. Raises `InputError`.
    """
    known = format or recognise_format(path, encoding)
    if known == "conllu":
        sentences = tuple(read_tagged_conllu(path, encoding=encoding, field=field))
    else:
        sentences = tuple(
            read_conll(path, encoding=encoding, token_column=token_column, tag_column=tag_column, characters=characters)
        )
    _check_some(path, sentences)
    notices = [] if format else [f"{path}: read as {known}"]
    if scheme is None:
        scheme = recognised(sentence.tags for sentence in sentences).scheme or "none"
        notices.append(f"{path}: {f'tags read as {scheme}' if scheme != 'none' else 'tags that mark no spans'}")
    if scheme == "none":
        return Reading(sentences, str(path), known, None, tuple(notices))
    return Reading(sentences, str(path), known, scheme, (*notices, *_broken(path, sentences, scheme)))


def open_labelled(
    path: Path,
    *,
    format: Format | None = None,
    encoding: str = "utf-8",
    label_column: int = 0,
    text_column: int = 1,
    second_column: int | None = None,
    header: bool | None = None,
    metadata: str | None = None,
) -> Reading[LabelledText]:
    """The labelled texts of a TSV file, or of a CoNLL file whose sentences have the label as `metadata` (intent).

    A file of three columns, of which none is named as the second text, holds pairs: label, text, second text; a notice
    says so. Raises `InputError`.
    """
    known = format or ("conll" if metadata else "tsv")
    if (known == "tsv") == (metadata is not None):
        raise InputError(f"{path}: labels stand in a column of TSV, or in the metadata of CoNLL; read as {known}")
    notices = [] if format else [f"{path}: read as {known}"]
    if metadata is not None:
        examples = tuple(labelled_by(read_conll(path, encoding=encoding), metadata))
    else:
        if second_column is None and (label_column, text_column) == (0, 1) and width(path, encoding) == 3:
            second_column = 2
            notices.append(f"{path}: three columns, read as label, text, second text")
        examples = tuple(
            read_labelled(
                path,
                encoding=encoding,
                label_column=label_column,
                text_column=text_column,
                second_column=second_column,
                header=header,
            )
        )
        notices += [f"{path}: line 1 passed over as a header"] if header else []
    _check_some(path, examples)
    return Reading(examples, str(path), known, None, tuple(notices))


def open_pairs(
    path: Path,
    *,
    encoding: str = "utf-8",
    source_column: int = 0,
    target_column: int = 1,
    header: bool | None = None,
) -> Reading[TextPair]:
    """The pairs of texts of a TSV file. Raises `InputError`."""
    examples = tuple(
        read_pairs(path, encoding=encoding, source_column=source_column, target_column=target_column, header=header)
    )
    _check_some(path, examples)
    notices = [f"{path}: line 1 passed over as a header"] if header else []
    others = width(path, encoding) - 2
    if others > 0:
        notices.append(f"{path}: columns {source_column} and {target_column} read, {others} not")
    return Reading(examples, str(path), "tsv", None, tuple(notices))


def _check_some(path: Path, examples: Sequence[object]) -> None:
    if not examples:
        raise InputError(f"{path}: no examples in it; give a file that has some")


def _broken(path: Path, sentences: Sequence[TaggedSentence], scheme: Scheme) -> list[str]:
    """A sentence that counts the tags that break the scheme, and says where the first one stands."""
    where: tuple[int, str] | None = None
    count = 0
    for sentence in sentences:
        try:
            places = faults(sentence.tags, scheme)
        except InputError as fault:
            raise InputError(f"{path}: the sentence on line {sentence.line}: {fault}") from fault
        count += len(places)
        if places and where is None:
            where = sentence.line + places[0], sentence.tags[places[0]]
    if where is None:
        return []
    tags = "one tag breaks" if count == 1 else f"{count} tags break"
    return [f"{path}: {tags} {scheme}, the first of them {where[1]!r} at about line {where[0]}"]
