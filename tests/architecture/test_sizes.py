"""A file can be read in one sitting and a function seen on one screen."""

import ast
from pathlib import Path

from tests.builders.source_tree import files_with, text_of, tree_of

MAX_LINES = 400
MAX_FUNCTION_LINES = 60
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


def test_no_file_is_longer_than_a_sitting():
    sizes = {path: text_of(path).count("\n") for path in files_with(".py", ".html", ".css", ".js", ".mjs")}
    assert {str(path): size for path, size in sizes.items() if size > MAX_LINES} == {}


def is_migration(path: Path) -> bool:
    """Whether ``path`` is a step of the schema: a list of statements, read from top to bottom once."""
    return path.parts[-3:-1] == ("migrations", "versions")


def test_no_function_is_longer_than_a_screen():
    too_long = [
        f"{path}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in files_with(".py")
        if not is_migration(path)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert too_long == []


def test_no_module_is_a_drawer_for_everything():
    drawers = [
        str(path)
        for path in files_with(".py", ".js", ".mjs", ".css", ".html")
        if path.stem in FORBIDDEN_NAMES or FORBIDDEN_NAMES & set(path.parts[:-1])
    ]
    assert drawers == []
