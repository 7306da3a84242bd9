"""The store of finished cells: one small file a cell, named by all that its numbers depend on, written whole."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from clearhead.digests import digest
from clearhead.experiments.evidence import Along, Measured
from clearhead.experiments.experiment import Cell
from clearhead.files import write_whole

PACKAGE = Path(__file__).parents[1]
MEASURING = (
    *("spec.py", "text", "batches", "layers", "models", "objectives", "interop", "training", "evaluation", "recipes"),
    *("jobs", "experiments/trained.py", "experiments/recipe.py", "experiments/staging.py"),
)


@dataclass(frozen=True)
class Done:
    """What a cell measured and the processor's seconds that it took, or why the text is `too_little` for it."""

    measured: Measured
    seconds: float
    too_little: str = ""


@functools.cache
def code_fingerprint(places: tuple[str, ...]) -> str:
    """A digest of the package's own files in these rooms (or single files): other code, other name."""
    seen = hashlib.sha256()
    for place in places:
        path = PACKAGE / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in {".py", ".yaml", ".css", ".js", ".html"}:
                seen.update(f"{file.relative_to(PACKAGE)}\0".encode() + file.read_bytes())
    return seen.hexdigest()[:12]


def versions(*packages: str) -> dict[str, str]:
    """`{package: version}` of what is installed, without importing it."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cell_name(cell: Cell) -> str:
    """The name of all that a cell's numbers depend on: code, versions, function, arguments, seed."""
    code = code_fingerprint(MEASURING)
    own = _source_digest(_module_of(cell.run))
    return digest(cell.run, own, cell.arguments, cell.seed, code, versions("torch", "numpy", "tokenizers"))


def _module_of(run: Any) -> str:
    probes = getattr(run, "probes", ())
    return str((probes[0] if probes else run).__module__)


@functools.cache
def _source_digest(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12] if file else ""


def load(folder: Path, cell: Cell) -> Done | None:
    """The finished cell, or None where there is none whole."""
    try:
        kept = json.loads((folder / f"{cell_name(cell)}.json").read_text(encoding="utf-8"))
        return Done({name: _revive(found) for name, found in kept["measured"].items()}, float(kept["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(folder: Path, cell: Cell, done: Done) -> None:
    """Keeps a finished cell, whole or not at all."""
    kept = {name: _flatten(found) for name, found in done.measured.items()}
    write_whole(folder / f"{cell_name(cell)}.json", json.dumps({"measured": kept, "seconds": done.seconds}))


def _flatten(found: float | Along) -> Any:
    return [found.axis, list(found.values.items())] if isinstance(found, Along) else float(found)


def _revive(found: Any) -> float | Along:
    return Along(found[0], dict(found[1])) if isinstance(found, list) else float(found)
