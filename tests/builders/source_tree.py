"""The repository as the architecture tests read it: its tracked files and their syntax trees."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("broker", "idp_connectors")


@cache
def repository_files() -> tuple[Path, ...]:
    """Return every file that is or would be committed, relative to the root, in order."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(sorted(Path(name) for name in set(listed.split("\0")) if name and (ROOT / name).is_file()))


def files_with(*suffixes: str, under: tuple[str, ...] = ()) -> list[Path]:
    """Return the files with one of ``suffixes``, anywhere or below one of the folders ``under``."""
    return [
        path
        for path in repository_files()
        if path.suffix in suffixes and (not under or path.parts[0] in under)
    ]


@cache
def text_of(path: Path) -> str:
    """Return the text of a repository file; bytes that are no text are replaced."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a Python file of the repository."""
    return ast.parse(text_of(path), filename=str(path))


def module_name(path: Path) -> str:
    """Return the dotted name under which ``path`` is imported."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
