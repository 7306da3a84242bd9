"""`View`: a figure as a view of the evidence, said in plain data. Drawing is the report's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from clearhead.bilingual import Bilingual
from clearhead.experiments.evidence import Scalar


@dataclass(frozen=True)
class Axis:
    """A field of the evidence (a dose, an axis, `arm`, or `value`), with its title and unit, on a log scale or not."""

    field: str
    title: Bilingual
    log: bool = False


@dataclass(frozen=True)
class View:
    """One figure: `measures` of one experiment, a mark for each arm (or measure), averaged over seeds.

    kind: "lines" over a numeric x with a band, "bars" over a nominal x, "tiles" (a heat map) with x across, `colour`
    down and the value as shade and number. band: "interval" is the 95 % t interval over
    seeds, "spread" the 10 to 90 % quantiles over seeds, "none" neither. `colour` names the field that tells marks
    apart ("arm", "measure" or a dose), `labels` the words for its levels. `rules` are horizontal lines with a name.
    `baseline` shows differences to that arm instead of the values. `where` keeps only rows at these dose levels.
    """

    name: str
    kind: Literal["lines", "bars", "tiles"]
    experiment: str
    measures: tuple[str, ...]
    x: Axis
    y: Axis
    title: Bilingual
    caption: Bilingual
    colour: str = "arm"
    labels: Mapping[str, Bilingual] = field(default_factory=dict)
    arms: tuple[str, ...] = ()
    facet: str = ""
    baseline: str = ""
    band: Literal["interval", "spread", "none"] = "interval"
    rules: Mapping[float, Bilingual] = field(default_factory=dict)
    where: Mapping[str, Scalar] = field(default_factory=dict)
