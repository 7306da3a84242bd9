"""One thread a process: tensors here are small, and threads that wait for each other take most of the time."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
