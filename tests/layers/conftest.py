"""A property is about what comes out, not about how busy the machine is: no deadline for an example."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None, max_examples=60)
settings.load_profile("unhurried")
