"""No unfinished work, and none of the spellings that have let attackers in elsewhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.source_tree import PRODUCT, files_with, text_of, tree_of

UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
# In the singular: a collection of secrets is compared as configuration, not guessed by a caller.
SECRET_WORDS = re.compile(
    r"(^|_)(secret|password|passphrase|signature|digest|hmac|mac|verifier|csrf|fingerprint)($|_)"
)
# Compared with a constant of ours, such a value is a kind or a marker, not a secret that somebody guesses.
PLAIN = ast.Constant | ast.List | ast.Tuple | ast.Set
BANNED_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "telnetlib", "authlib.jose"}


def unfinished(path: Path) -> Iterator[str]:
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if UNFINISHED.search(line):
            yield f"{path}:{number}: {line.strip()[:100]}"


def name_of(node: ast.expr) -> str:
    """Return the last name of an expression: ``row.secret_hash`` is ``secret_hash``; calls have none."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lower()
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name.lower()
    return ""


def timing_leaks(tree: ast.Module) -> Iterator[ast.Compare]:
    """Yield the comparisons by ``==`` or ``!=`` between values of which one is named like a secret."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            continue
        sides = [node.left, *node.comparators]
        if any(isinstance(side, PLAIN) for side in sides) or is_query(node):
            continue
        if any(SECRET_WORDS.search(name_of(side)) for side in sides):
            yield node


def is_query(node: ast.Compare) -> bool:
    """Whether the left side is a column (``Client.secret_hash``, ``table.c.digest``): the server compares."""
    left = node.left
    return isinstance(left, ast.Attribute) and (
        (
            isinstance(left.value, ast.Name)
            and (left.value.id[:1].isupper() or left.value.id.endswith("_table"))
        )
        or (isinstance(left.value, ast.Attribute) and left.value.attr == "c")
    )


def imported_modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_is_unfinished():
    found = [
        line
        for path in files_with(".py", ".html", ".css", ".js", ".mjs", ".md", ".sh")
        for line in unfinished(path)
    ]
    assert found == []


def test_nothing_is_a_stub():
    stubs = [
        f"{path}:{node.lineno}"
        for path in files_with(".py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Raise) and node.exc is not None and "NotImplemented" in ast.unparse(node.exc)
    ]
    assert stubs == []


def test_secrets_are_compared_in_constant_time():
    # Without this: the time of a refusal tells how much of a guessed secret was right.
    leaks = [
        f"{path}:{node.lineno} {ast.unparse(node)}"
        for path in files_with(".py", under=PRODUCT)
        for node in timing_leaks(tree_of(path))
    ]
    assert leaks == [], "use hmac.compare_digest"


@pytest.mark.parametrize(
    ("source", "leaks"),
    [
        pytest.param("if given == row.secret_hash: pass", True, id="attribute"),
        pytest.param("if code_verifier != wanted: pass", True, id="name"),
        pytest.param("if form['csrf_token'] == token: pass", True, id="key"),
        pytest.param("if hmac.compare_digest(given, row.secret_hash): pass", False, id="constant-time"),
        pytest.param("query.where(Client.secret_hash == given)", False, id="column"),
        pytest.param("if verifier_kind == 'plain': pass", False, id="constant"),
    ],
)
def test_the_rule_for_secrets_knows_leaks_from_their_valid_twins(source: str, leaks: bool):
    assert bool(list(timing_leaks(ast.parse(source)))) is leaks


def test_no_banned_module_is_imported():
    found = [
        f"{path}: {name}"
        for path in files_with(".py")
        for name in imported_modules(tree_of(path))
        if any(name == banned or name.startswith(f"{banned}.") for banned in BANNED_MODULES)
    ]
    assert found == []


def unsafe_yaml(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that load YAML by more than ``safe_load`` or a subclass of SafeLoader."""
    safe = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "yaml.SafeLoader" in map(ast.unparse, node.bases)
    }
    allowed = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and any(word.arg == "Loader" and ast.unparse(word.value) in safe for word in node.keywords)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or ast.unparse(node.value) != "yaml" or id(node) in allowed:
            continue
        if re.fullmatch(r"(\w+_)?load(_all)?", node.attr) and not node.attr.startswith("safe_"):
            yield node.lineno


def test_yaml_is_only_loaded_safely():
    # Without this: a configuration file can name any Python object to be built.
    found = [f"{path}:{line}" for path in files_with(".py") for line in unsafe_yaml(tree_of(path))]
    assert found == []


@pytest.mark.parametrize(
    ("source", "is_unsafe"),
    [
        pytest.param("yaml.load(text, Loader=yaml.Loader)", True, id="loader-that-builds-objects"),
        pytest.param("yaml.unsafe_load(text)", True, id="unsafe"),
        pytest.param("yaml.safe_load(text)", False, id="safe"),
        pytest.param(
            "class Strict(yaml.SafeLoader): pass\nyaml.load(text, Loader=Strict)",
            False,
            id="stricter-than-safe",
        ),
    ],
)
def test_the_rule_for_yaml_knows_the_safe_from_the_unsafe(source: str, is_unsafe: bool):
    assert bool(list(unsafe_yaml(ast.parse(source)))) is is_unsafe


def test_templates_do_not_switch_escaping_off():
    # Without this: a display name from an identity provider becomes script in an administrator's browser.
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path in files_with(".html", under=("templates",))
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if re.search(r"\|\s*safe\b|autoescape\s+false", line)
    ]
    assert found == []


def test_templates_load_nothing_inline_and_nothing_from_elsewhere():
    # Without this: the content security policy would have to allow what an injected element needs.
    forbidden = re.compile(
        r"<script(?![^>]*\bsrc=)|<style\b|\son\w+\s*=\s*[\"']|\sstyle\s*=|(src|href)\s*=\s*[\"'](https?:)?//"
    )
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path in files_with(".html", under=("templates",))
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if forbidden.search(line)
    ]
    assert found == []
