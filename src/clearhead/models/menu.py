"""The names of the models, from the folder's listing; torch is imported only when one of them is loaded."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import clearhead.models
from clearhead.errors import InputError, did_you_mean

SHARED = {"fields", "menu", "states", "transformer"}


def model_names() -> list[str]:
    """The files of this folder that are models, in alphabetical order."""
    return sorted(file.name for file in pkgutil.iter_modules(clearhead.models.__path__) if file.name not in SHARED)


def load(name: str) -> ModuleType:
    """The module of one model: its `Spec` and `build`. Raises `InputError` with the nearest name."""
    names = model_names()
    if name not in names:
        raise InputError(f"model.name: {name!r} is not one of {', '.join(names)}{did_you_mean(name, names)}")
    return importlib.import_module(f"clearhead.models.{name}")
