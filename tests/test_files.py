"""Files are whole or not there at all, and as readable as any other file of the user's."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from clearhead.errors import MachineError
from clearhead.files import make_folder, write_whole


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "文本.txt"
    assert write_whole(file, "é水\n") == file
    assert file.read_bytes() == "é水\n".encode()
    write_whole(file, b"\x00\xff")
    assert file.read_bytes() == b"\x00\xff"
    assert list(file.parent.iterdir()) == [file]


def test_other_users_may_read_it_where_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        assert write_whole(tmp_path / "report.html", "x").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_the_old_file_stays_whole_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    file = write_whole(tmp_path / "a.json", "old")

    def refuse(_handle: int) -> None:
        raise fault

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(MachineError if isinstance(fault, OSError) else KeyboardInterrupt) as told:
        write_whole(file, "new")
    if isinstance(fault, OSError):
        assert str(told.value).startswith(f"{file}: cannot write (No space left on device)")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    file, stop = write_whole(tmp_path / "a.txt", "a" * 100_000), threading.Event()

    def write() -> None:
        for letter in "bcdefghij":
            write_whole(file, letter * 100_000)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        seen = file.read_text()
        assert len(seen) == 100_000 and len(set(seen)) == 1
    writer.join()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(MachineError, match="cannot create it"):
            make_folder(folder)
