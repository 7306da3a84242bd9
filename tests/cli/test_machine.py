"""What the world does to a run: killed half-way, interrupted, a full disk, a read-only one. Finished cells are kept."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ASK = (sys.executable, str(HERE / "tiny.py"), "ask", "90", "--json")
FIRST_LOOK = 12  # arms x widths x seeds
HELD_BACK = 4  # those of the third seed
WHOLE = 24


def environment(**added: object) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in added.items()}}


def asked(prose: Path, out: Path, *before: str, **added: object) -> subprocess.CompletedProcess[str]:
    command = [*before, *ASK, "--text", str(prose), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**added), timeout=60)


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert all(part in lines[0] for part in parts), lines[0]
    assert "a bug" not in lines[0]
    assert done.returncode == 1


def numbers(answer: dict[str, Any]) -> list[Any]:
    """All that a repetition must give again: the claims and every row of the evidence."""
    return [answer["answer"], answer["claims"], Path(answer["evidence"]).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def undisturbed(shared_folder: Path) -> Callable[[Path], list[Any]]:
    """The numbers of the same ask without any disturbance, asked once."""
    kept: list[Any] = []

    def once(prose: Path) -> list[Any]:
        if not kept:
            done = asked(prose, shared_folder / "undisturbed")
            assert (done.returncode, done.stderr) == (0, "")
            kept.extend(numbers(json.loads(done.stdout)))
        return kept

    return once


def finished_cells(out: Path) -> int:
    return len(list((out / "cells").glob("*.json")))


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_the_next_run_goes_on_from_the_finished_cells(
    tmp_path: Path, prose: Path, undisturbed: Callable[[Path], list[Any]], blow: signal.Signals
) -> None:
    expected = undisturbed(prose)
    out, log, hold = tmp_path / "runs", tmp_path / "log", tmp_path / "hold"
    hold.touch()
    command = [*ASK, "--text", str(prose), "--out", str(out)]
    run = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(TINY_LOG=log, TINY_HOLD=hold),
    )
    for _ in range(600):
        if finished_cells(out) == FIRST_LOOK - HELD_BACK:
            break
        time.sleep(0.05)
    assert finished_cells(out) == FIRST_LOOK - HELD_BACK
    run.send_signal(blow)
    said, complained = run.communicate(timeout=30)
    assert said == ""
    if blow is signal.SIGINT:
        assert run.returncode == 130
        assert complained.split("\n") == ["error: stopped; finished cells are kept, the same command goes on from there", ""]
    assert not list(out.glob("ask-*/answer.json"))
    assert log.read_text().count("\n") == FIRST_LOOK - HELD_BACK

    again = asked(prose, out, TINY_LOG=log)
    assert (again.returncode, again.stderr) == (0, "")
    assert numbers(json.loads(again.stdout)) == expected
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == WHOLE


def test_half_an_answer_on_disk_is_not_read_as_whole(
    tmp_path: Path, prose: Path, undisturbed: Callable[[Path], list[Any]]
) -> None:
    first = json.loads(asked(prose, tmp_path).stdout)
    file = Path(first["report"]).with_name("answer.json")
    file.write_text(file.read_text()[:-100])
    for cell in list((tmp_path / "cells").glob("*.json"))[::2]:
        cell.write_text(cell.read_text()[:10])
    log = tmp_path / "log"
    again = asked(prose, tmp_path, TINY_LOG=log)
    assert numbers(json.loads(again.stdout)) == undisturbed(prose)
    assert len(log.read_text().splitlines()) == WHOLE // 2


def test_a_file_too_large_for_the_disk(tmp_path: Path, prose: Path, undisturbed: Callable[[Path], list[Any]]) -> None:
    """A limit on the size of a file refuses the report as a full disk does, on every machine; the cells fit in."""
    expected = undisturbed(prose)
    limit = (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    log = tmp_path / "log"
    done = subprocess.run(
        [*ASK, "--text", str(prose), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment(TINY_LOG=log),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        timeout=60,
    )
    refused(done, str(tmp_path), "cannot write", "File too large", "--out")
    assert finished_cells(tmp_path) == WHOLE
    assert not [left for left in tmp_path.rglob(".*") if left.is_file()], "a temporary file was left behind"
    again = asked(prose, tmp_path, TINY_LOG=log)
    assert numbers(json.loads(again.stdout)) == expected
    assert len(log.read_text().splitlines()) == WHOLE


def on_a_disk(folder: Path, options: str, *then: str) -> tuple[str, ...]:
    """A command line that runs the rest of it where `folder` is a small disk of its own, after the shell line `then`."""
    mount = f"mount -t tmpfs -o {options} tmpfs {folder} && {' && '.join([*then, 'exec'])} \"$@\""
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    able = shutil.which("unshare") and subprocess.run([*on_a_disk(folder, "size=1m"), "true"], capture_output=True)
    if not able or able.returncode:
        pytest.skip("this machine lets nobody mount a disk of their own; the limit on file sizes is tested all the same")
    return folder


def test_a_full_disk(disk: Path, prose: Path, undisturbed: Callable[[Path], list[Any]]) -> None:
    undisturbed(prose)
    fill = f"head -c 1044480 /dev/zero > {disk}/full"
    refused(asked(prose, disk / "runs", *on_a_disk(disk, "size=1m", fill)), str(disk), "No space left on device", "--out")


def test_a_disk_that_is_full_before_the_first_file(
    disk: Path, prose: Path, undisturbed: Callable[[Path], list[Any]]
) -> None:
    undisturbed(prose)
    fill = f"cat /dev/zero > {disk}/full 2> /dev/null; true"
    refused(asked(prose, disk / "runs", *on_a_disk(disk, "size=1m", fill)), str(disk), "No space left on device", "--out")


def test_a_read_only_disk(disk: Path, prose: Path, undisturbed: Callable[[Path], list[Any]]) -> None:
    undisturbed(prose)
    refused(asked(prose, disk / "runs", *on_a_disk(disk, "ro")), str(disk), "Read-only file system", "--out")


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, prose: Path) -> None:
    (tmp_path / "file").write_text("a file")
    done = asked(prose, tmp_path / "runs", CLEARHEAD_CACHE=tmp_path / "file", TMPDIR=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
