"""The floors of the house are kept: every import contract of pyproject.toml holds."""

import ast
import tomllib

import pytest
from importlinter import configuration
from importlinter.application import use_cases

from tests.builders.source_tree import ROOT, files_with, tree_of

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


@pytest.fixture(scope="module", autouse=True)
def configured() -> None:
    configuration.configure()


@pytest.mark.parametrize("contract", [entry["id"] for entry in CONTRACTS])
def test_contract_is_kept(contract: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(ROOT)
    kept = use_cases.lint_imports(limit_to_contracts=(contract,), cache_dir=None)
    assert kept, capsys.readouterr().out


def test_a_view_writes_no_sql():
    # A view parses, calls one function and renders. Handing a session on needs the type and nothing else.
    found = [
        f"{path}:{node.lineno} {ast.unparse(node)}"
        for path in files_with(".py", under=("broker",))
        if path.stem == "views" or "views" in path.parts[:-1]
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Import) and any(name.name.startswith("sqlalchemy") for name in node.names))
        or (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("sqlalchemy")
            and {name.name for name in node.names} != {"Session"}
        )
    ]
    assert found == []


def test_saml_libraries_carry_the_same_libxml2():
    # Two builds of libxml2 in one process read the same bytes differently, or crash: both move together.
    etree = pytest.importorskip("lxml.etree")
    xmlsec = pytest.importorskip("xmlsec")
    assert xmlsec.get_libxml_version() == etree.LIBXML_VERSION
