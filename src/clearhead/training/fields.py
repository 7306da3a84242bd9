"""What the specs of training read and check alike: values that may be absent, fields that belong to one choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator


def _none_where_empty(value: Any) -> Any:
    return None if value in ("", "none", "null") else value


Absent = BeforeValidator(_none_where_empty)


def changed(spec: BaseModel, field: str) -> bool:
    """Whether a field holds anything but its default."""
    return bool(getattr(spec, field) != type(spec).model_fields[field].default)


def check_owned(spec: BaseModel, chosen: str, owners: Mapping[str, tuple[str, ...]]) -> None:
    """Raises `ValueError` where a field is set that none but its `owners` read, and `chosen` is not one of them."""
    for field, those in owners.items():
        if chosen not in those and changed(spec, field):
            raise ValueError(f"{field} belongs to {', '.join(those)}, not to {chosen}; take it out")
