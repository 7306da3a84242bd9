"""From what the user wrote (YAML, dotted overrides) to frozen, validated specs.

Sources merge left to right: defaults, a YAML file, `a.b=c` overrides. YAML scalars stay text until the declared
type reads them, so `1e-3` is a number where a number is declared and `no` is never a truth value by accident.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from clearhead.errors import InputError, did_you_mean

M = TypeVar("M", bound=BaseModel)


class SpecModel(BaseModel):
    """A frozen pydantic model that refuses unknown keys: the base of every spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, scalars as text. Raises `InputError` with line and column."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"{path}: cannot read this recipe ({fault})") from fault
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping in YAML text, scalars as text; `where` names the source in errors."""
    data = _loaded(text, where)
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected a mapping of keys to values, got {type(data).__name__}")
    return data


def _loaded(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise InputError(f"{where}: {place}: not valid YAML: {fault.problem}") from fault
    except yaml.YAMLError as fault:
        raise InputError(f"{where}: not valid YAML: {' '.join(str(fault).split())}") from fault
    except RecursionError as fault:
        raise InputError(f"{where}: nested too deep to be a recipe") from fault


def override(data: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """`data` with each dotted `a.b=c` applied; the given mapping is left as it was."""
    merged: dict[str, Any] = json.loads(json.dumps(data))
    for assignment in overrides:
        key, equals, value = assignment.partition("=")
        if not equals or not all(key.split(".")):
            raise InputError(f"{assignment!r} is not of the form key=value, such as model.norm=rms")
        _assign(merged, key.split("."), _loaded(value, assignment) or "")
    return merged


def _assign(data: Any, path: list[str], value: Any, walked: str = "") -> None:
    part, *rest = path
    walked = f"{walked}.{part}" if walked else part
    if isinstance(data, list):
        if not part.isdigit() or int(part) >= len(data):
            raise InputError(f"{walked}: a list of {len(data)} stands here; number its entries from 0")
        if rest:
            _assign(data[int(part)], rest, value, walked)
        else:
            data[int(part)] = value
        return
    if not rest:
        data[part] = value
        return
    inner = data.get(part)
    if not isinstance(inner, dict | list):
        data[part] = {"name": inner} if isinstance(inner, str) and inner else {}
    _assign(data[part], rest, value, walked)


def validate(model: type[M], data: Mapping[str, Any], where: str = "") -> M:
    """`data` read by the types that `model` declares. Raises `InputError` naming the field and the nearest name."""
    try:
        return model.model_validate(data)
    except ValidationError as fault:
        raise InputError(_explain(fault, model, where)) from fault


def _explain(fault: ValidationError, model: type[BaseModel], where: str) -> str:
    first = min(fault.errors(include_url=False), key=lambda error: error["type"] == "missing")
    path = [str(part) for part in first["loc"]]
    place = ".".join([*([where] if where else []), *path])
    if first["type"] == "extra_forbidden":
        names = list(_fields_at(model, path[:-1]))
        return f"{place}: there is no such key; known here: {', '.join(names)}{did_you_mean(path[-1], names)}"
    if first["type"] == "literal_error":
        names = [part.strip(" '") for part in first["ctx"]["expected"].replace(" or ", ",").split(",")]
        got = first["input"]
        return f"{place}: {got!r} is not one of {', '.join(names)}{did_you_mean(str(got), names)}"
    if first["type"] == "missing":
        return f"{place}: this key is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" + ("" if isinstance(first["input"], dict) else f" (got {first['input']!r})")


def _fields_at(model: type[BaseModel], path: list[str]) -> Iterable[str]:
    for part in path:
        field = model.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return model.model_fields
