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
        """The row as one flat mapping: a line of `evidence.jsonl`, a datum of a figure."""
        value = self.value if math.isfinite(self.value) else None
        place = {self.at[0]: self.at[1]} if self.at else {}
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

    def table(self) -> Table:
        """The rows as one flat table: what `evidence.jsonl` holds."""
        return Table(tuple(row.flat() for row in self.rows))


@dataclass(frozen=True)
class Table:
    """Evidence as flat rows of plain data."""

    rows: tuple[Mapping[str, Any], ...]

    def write(self, path: Path) -> Path:
        """One JSON object a line, one line a row; whole or not at all."""
        return write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows))

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a DataFrame. Raises `InputError` where pandas is not installed."""
        try:
            import pandas as pd
        except ImportError as missing:
            raise InputError("to_pandas() needs pandas: pip install 'clearhead[notebook]'") from missing
        return pd.DataFrame(list(self.rows))


def read_table(path: Path) -> Table:
    """The table that `Table.write` wrote."""
    return Table(tuple(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()))
