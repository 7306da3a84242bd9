"""Lines of a given width, counted in terminal cells: Latin text breaks at spaces, Chinese between characters."""

from __future__ import annotations

import re

from rich.cells import cell_len

_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_NO_LINE_START = "，。；：、？！）》」』”’％…—,.;:?!)%"
_PIECES = re.compile(rf"[（《「『“]*[{_WIDE}][{re.escape(_NO_LINE_START)}]*|[^ \t\r\n{_WIDE}]+|[ \t\r\n]+")
_BLANKS = re.compile("[ \t\r\n]+")


def wrap(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells; a word longer than a line is cut. U+00A0 never breaks."""
    lines, line = [], ""
    for piece in _PIECES.findall(_BLANKS.sub(" ", text).strip(" ")):
        if cell_len(line + piece.rstrip(" ")) <= width:
            line += piece
            continue
        if line.strip(" "):
            lines.append(line.rstrip(" "))
        line = piece.lstrip(" ")
        while cell_len(line) > width:
            head = _head(line, width)
            lines.append(head)
            line = line[len(head) :]
    return [*lines, line.rstrip(" ")] if line.strip(" ") or not lines else lines


def shortened(text: str, width: int) -> str:
    """`text`, cut to `width` cells with an ellipsis where it is longer."""
    return text if cell_len(text) <= width else _head(text, width - 1) + "…"


def _head(word: str, width: int) -> str:
    """The longest start of a word that fits, one character at least."""
    end = 1
    while end < len(word) and cell_len(word[: end + 1]) <= width:
        end += 1
    return word[:end]
