"""A live display of cells as they end, on standard error: one bar an experiment; nothing where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from clearhead.report.words import printable

NAME_CELLS = 28


class Event(Protocol):
    """`done` of `total` cells of one experiment are there; `note` says something beside it."""

    @property
    def experiment(self) -> str: ...

    @property
    def done(self) -> int: ...

    @property
    def total(self) -> int: ...

    @property
    def note(self) -> str: ...


@contextmanager
def watching(stream: TextIO) -> Iterator[Callable[[Event], None]]:
    """A function that shows an event; it is silent where `stream` is no terminal."""
    console = Console(file=stream)
    if not console.is_terminal:
        yield lambda event: None
        return
    columns = (
        TextColumn("    {task.description}", style="default"),
        BarColumn(bar_width=22, complete_style="cyan", finished_style="bright_black"),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", style="bright_black", markup=False),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True) as bars:

        def show(event: Event) -> None:
            if event.experiment not in tasks:
                name = printable(event.experiment).replace("_", " ").replace("[", r"\[")
                tasks[event.experiment] = bars.add_task(
                    f"{name:<{NAME_CELLS}.{NAME_CELLS}}", total=event.total, note=""
                )
            bars.update(tasks[event.experiment], completed=event.done, total=event.total, note=printable(event.note))

        yield show
