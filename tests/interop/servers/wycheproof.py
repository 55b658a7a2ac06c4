"""Wycheproof: vectors that somebody else collected to catch verifiers of signatures out."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FETCHER = Path(__file__).parents[3] / "deploy/ci/wycheproof.sh"
FETCH_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Vector:
    """One test of a group: ``result`` is what a verifier should say, ``is_valid`` whether that is yes."""

    number: int
    comment: str
    key: dict[str, Any]
    group: dict[str, Any]
    test: dict[str, Any]

    @property
    def is_valid(self) -> bool:
        """Whether a verifier that offers the algorithm accepts it; ``acceptable`` is not required of any."""
        return bool(self.test["result"] == "valid")

    def __str__(self) -> str:
        return f"{self.group.get('comment', self.group['type'])} {self.number}: {self.comment}"


@dataclass(frozen=True, slots=True)
class Vectors:
    """The folder of vectors."""

    folder: Path

    def read(self, name: str) -> Iterator[Vector]:
        """Yield the vectors of one file, with the public key of their group where it has one as a JWK."""
        document = json.loads((self.folder / f"{name}_test.json").read_text())
        for group in document["testGroups"]:
            key = group.get("public") or group.get("publicKeyJwk") or group.get("private") or {}
            for test in group["tests"]:
                yield Vector(test["tcId"], test["comment"], key, group, test)


def fetch() -> tuple[Vectors | None, str]:
    """Return the vectors, or None and why they are not there."""
    told = subprocess.run([str(FETCHER)], capture_output=True, text=True, timeout=FETCH_SECONDS)
    folder = Path(told.stdout.strip() or "/nowhere") / "testvectors_v1"
    if told.returncode or not folder.is_dir():
        return None, told.stderr.strip()[-300:] or "the module has no vectors"
    return Vectors(folder), ""
