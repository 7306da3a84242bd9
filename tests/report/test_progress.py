from __future__ import annotations

import io
from dataclasses import dataclass

from clearhead.report.progress import watching


@dataclass(frozen=True)
class Seen:
    experiment: str
    done: int
    total: int
    note: str = ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_sees_nothing() -> None:
    stream = io.StringIO()
    with watching(stream) as show:
        show(Seen("recall", 1, 16))
    assert stream.getvalue() == ""


def test_a_terminal_sees_a_bar_for_each_experiment() -> None:
    stream = Terminal()
    with watching(stream) as show:
        show(Seen("at_initialisation", 50, 50))
        show(Seen("recall[x]", 9, 16, "loss 0.41"))
    shown = stream.getvalue()
    for said in ("at initialisation", "50/50", "recall[x]", "9/16", "loss 0.41"):
        assert said in shown
