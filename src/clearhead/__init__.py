"""clearhead: text sequence models you can question.

`clearhead.ask(5)` answers a question by an experiment and shows itself in a notebook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Answered", "ask"]

if TYPE_CHECKING:
    from clearhead.notebook import Answered, ask


def __getattr__(name: str) -> Any:
    # Imported when first asked for, so that `clearhead --help` answers at once.
    if name in __all__:
        from clearhead import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module 'clearhead' has no attribute {name!r}")
