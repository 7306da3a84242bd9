"""The house rules that a machine can keep: which way imports go, how large a file is, what stands in none."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "clearhead"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in FILES}
ORDER = (
    *("errors", "files", "bilingual", "digests", "spec", "text", "batches", "layers", "models", "objectives"),
    *("interop", "training", "evaluation", "jobs", "experiments", "questions", "report", "asking", "asking_all"),
    *("comparing", "building", "notebook", "schemas", "cli", "__main__"),
)
PACKAGE_DOOR = "clearhead.__init__"  # its version is for all; what it offers it imports when it is asked for
LONGEST_FILE, LONGEST_FUNCTION = 420, 45
NETWORK = {"socket", "ssl", "urllib", "http", "ftplib", "requests", "httpx", "aiohttp", "huggingface_hub"}
MACHINE_PATH = re.compile(r"(?:^|[\s'\"(=])(?:/(?:home|root|work|tmp|mnt|opt|Users)/|[A-Z]:\\)")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK|NotImplementedError)\b")


every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it; those of this package in full (`clearhead.text.corpora`)."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: line {node.lineno}: a relative import"
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in MODULES or f"{inner}.__init__" in MODULES else str(node.module)


def own_imports(module: str) -> set[str]:
    found = {name for name in imported(MODULES[module]) if name.split(".")[0] == "clearhead"}
    return {name if name in MODULES else f"{name}.__init__" for name in found} - {module, PACKAGE_DOOR}


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_its_place() -> None:
    rooms = {room(module) for module in MODULES} - {"__init__"}
    assert rooms <= set(ORDER), f"give it a place in ORDER: {rooms - set(ORDER)}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - {PACKAGE_DOOR}))
def test_a_room_imports_only_from_the_left(module: str) -> None:
    right = [name for name in own_imports(module) if ORDER.index(room(name)) > ORDER.index(room(module))]
    assert not right, f"{module} imports from its right: {right}"


def test_pages_know_no_question_and_questions_draw_nothing() -> None:
    for module in MODULES:
        if room(module) == "report":
            assert not [name for name in own_imports(module) if room(name) == "questions"], module


def test_no_import_cycles() -> None:
    try:
        TopologicalSorter({module: own_imports(module) for module in MODULES}).prepare()
    except CycleError as fault:
        pytest.fail(f"an import cycle: {' -> '.join(fault.args[1])}")


def test_nothing_is_named_for_what_is_left_over() -> None:
    assert not [file for file in FILES if re.search(r"util|helper|common|misc", file.stem)]


@every_file
def test_small_and_whole(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring says what this file is for"
    assert len(text.splitlines()) <= LONGEST_FILE
    assert not UNFINISHED.search(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= LONGEST_FUNCTION, f"{node.name} takes {lines} lines"


@every_file
def test_no_network_and_no_path_of_one_machine(file: Path) -> None:
    assert not NETWORK & {name.split(".")[0] for name in imported(file)}
    found = MACHINE_PATH.search(file.read_text(encoding="utf-8"))
    assert not found, f"{found[0]} is the path of one machine" if found else ""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ask", "--help"], ["ask"], ["ask", "--json"]])
def test_listing_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        f"import sys; from clearhead.cli import run; code = run({arguments!r}); import json; "
        "print(json.dumps([code, sorted({name.split('.')[0] for name in sys.modules})]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    heavy = {"torch", "numpy", "scipy", "pydantic", "tokenizers", "altair", "vl_convert", "pandas", "yaml"}
    assert (code, heavy & set(modules)) == (0, set())
    assert done.stdout.strip()
