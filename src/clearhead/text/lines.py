"""From a file to its lines, numbered from one, as a stream: what readers of examples stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clearhead.text.decoding import decoded


def numbered_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """The lines of a text file (.gz too) with their numbers; only LF, CR and CRLF end a line.

    A last line without an end is a line; an end after which nothing stands begins none. Raises as `decoded` does.
    """
    number = 1
    begun: list[str] = []
    for chunk in decoded(path, encoding):
        *ended, rest = chunk.split("\n")
        for line in ended:
            yield number, "".join([*begun, line])
            begun.clear()
            number += 1
        if rest:
            begun.append(rest)
    if begun:
        yield number, "".join(begun)
