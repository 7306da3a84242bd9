"""What the world does to a run: killed half-way, interrupted, a full disk, a read-only one. Finished cells are kept."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clearhead.experiments import trained

HERE = Path(__file__).parent
Command = Callable[..., Any]
Asked = Callable[[Path], list[Any]]
ASK = (sys.executable, str(HERE / "tiny.py"), "ask", "90", "--json")
FIRST_LOOK = 12  # arms x widths x seeds
HELD_BACK = 4  # those of the third seed
WHOLE = 24


def environment(**added: object) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in added.items()}}


def disturbed(prose: Path, out: Path, *before: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The tiny question in a process of its own, which something is done to."""
    command = [*before, *ASK, "--text", str(prose), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, **options)


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert all(part in lines[0] for part in parts), lines[0]
    assert "a bug" not in lines[0]
    assert done.returncode == 1


@pytest.fixture
def asked(clearhead: Command, prose: Path) -> Callable[[Path], list[Any]]:
    """Asks in this process; gives all that a repetition must give again: the claims and every row of the evidence."""

    def numbers(out: Path) -> list[Any]:
        found = clearhead("ask", 90, "--json", "--text", prose, "--out", out)
        assert (found.code, found.err) == (0, "")
        answer = json.loads(found.out)
        return [answer["answer"], answer["claims"], Path(answer["evidence"]).read_text(encoding="utf-8").splitlines()]

    return numbers


def finished_cells(out: Path) -> int:
    return len(list((out / "cells").glob("*.json")))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every cell that is really measured leaves a line."""
    monkeypatch.setenv("TINY_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_the_next_run_goes_on_from_the_finished_cells(
    tmp_path: Path, prose: Path, asked: Asked, shared_folder: Path, log: Path, blow: signal.Signals
) -> None:
    expected = asked(shared_folder / "undisturbed")
    log.unlink(missing_ok=True)
    out, hold = tmp_path / "runs", tmp_path / "hold"
    hold.touch()
    run = subprocess.Popen(
        [*ASK, "--text", str(prose), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(TINY_HOLD=hold),
    )
    for _ in range(1200):
        if finished_cells(out) == FIRST_LOOK - HELD_BACK:
            break
        time.sleep(0.05)
    run.send_signal(blow)
    said, complained = run.communicate(timeout=30)
    assert said == ""
    if blow is signal.SIGINT:
        assert run.returncode == 130
        assert complained.strip() == "error: stopped; finished cells are kept, the same command goes on from there"
    assert finished_cells(out) == log.read_text().count("\n") == FIRST_LOOK - HELD_BACK
    assert not list(out.glob("ask-*/answer.json"))
    assert asked(out) == expected
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == WHOLE


def test_half_a_file_is_not_read_as_whole(tmp_path: Path, asked: Asked, log: Path) -> None:
    expected = asked(tmp_path)
    (answer,) = tmp_path.glob("ask-*/answer.json")
    answer.write_text(answer.read_text()[:-100])
    for cell in list((tmp_path / "cells").glob("*.json"))[::2]:
        cell.write_text(cell.read_text()[:10])
    assert asked(tmp_path) == expected
    assert len(log.read_text().splitlines()) == WHOLE + WHOLE // 2


def test_a_file_too_large_for_the_disk(
    tmp_path: Path, prose: Path, asked: Asked, shared_folder: Path, log: Path
) -> None:
    """A limit on the size of a file refuses the report as a full disk does, on every machine; the cells fit in."""
    expected = asked(shared_folder / "undisturbed")
    log.unlink(missing_ok=True)
    limit = (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    done = disturbed(prose, tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    refused(done, str(tmp_path), "cannot write", "File too large", "--out")
    assert finished_cells(tmp_path) == WHOLE
    assert not [left for left in tmp_path.rglob(".*") if left.is_file()], "a temporary file was left behind"
    assert asked(tmp_path) == expected
    assert len(log.read_text().splitlines()) == WHOLE


def on_a_disk(folder: Path, options: str, *then: str) -> tuple[str, ...]:
    """A command line that runs what follows it where `folder` is a small disk of its own, after the lines `then`."""
    mount = f"mount -t tmpfs -o {options} tmpfs {folder} && {' && '.join([*then, 'exec'])} \"$@\""
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    able = shutil.which("unshare") and subprocess.run([*on_a_disk(folder, "size=1m"), "true"], capture_output=True)
    if not able or able.returncode:
        pytest.skip("no disk can be mounted here; the limit on the size of a file is tested all the same")
    return folder


def test_a_full_disk(disk: Path, prose: Path, asked: Asked, shared_folder: Path) -> None:
    asked(shared_folder / "undisturbed")
    full = on_a_disk(disk, "size=1m", f"head -c 1044480 /dev/zero > {disk}/full")
    refused(disturbed(prose, disk / "runs", *full), str(disk), "No space left on device", "--out")


def test_a_read_only_disk(disk: Path, prose: Path, asked: Asked, shared_folder: Path) -> None:
    asked(shared_folder / "undisturbed")
    refused(disturbed(prose, disk / "runs", *on_a_disk(disk, "ro")), str(disk), "Read-only file system", "--out")


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, asked: Asked, shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = asked(shared_folder / "undisturbed")
    (tmp_path / "file").write_text("a file")
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trained.prepared.cache_clear()
    assert asked(tmp_path / "runs") == expected
    assert list((tmp_path / "clearhead").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize("options", [("ask", "--json"), ("ask",), ("ask", "90", "--json"), ("--help",)])
def test_output_into_a_full_file(prose: Path, asked: Asked, shared_folder: Path, options: tuple[str, ...]) -> None:
    asked(shared_folder / "undisturbed")
    where = ("--text", str(prose), "--out", str(shared_folder / "undisturbed")) if "90" in options else ()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, str(HERE / "tiny.py"), *options, *where], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "error: [Errno 28] No space left on device\n")
