"""The two ways a run can fail, each told in one sentence: where, what was got, what is expected, the mend.

`InputError` is what the user wrote (exit code 2); `MachineError` is what the world did (exit code 1).
Everything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user wrote cannot be used: a file, an option, a key, a value. Exit code 2."""


class TooLittleError(InputError):
    """The text is too short for what is asked of it; other things may still be asked of it. Exit code 2."""


class MachineError(OSError):
    """The machine refused: a full disk, a folder without permission, a killed worker. Exit code 1."""


def did_you_mean(name: str, offered: Iterable[str]) -> str:
    """`"; did you mean 'rms'?"` where a near name is offered, else an empty string."""
    near = difflib.get_close_matches(name, list(offered), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
