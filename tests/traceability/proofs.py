"""Finds the tests that carry a requirement's id, such as ``TEX-05``, in their name or parameter ids."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
TESTS = FOLDER.parent
REPOSITORY = TESTS.parent

_SPELLINGS = {"DP": "DPOP"}  # as the reference of the working group numbers them


@cache
def read(name: str) -> dict[str, str]:
    """Return id → sentence of ``requirements`` or ``exemptions``."""
    table = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return {f"{group}-{number}": text for group, rows in table.items() for number, text in rows.items()}


@cache
def proofs() -> dict[str, list[str]]:
    """Return id → the tests that carry it, as ``path::function``; ids without a test are absent."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for where, requirement in _ids_of(tree):
            if requirement in read("requirements"):
                place = path.relative_to(REPOSITORY).as_posix()
                found.setdefault(requirement, set()).add(f"{place}::{where}" if where else place)
    return {requirement: sorted(places) for requirement, places in sorted(found.items())}


def _ids_of(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (function, id): the function's own, or those of a table that the module's tests run over."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            where = node.name
            yield from ((where, one) for one in _named(where))
            for decorator in node.decorator_list:
                yield from ((where, one) for one in _strings(decorator))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from (("", one) for one in _strings(node))


def _strings(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and len(inner.value) < 120:
            yield from _named(inner.value)


def _named(text: str) -> Iterator[str]:
    for found, number in _pattern().findall(text):
        group = found.upper()
        yield f"{_SPELLINGS.get(group, group)}-{number}"


@cache
def _pattern() -> re.Pattern[str]:
    groups = {one.partition("-")[0] for one in read("requirements")} | set(_SPELLINGS)
    return re.compile(rf"(?<![A-Za-z0-9])({'|'.join(sorted(groups))})[-_]?(\d\d)(?![0-9])", re.IGNORECASE)
