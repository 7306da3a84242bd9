"""Measurements of the tiny question that worker processes can import: cheap, without torch.

Finished cells leave a line in the file that $TINY_LOG names. While the file that $TINY_HOLD names exists, cells beyond
the second seed of each ask do not end.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from clearhead.experiments.evidence import Along, Measured

HELD_FROM = 2


def shifted(arm: str, seed: int, width: int) -> Measured:
    """A number near 1 for arm b, near 0 for arm a, and its path there."""
    hold = os.environ.get("TINY_HOLD")
    while hold and seed % 10_000 >= HELD_FROM and Path(hold).exists():
        time.sleep(0.02)
    level = random.Random(f"{arm} {seed} {width}").gauss(1.0 if arm == "b" else 0.0, 0.1)
    if log := os.environ.get("TINY_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{arm} {seed} {width}\n")
    return {"level": level, "path": Along("step", {1: 0.0, 2: level})}
