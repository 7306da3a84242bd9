"""A run on disk is whole or absent, verified when it is read, and never overwritten."""

from __future__ import annotations

import pickletools
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from clearhead.errors import InputError, MachineError
from clearhead.training.checkpoints import keep_run, load_weights, read_run, start_from, weights_of

FILES = {"model.safetensors": bytes(range(256)) * 8, "recipe.json": b'{"a": 1}', "tokenizer.json": b"{}"}


class Tied(nn.Module):
    """A trunk and a head that share a matrix, as a task does."""

    def __init__(self, width: int = 4, *, deeper: bool = False) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"embedding": nn.Embedding(7, width), "layer": nn.Linear(width, width)})
        if deeper:
            self.model["further"] = nn.Linear(width, width)
        self.head = nn.Linear(width, 7, bias=False)
        self.head.weight = self.model["embedding"].weight  # type: ignore[assignment]


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    run = keep_run(tmp_path / "a" / "run", FILES)
    assert read_run(run) == FILES
    assert [path.name for path in run.parent.iterdir()] == ["run"], "something temporary was left behind"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    run = keep_run(tmp_path / "run", FILES)
    with pytest.raises(InputError, match="not overwritten"):
        keep_run(run, {"recipe.json": b"another"})
    assert read_run(run) == FILES


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "gone"])
def test_every_damage_is_refused_by_name(name: str, damage: str, tmp_path: Path) -> None:
    run = keep_run(tmp_path / "run", FILES)
    path, rng = run / name, np.random.default_rng(0)
    content = path.read_bytes()
    for _ in range(25 if damage == "flipped" else 1):
        if damage == "flipped":
            changed = bytearray(content)
            changed[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
            path.write_bytes(bytes(changed))
        elif damage == "gone":
            path.unlink()
        else:
            path.write_bytes(content[:-1] if damage == "cut" else content + b"x")
        with pytest.raises(InputError) as caught:
            read_run(run)
            pytest.fail(f"{damage} {name} was read")
        assert "run" in str(caught.value)


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run"):
        read_run(tmp_path)


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MachineError):
        keep_run(tmp_path / "file" / "run", FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_killed_at_any_moment_a_run_is_whole_or_absent(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from clearhead.training.checkpoints import keep_run\n"
        "print('ready', flush=True)\n"
        "for number in range(10_000): keep_run(Path(sys.argv[1]) / str(number), {'a': b'x' * 300_000, 'b': b'y'})"
    )
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        arguments = [sys.executable, "-c", script, str(folder)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.02 + 0.013 * attempt)
            process.send_signal(signal.SIGKILL)
        for run in folder.iterdir():
            if not run.name.startswith("."):
                assert set(read_run(run)) == {"a", "b"}


def test_weights_come_back_and_tied_ones_stay_tied() -> None:
    torch.manual_seed(0)
    one, other = Tied(), Tied()
    content = weights_of(one)
    load_weights(other, content, "there")
    assert all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())
    assert other.head.weight is other.model["embedding"].weight
    assert len(content) < 2 * 4 * sum(value.numel() for value in one.parameters()) + 1000


def test_no_pickle_is_written() -> None:
    with pytest.raises(ValueError):
        list(pickletools.genops(weights_of(Tied())))


def test_weights_of_another_recipe_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"has also model\.further"):
        load_weights(Tied(), weights_of(Tied(deeper=True)), "there")
    with pytest.raises(InputError, match=r"lacks model\.further"):
        load_weights(Tied(deeper=True), weights_of(Tied()), "there")
    with pytest.raises(InputError, match=r"is \(7, 5\) there and \(7, 4\) in this model"):
        load_weights(Tied(), weights_of(Tied(5)), "there")
    with pytest.raises(InputError, match="not safetensors"):
        load_weights(Tied(), b"garbage", "there")


def test_a_trunk_starts_from_an_earlier_one_by_name() -> None:
    torch.manual_seed(0)
    earlier, later = Tied(), Tied(deeper=True)
    fresh = start_from(later.model, weights_of(earlier), "there")
    assert fresh == ["further.bias", "further.weight"]
    assert torch.equal(later.model["layer"].weight, earlier.model["layer"].weight)  # type: ignore[arg-type]
    assert torch.equal(later.head.weight, earlier.head.weight)
    with pytest.raises(InputError, match="same sizes"):
        start_from(Tied(5).model, weights_of(earlier), "there")
    with pytest.raises(InputError, match="another model"):
        start_from(nn.Linear(2, 2), weights_of(earlier), "there")
