"""Measurements that worker processes can import: cheap, without torch."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from clearhead.experiments.evidence import Along, Measured


def noisy(arm: str, seed: int, shift: float = 0.0, rate: float = 1.0) -> Measured:
    """A number near `shift` for arm b, near 0 for arm a; worse the further `rate` is from 2."""
    own = random.Random(f"{arm} {seed}").gauss(0, 0.1)
    return {"loss": own + (shift if arm == "b" else 0.0) + (rate - 2) ** 2, "curve": Along("step", {1: own, 2: own})}


def fails(arm: str, seed: int) -> Measured:
    raise ValueError(f"no such {arm}")


def dies(arm: str, seed: int) -> Measured:
    os._exit(3)


def slow(arm: str, seed: int) -> Measured:
    time.sleep(30)
    return {"loss": 0.0}


def counts(arm: str, seed: int, log: str) -> Measured:
    """Leaves a line in `log` for every time that it is really run."""
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(f"{arm} {seed}\n")
    return {"loss": float(seed)}


def threads(arm: str, seed: int) -> Measured:
    import torch

    return {"threads": float(torch.get_num_threads())}


def short_of_text(arm: str, seed: int, corpus: object) -> Measured:
    """A text that is too little for arm b."""
    from clearhead.errors import TooLittleError

    if arm == "b":
        raise TooLittleError("a page more would do")
    return {"loss": float(seed)}


def shared_noise(arm: str, seed: int, name: str, shift: float) -> Measured:
    """Noise of spread 0.1 of the experiment's own, and `shift` on arm b."""
    return {"loss": random.Random(f"{name} {arm} {seed}").gauss(0, 0.1) + (shift if arm == "b" else 0.0)}
