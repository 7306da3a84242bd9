"""The names of the objectives, from the folder's listing; torch is imported only when one of them is loaded."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import clearhead.objectives
from clearhead.errors import InputError, did_you_mean

SHARED = {"chains", "decoder", "loss", "masking", "menu", "shifted"}


def objective_names() -> list[str]:
    """The files of this folder that are objectives, in alphabetical order."""
    return sorted(file.name for file in pkgutil.iter_modules(clearhead.objectives.__path__) if file.name not in SHARED)


def load(name: str) -> ModuleType:
    """The module of one objective: its `Spec` and `build`. Raises `InputError` with the nearest name."""
    names = objective_names()
    if name not in names:
        raise InputError(f"objective.name: {name!r} is not one of {', '.join(names)}{did_you_mean(name, names)}")
    return importlib.import_module(f"clearhead.objectives.{name}")
