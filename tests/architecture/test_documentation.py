"""What a reader or an operator must know is written where the thing is, and the reference follows it."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.builders.source_tree import PRODUCT, ROOT, files_with, module_name, tree_of

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "deploy/docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_definitions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Yield the public functions, classes and methods of a module, methods as ``Class.method``."""
    for node in tree.body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and not member.name.startswith(
                    "_"
                ):
                    yield f"{node.name}.{member.name}", member


def is_exempt(node: Definition) -> bool:
    """Whether a definition says nothing of its own: an overload, or an override that keeps its promise."""
    names = {ast.unparse(decorator).split(".")[-1].split("(")[0] for decorator in node.decorator_list}
    return bool(names & {"overload", "override", "setter"})


def test_every_package_says_what_it_owns():
    silent = [
        str(path)
        for path in files_with(".py", under=PRODUCT)
        if path.name == "__init__.py" and not ast.get_docstring(tree_of(path))
    ]
    assert silent == []


def test_every_public_name_says_what_it_guarantees():
    silent = [
        f"{path}:{node.lineno} {name}"
        for path in files_with(".py", under=PRODUCT)
        if "migrations" not in path.parts  # Alembic chooses the names in there, and they say it
        for name, node in public_definitions(tree_of(path))
        if not ast.get_docstring(node) and not is_exempt(node)
    ]
    assert silent == []


def test_every_module_says_what_it_is_for():
    silent = [
        module_name(path)
        for path in files_with(".py", under=PRODUCT)
        if tree_of(path).body and not ast.get_docstring(tree_of(path))
    ]
    assert silent == []


def test_every_entry_of_a_reference_page_is_explained(generator: ModuleType):
    silent = {
        page: [entry.name for entry in entries if not entry.text]
        for page, entries in generator.collect().items()
        if any(not entry.text for entry in entries)
    }
    assert silent == {}


def test_the_reference_pages_follow_the_code(generator: ModuleType):
    stale = [
        str(Path(path).relative_to(ROOT))
        for path, wanted in generator.pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != wanted
    ]
    assert stale == [], "run `make docs`"
