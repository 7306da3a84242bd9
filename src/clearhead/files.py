"""Files written whole or not at all: a temporary name, fsync, then rename."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from clearhead.errors import MachineError


def make_folder(folder: Path) -> Path:
    """`folder`, created with its parents. Raises `MachineError` where that is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise MachineError(f"{folder}: cannot create it ({fault.strerror}); try another --out") from fault
    return folder


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_whole(path: Path, content: str | bytes) -> Path:
    """Writes `content` so that a reader sees the old file or the new one, never a part. Raises `MachineError`."""
    data = content.encode() if isinstance(content, str) else content
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")  # tempfile would keep it from other users
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as fault:
        raise MachineError(f"{path}: cannot write ({fault.strerror}); free some space or name another --out") from fault
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def cache_folder() -> Path:
    """Where tokenized text is kept: $CLEARHEAD_CACHE, else the user's cache folder, else the temporary folder."""
    named = os.environ.get("CLEARHEAD_CACHE") or os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(named) if named else Path.home() / ".cache"
        (folder / "clearhead").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder / "clearhead"):
            return folder / "clearhead"
    except (OSError, RuntimeError):
        return Path(tempfile.gettempdir()) / "clearhead"
