"""A checkpoint is found in a fixed order, named by its weights, and refused by name where it is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clearhead.errors import InputError
from clearhead.interop import finding
from clearhead.interop.finding import find_checkpoint


def lay(folder: Path, weights: bytes = b"weights", kind: str = "bert") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no package with a checkpoint."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(finding, "PACKAGE", "no_such_package_anywhere")
    return tmp_path / "hub"


def snapshot(hub: Path, name: str, revision: str = "abc", **options: str) -> Path:
    repository = hub / f"models--{name.replace('/', '--')}"
    folder = lay(repository / "snapshots" / revision, **options)  # type: ignore[arg-type]
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(revision, encoding="utf-8")
    return folder


def test_without_any_there_is_none(hub: Path) -> None:
    assert find_checkpoint() is None


def test_the_cache_is_looked_through_and_other_kinds_are_passed_over(hub: Path) -> None:
    snapshot(hub, "a/gpt", kind="gpt2")
    folder = snapshot(hub, "b/bert")
    found = find_checkpoint()
    assert found is not None
    assert (found.name, found.folder) == ("b/bert", folder)


def test_what_is_named_goes_before_what_is_cached(hub: Path, tmp_path: Path) -> None:
    snapshot(hub, "b/bert")
    own = lay(tmp_path / "own", weights=b"others")
    found, cached = find_checkpoint(str(own)), find_checkpoint("b/bert")
    assert found is not None and found.folder == own
    assert cached is not None and cached.name == "b/bert"
    assert found.sha256 != cached.sha256


def test_equal_weights_are_one_checkpoint_wherever_they_lie(hub: Path, tmp_path: Path) -> None:
    first, second = (find_checkpoint(str(lay(tmp_path / name))) for name in ("one", "two"))
    assert first is not None and second is not None
    assert first.sha256 == second.sha256


def test_a_name_that_is_nowhere_says_how_to_get_it(hub: Path) -> None:
    with pytest.raises(InputError, match="--checkpoint c/d: no such folder, and not in the Hugging Face cache"):
        find_checkpoint("c/d")


def test_a_folder_that_is_not_whole_names_what_is_missing(hub: Path, tmp_path: Path) -> None:
    folder = lay(tmp_path / "own")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer\.json is missing"):
        find_checkpoint(str(folder))


def test_another_kind_of_model_is_refused(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match='no model_type "bert"'):
        find_checkpoint(str(lay(tmp_path / "own", kind="gpt2")))
