"""Many cells over local processes, one thread each; finished cells are kept one by one and never run again."""

from __future__ import annotations

import os
import pickle
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from clearhead.errors import InputError, MachineError
from clearhead.experiments import store
from clearhead.experiments.experiment import Cell
from clearhead.experiments.store import Done
from clearhead.experiments.worker import SINGLE_THREAD


class CellFailedError(RuntimeError):
    """A measurement raised: a bug in a question or a recipe that cannot run. Carries the worker's traceback."""


@dataclass(frozen=True)
class Fanout:
    """Where finished cells are kept, how many processes there are, and when no further cell is begun.

    `deadline` is in seconds of `time.monotonic()`, None for never; `fresh` measures again what is kept; `own` is a file
    of the user's whose functions the cells call.
    """

    store: Path
    workers: int
    deadline: float | None = None
    fresh: bool = False
    own: Path | None = None

    def expired(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """Worker processes, started when first needed, killed when left."""

    def __init__(self, fanout: Fanout) -> None:
        self.fanout = fanout
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        self._processes.clear()

    def run(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Done]]:
        """Each cell with what it measured, finished ones first, then as they end. Stops early at the deadline."""
        waiting: dict[str, list[Cell]] = {}
        for cell in cells:
            done = None if self.fanout.fresh else store.load(self.fanout.store, cell)
            if done is not None:
                yield cell, done
            else:
                waiting.setdefault(store.cell_name(cell), []).append(cell)
        queue = [same[0] for same in waiting.values()]
        for cell, done in self._measure(queue):
            if not done.too_little:
                store.save(self.fanout.store, cell, done)
            for twin in waiting[store.cell_name(cell)]:
                yield twin, done

    def _measure(self, queue: list[Cell]) -> Iterator[tuple[Cell, Done]]:
        busy: dict[int, Cell] = {}
        with ExitStack() as stack:
            ready = stack.enter_context(selectors.DefaultSelector())
            for process in self._staff(min(self.fanout.workers, len(queue))):
                ready.register(_pipe(process.stdout), selectors.EVENT_READ, process)
                self._give(process, queue, busy)
            while busy:
                for key, _ in ready.select():
                    process = key.data
                    done = _receive(process, busy[process.pid])
                    cell = busy.pop(process.pid)
                    self._give(process, queue, busy)
                    yield cell, done

    def _staff(self, wanted: int) -> list[subprocess.Popen[bytes]]:
        own = self.fanout.own
        while len(self._processes) < wanted:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "clearhead.experiments.worker", *([str(own)] if own else [])],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **SINGLE_THREAD, "TOKENIZERS_PARALLELISM": "false"},
                    start_new_session=True,
                )
            )
        return self._processes[:wanted]

    def _give(self, process: subprocess.Popen[bytes], queue: list[Cell], busy: dict[int, Cell]) -> None:
        if queue and not self.fanout.expired():
            cell = busy[process.pid] = queue.pop(0)
            stream = _pipe(process.stdin)
            try:
                pickle.dump(cell, stream)
                stream.flush()
            except BrokenPipeError as gone:
                raise _gone(cell) from gone


def _gone(cell: Cell) -> MachineError:
    return MachineError(
        f"{cell.experiment}: the process that measured arm {cell.arm!r} ended by itself (out of memory?); "
        "finished cells are kept, run the same command again"
    )


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("a worker was started without pipes")
    return stream


def _receive(process: subprocess.Popen[bytes], cell: Cell) -> Done:
    try:
        state, content, seconds = pickle.load(_pipe(process.stdout))
    except (EOFError, pickle.UnpicklingError) as gone:
        raise _gone(cell) from gone
    if state == "failed":
        kind, message, text = content
        if kind == "TooLittleError":
            return Done({}, seconds, message)
        known = {"InputError": InputError, "MachineError": MachineError, "MemoryError": MachineError}
        if kind in known:
            raise known[kind](message or f"{cell.experiment}: arm {cell.arm!r} needs more memory than there is")
        raise CellFailedError(f"{cell.experiment}: arm {cell.arm!r}, seed {cell.seed}: {kind}: {message}\n{text}")
    return Done(content, seconds)
