"""`Evidence`: one tidy table, a row an observation. Claims, figures, JSON, report and docs read it and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearhead.errors import InputError
from clearhead.files import write_whole

if TYPE_CHECKING:
    import pandas

Scalar = float | int | str


@dataclass(frozen=True)
class Along:
    """A measure with an axis of its own inside one cell: a learning curve over steps, a value per block or layer."""

    axis: str
    values: Mapping[Scalar, float]


Measured = Mapping[str, float | Along]


@dataclass(frozen=True)
class Row:
    """One observation: what was measured, in which experiment, under which arm, dose and seed.

    `at` says where inside the cell it was seen (`("step", 100)`), None for a number of the whole cell.
    """

    experiment: str
    arm: str
    dose: Mapping[str, Scalar]
    seed: int
    measure: str
    value: float
    at: tuple[str, Scalar] | None = None

    def flat(self) -> dict[str, Any]:
        """The row as one flat mapping: a line of `evidence.jsonl`. `along` names the column of the axis, if any."""
        value = self.value if math.isfinite(self.value) else None
        place = {"along": self.at[0], self.at[0]: self.at[1]} if self.at else {}
        return {
            "experiment": self.experiment,
            "arm": self.arm,
            **self.dose,
            "seed": self.seed,
            **place,
            "measure": self.measure,
            "value": value,
        }


def rows_of(experiment: str, arm: str, dose: Mapping[str, Scalar], seed: int, measured: Measured) -> list[Row]:
    """The rows of what one cell measured."""
    rows = []
    for measure, found in measured.items():
        if isinstance(found, Along):
            rows += [
                Row(experiment, arm, dose, seed, measure, float(value), (found.axis, place))
                for place, value in found.values.items()
            ]
        else:
            rows.append(Row(experiment, arm, dose, seed, measure, float(found)))
    return rows


@dataclass(frozen=True)
class Evidence:
    """All rows of a run, in the order of the plan, and the facts beside them."""

    rows: tuple[Row, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def where(self, experiment: str, measure: str, arm: str | None = None, **dose: Scalar) -> Iterator[Row]:
        """The rows of one measure; a dose that is not named is not asked about."""
        for row in self.rows:
            if row.experiment != experiment or row.measure != measure or (arm is not None and row.arm != arm):
                continue
            if all(row.dose.get(name) == level for name, level in dose.items()):
                yield row

    def by_seed(self, experiment: str, measure: str, arm: str, **dose: Scalar) -> dict[int, float]:
        """`{seed: value}`; a measure with an axis is averaged over it."""
        found: dict[int, list[float]] = {}
        for row in self.where(experiment, measure, arm, **dose):
            found.setdefault(row.seed, []).append(row.value)
        return {seed: sum(values) / len(values) for seed, values in found.items()}

    def by_item(self, experiment: str, measure: str, arm: str, **dose: Scalar) -> dict[Scalar, float]:
        """`{item: value}` along the axis of the measure, averaged over seeds."""
        found: dict[Scalar, list[float]] = {}
        for row in self.where(experiment, measure, arm, **dose):
            if row.at is not None:
                found.setdefault(row.at[1], []).append(row.value)
        return {item: sum(values) / len(values) for item, values in found.items()}

    def levels(self, experiment: str, name: str) -> list[Scalar]:
        """The levels of one dose that an experiment saw, in order."""
        seen = {row.dose[name] for row in self.rows if row.experiment == experiment and name in row.dose}
        return sorted(seen, key=lambda level: (isinstance(level, str), level))

    def write(self, path: Path) -> Path:
        """`evidence.jsonl`: one JSON object a line, one line a row; whole or not at all."""
        return write_whole(path, "".join(json.dumps(row.flat(), ensure_ascii=False) + "\n" for row in self.rows))

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a DataFrame, a column for every dose and axis. Raises `InputError` without pandas."""
        try:
            import pandas as pd
        except ImportError as missing:
            raise InputError("to_pandas() needs pandas: pip install 'clearhead[notebook]'") from missing
        return pd.DataFrame([row.flat() for row in self.rows])


def read_evidence(path: Path, facts: Mapping[str, Any]) -> Evidence:
    """The evidence that `Evidence.write` wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return Evidence(tuple(_row(json.loads(line)) for line in lines), facts)


def _row(flat: dict[str, Any]) -> Row:
    fixed = {name: flat.pop(name) for name in ("experiment", "arm", "seed", "measure", "value")}
    axis = flat.pop("along", None)
    at = (axis, flat.pop(axis)) if axis else None
    value = math.nan if fixed["value"] is None else fixed["value"]
    return Row(fixed["experiment"], fixed["arm"], flat, fixed["seed"], fixed["measure"], value, at)
