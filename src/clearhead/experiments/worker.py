"""A worker process: reads cells on its standard input, measures each on one thread, answers on its standard output.

It is started as `python -m clearhead.experiments.worker`, so the caller's main module is never run again, and it ends
by itself when its parent is gone. Its one argument, if any, is a file of the user's whose functions cells call.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import traceback
from pathlib import Path

SINGLE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if len(sys.argv) > 1:
        from clearhead.experiments.own_file import module_from

        module_from(Path(sys.argv[1]))
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    while True:
        try:
            cell = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(_measure(cell), answers)
        answers.flush()


def _measure(cell: object) -> tuple[str, object, float]:
    """("done", measured, seconds of the processor), or ("failed", the traceback as text, seconds)."""
    started = time.process_time()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    try:
        return "done", cell.measure(), time.process_time() - started  # type: ignore[attr-defined]
    except Exception as fault:
        return "failed", (type(fault).__name__, str(fault), traceback.format_exc()), time.process_time() - started


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
