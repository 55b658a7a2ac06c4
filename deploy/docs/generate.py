"""Write the reference pages from the code: settings, error codes, audit events.

An entry's text is the field's description or the string below the enum member, so a page cannot
say anything that the code does not. A test compares the pages with the code.
"""

import ast
import importlib
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "deploy" / "docs" / "reference"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a page: a name, what it holds where nothing is said, and what it means."""

    name: str
    default: str
    text: str


def enum_entries(module: str, name: str) -> list[Entry]:
    """Return the members of an enum with the string that stands below each."""
    source = inspect.getsource(importlib.import_module(module))
    classes = [
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name
    ]
    body = classes[0].body if classes else []
    entries = []
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            entries.append(Entry(str(node.value.value), "", docstring(following)))
    return entries


def docstring(node: ast.stmt | None) -> str:
    """Return the text of a bare string statement, on one line; empty for any other statement."""
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.split())
    return ""


def setting_entries() -> list[Entry]:
    """Return every setting with the environment variable that sets it."""
    model = importlib.import_module("broker.kernel.settings").Settings
    prefix = model.model_config["env_prefix"]
    return [
        Entry(f"{prefix}{name}".upper(), default_of(field), " ".join((field.description or "").split()))
        for name, field in model.model_fields.items()
    ]


def default_of(field: Any) -> str:
    """Return how a setting's default reads in a table; never a secret's value."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "unset" if value in (None, "", [], (), {}) else f"`{value}`"


def requirement_entries() -> list[Entry]:
    """Return what the protocols ask of us, each with the tests that prove it or why there is none."""
    traceability = importlib.import_module("tests.traceability.proofs")
    proofs, exemptions = traceability.proofs(), traceability.read("exemptions")
    return [
        Entry(name, "; ".join(proofs.get(name, [f"none: {exemptions.get(name, '')}"])), text)
        for name, text in traceability.read("requirements").items()
    ]


def collect() -> dict[str, list[Entry]]:
    """Return the entries of each page under the page's name."""
    return {
        "settings": setting_entries(),
        "errors": enum_entries("broker.kernel.errors", "ErrorCode"),
        "audit-events": enum_entries("broker.audit.events", "AuditEvent"),
        "requirements": requirement_entries(),
    }


INTRODUCTIONS = {
    "settings": (
        "Settings",
        "Set by environment variable, or under the same name in lower case and without the prefix in the "
        "YAML file that `BROKER_CONFIG` names, where unknown names are refused. The environment wins.",
        ("Variable", "Default", "Meaning"),
    ),
    "errors": (
        "Error codes",
        "Stable: a code is never renamed or given another meaning. Every error carries the request's id.",
        ("Code", "Meaning"),
    ),
    "audit-events": (
        "Audit events",
        "Each is written in the transaction of its effect: either both happened or neither did.",
        ("Event", "Meaning"),
    ),
    "requirements": (
        "Protocol requirements",
        "What the specifications ask of an authorization server for agents, by family, and the tests "
        "that carry the number. A test that carries it may prove one side of it only.",
        ("Requirement", "Tests", "Meaning"),
    ),
}


def render(page: str, entries: list[Entry]) -> str:
    """Return one page as Markdown."""
    title, introduction, columns = INTRODUCTIONS[page]
    lines = [
        f"# {title}",
        "",
        "<!-- Written by `make docs` from the code. Edit the code. -->",
        "",
        introduction,
        "",
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
    ]
    for entry in entries:
        cells = (
            [f"`{entry.name}`", entry.default, entry.text]
            if len(columns) == 3
            else [f"`{entry.name}`", entry.text]
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Return what each reference page must hold."""
    return {REFERENCE / f"{page}.md": render(page, entries) for page, entries in collect().items()}


def main() -> int:
    """Write the pages that differ and name them."""
    sys.path.insert(0, str(ROOT))
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
