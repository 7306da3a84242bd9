"""From the bytes of a file to clean text, as a stream: no byte order mark, `\\n` line ends, no NUL, no damage.

What cannot be read is named with its place and, where it looks like another encoding, with the option that reads it.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from clearhead.errors import InputError, MachineError, did_you_mean

CHUNK_BYTES = 1 << 20
ENCODINGS = ("utf-8", "gb18030", "big5", "shift_jis", "euc-kr", "utf-16", "latin-1", "cp1252")

_SAMPLE_BYTES = 1 << 14
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def decoded(path: Path, encoding: str) -> Iterator[str]:
    """The text of a file (gunzipped where it ends in .gz) in chunks of about a megabyte.

    Raises `InputError` for binary data, another encoding, an unknown encoding; `MachineError` where reading fails.
    """
    decoder = _decoder(encoding)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset, line = 0, 1
    with _opened(path) as file:
        raw = file.read(CHUNK_BYTES)
        while True:
            following = file.read(CHUNK_BYTES)
            pending = decoder.getstate()[0]
            try:
                text = decoder.decode(raw, final=not following)
            except UnicodeError as fault:
                start = fault.start if isinstance(fault, UnicodeDecodeError) else 0
                _refuse(path, encoding, pending + raw, start, offset - len(pending), line)
            if "\0" in text:
                start = len(text[: text.index("\0")].encode(encoding))
                _refuse(path, encoding, pending + raw, start, offset - len(pending), line, nul=True)
            text = newlines.decode(text, final=not following)
            at_start = offset == len(pending)
            if text := text.removeprefix("\ufeff") if at_start else text:
                yield text
            if not following:
                return
            offset += len(raw)
            line += text.count("\n")
            raw = following


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        b"a".decode(encoding, "replace")
        return codecs.getincrementaldecoder(encoding)()
    except (LookupError, UnicodeError) as fault:
        raise InputError(
            f"--encoding {encoding}: no such text encoding; known are {', '.join(ENCODINGS)} and more"
            f"{did_you_mean(encoding.lower(), ENCODINGS)}"
        ) from fault


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield cast(BinaryIO, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as fault:
        raise InputError(f"{path}: not a whole gzip file ({fault}); unpack it and give the text") from fault
    except FileNotFoundError as fault:
        raise InputError(f"{path}: there is no such file") from fault
    except OSError as fault:
        raise MachineError(f"{path}: cannot read it ({fault.strerror}); check its permissions") from fault


def _refuse(
    path: Path, encoding: str, data: bytes, start: int, offset: int, line: int, *, nul: bool = False
) -> NoReturn:
    """Raises the `InputError` for what stands at `data[start]`; `data` begins at byte `offset`, on line `line`."""
    place = f"byte {offset + start} (line {line + _line_breaks(data[:start])})"
    sample = data[max(0, start - _SAMPLE_BYTES // 2) // 2 * 2 :][:_SAMPLE_BYTES]
    looks = _guess(sample, data[start : start + _SAMPLE_BYTES])
    if looks is None or (nul and looks == encoding):
        what = "a NUL" if nul else "not text"
        raise InputError(f"{path}: binary data ({what} at {place}); give a plain text file in UTF-8")
    if not looks:
        raise InputError(f"{path}: not {encoding} at {place}; name its encoding, such as --encoding big5")
    if codecs.lookup(looks) == codecs.lookup(encoding):
        raise InputError(f"{path}: damaged {encoding} at {place}; mend or remove what stands there")
    raise InputError(f"{path}: not {encoding} at {place}; it looks like {looks}: pass --encoding {looks}")


def _line_breaks(data: bytes) -> int:
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def _guess(around: bytes, rest: bytes) -> str | None:
    """The encoding that bytes around a fault, and from it on, look like: "" for an unknown one, None for no text."""
    for mark, name in _MARKS:
        if around.startswith(mark):
            return name
    zeros, even = around.count(0), around[::2].count(0)
    if zeros > len(around) / 4 and min(even, zeros - even) < zeros / 10:
        name = "utf-16-be" if even > zeros - even else "utf-16-le"
        return name if _readable(around.decode(name, "replace")) else None
    if zeros or len(_CONTROLS.findall(around)) > len(around) / 50:
        return None
    text = around.decode("utf-8", "replace")
    if _foreign(text) - text.count("\ufffd") > 3 * text.count("\ufffd"):
        return "utf-8"
    if _pairs_up(rest):
        return "gb18030"
    if _foreign(around.decode("latin-1")) > len(around) / 4:
        return ""
    return "cp1252" if re.search(rb"[\x80-\x9f]", around) else "latin-1"


def _readable(text: str) -> bool:
    return sum(char.isprintable() or char.isspace() for char in text) > 0.9 * len(text)


def _foreign(text: str) -> int:
    return sum(char > "\x7f" for char in text)


def _pairs_up(data: bytes) -> bool:
    """Whether bytes above ASCII come in runs of even length that read as common Chinese characters."""
    runs = re.findall(rb"[\x80-\xff]+", data)
    runs = runs[:-1] or runs
    text = "".join(run.decode("gb18030", "replace") for run in runs)
    chinese = len(re.findall("[\u4e00-\u9fff\u3000-\u303f\u2010-\u2026\uff00-\uff5e]", text))
    return sum(len(run) % 2 == 0 for run in runs) >= 0.9 * len(runs) and chinese >= 0.8 * len(text)
