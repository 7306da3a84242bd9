"""`Corpus`: a text that has been read once, whole, and found good: its name, its digest, where it lies.

A corpus is plain data; the text itself is streamed by `documents`, so that a gigabyte needs no more memory than a page.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clearhead.errors import InputError, MachineError, did_you_mean
from clearhead.text.decoding import decoded
from clearhead.text.documentation import documentation, source_code

EMBEDDED, SOURCE_CODE = "embedded", "embedded:source"
FILE_BLOCK = 4_000
LONGEST_DOCUMENT = 100_000

BUILT_IN = {EMBEDDED: documentation, SOURCE_CODE: source_code}

_BOUNDARY = "\0"
_ENDS = ("\n\n", "\n", "。", ". ", "! ", "? ", " ")


@dataclass(frozen=True)
class Corpus:
    """A text found good. `sha256` is of the text (decoded, `\\n` line ends), whatever its encoding on disk.

    `source` is "embedded", "embedded:source" or the path of a file or folder. `beside` is the digest of a file that is
    read with it.
    """

    name: str
    sha256: str
    characters: int
    source: str
    encoding: str = "utf-8"
    beside: str = ""


def open_corpus(source: str | Path | None, *, encoding: str = "utf-8") -> Corpus:
    """The corpus in a text file or a folder of .txt files (.gz too), or a built-in one; read through once.

    Built in are "embedded" (None as well), Python's documentation, and "embedded:source", source code of its library.

    Raises `InputError` for what is missing, empty, blank, binary or in another encoding.
    """
    if source is None or str(source) == EMBEDDED:
        return _described("Python documentation", EMBEDDED, "utf-8")
    if str(source) == SOURCE_CODE:
        return _described("Python source code", SOURCE_CODE, "utf-8")
    if not str(source).strip():
        raise InputError("the path of the text is empty; give a text file or a folder of .txt files")
    path = Path(source)
    if not os.path.exists(path):  # noqa: PTH110 - a name too long for the machine does not exist either
        raise InputError(f"{path}: there is no such file; give a text file or a folder of .txt files{_near(path)}")
    if not path.is_dir() and not path.is_file():
        raise InputError(f"{path}: not a regular file, and a text is read more than once; save it to a file first")
    return _described(path.resolve().name, str(path), encoding)


def _near(path: Path) -> str:
    try:
        return did_you_mean(path.name, [neighbour.name for neighbour in path.parent.iterdir()])
    except (OSError, ValueError):
        return ""


def documents(corpus: Corpus) -> Iterator[str]:
    """The documents of a corpus, in order, as a stream.

    Built in: a topic or a module each. A folder: a file each, in pieces of 100,000 characters where it is longer.
    A file: stretches of whole paragraphs of up to 4,000 characters. Raises `InputError` where the text has changed
    since it was opened.
    """
    if corpus.source in BUILT_IN:
        yield from BUILT_IN[corpus.source]()
        return
    longest = LONGEST_DOCUMENT if Path(corpus.source).is_dir() else FILE_BLOCK
    digest = hashlib.sha256()
    for file in _files(Path(corpus.source)):
        yield from filter(str.strip, blocks(_hashed(decoded(file, corpus.encoding), digest), longest))
        digest.update(_BOUNDARY.encode())
    if digest.hexdigest() != corpus.sha256:
        raise InputError(f"{corpus.source}: the text has changed since it was opened; run it again")


def blocks(texts: Iterable[str], longest: int) -> Iterator[str]:
    """The joined `texts` again, in blocks of at most `longest` characters.

    A block ends where a paragraph ends, or else a line, a sentence, a word, if one ends in its second half.
    """
    rest = ""
    for text in texts:
        rest += text
        start = 0
        while len(rest) - start > longest:
            end = _end_of_block(rest, start, longest)
            yield rest[start:end]
            start = end
        rest = rest[start:]
    if rest:
        yield rest


def _end_of_block(text: str, start: int, longest: int) -> int:
    for end in _ENDS:
        found = text.rfind(end, start + longest // 2, start + longest)
        if found >= 0:
            return found + len(end)
    return start + longest


def _described(name: str, source: str, encoding: str) -> Corpus:
    digest = hashlib.sha256()
    characters, blank = 0, True
    for text in _texts(source, encoding):
        digest.update(text.encode("utf-8", "surrogatepass"))
        characters += len(text) if text != _BOUNDARY else 0
        blank = blank and (text == _BOUNDARY or text.isspace())
    if source in BUILT_IN and blank:
        raise MachineError("this Python has come without its documentation; name a text of your own with --text")
    if blank:
        raise InputError(f"{source}: {'only white space' if characters else 'empty'}; give a text of a page or more")
    return Corpus(name, digest.hexdigest(), characters, source, encoding)


def _texts(source: str, encoding: str) -> Iterator[str]:
    """The whole text in chunks, a NUL (which no text holds) after each document or file."""
    texts = [[text] for text in BUILT_IN[source]()] if source in BUILT_IN else None
    for chunks in texts or (decoded(file, encoding) for file in _files(Path(source))):
        yield from chunks
        yield _BOUNDARY


def _hashed(texts: Iterable[str], digest: hashlib._Hash) -> Iterator[str]:
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass"))
        yield text


def _files(path: Path) -> list[Path]:
    """The file itself, or the .txt files below a folder, sorted; hidden files and folders are passed over."""
    if not path.is_dir():
        return [path]
    found = []
    for folder, inner, names in os.walk(path, onerror=_unreadable):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [Path(folder, name) for name in names if name.lower().endswith((".txt", ".txt.gz")) and name[0] != "."]
    files = sorted(file for file in found if file.is_file())
    if not files:
        raise InputError(f"{path}: no .txt file in this folder; give a text file or a folder of .txt files")
    return files


def _unreadable(fault: OSError) -> None:
    raise MachineError(f"{fault.filename}: cannot read it ({fault.strerror}); check its permissions") from fault
