"""A Python file of the user's as a module, under one name in this process and in the workers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from clearhead.errors import InputError

PREFIX = "clearhead_own_"


def module_from(file: Path) -> ModuleType:
    """The module in a file, run once. Raises `InputError` that names the line where it cannot be run."""
    name = PREFIX + file.stem
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file}: not a Python file; a question of your own is a .py file with a QUESTION in it")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        del sys.modules[name]
        raise
    except Exception as fault:
        del sys.modules[name]
        raise InputError(f"{file}{_line(fault, file)}: {type(fault).__name__}: {fault}") from fault
    return module


def _line(fault: Exception, file: Path) -> str:
    """` (line 12)`, the last line of the file itself that the fault went through."""
    if isinstance(fault, SyntaxError):
        return f" (line {fault.lineno})"
    trace, line = fault.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line is not None else ""
