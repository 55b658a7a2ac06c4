"""Values that stand outside of the document: from the environment or from a file beside it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.agents.declare.document import WRITE_A_REFERENCE, Reference
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove

MAX_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where references are looked up; ``folder`` is the document's own."""

    environ: Mapping[str, str]
    folder: Path

    def resolve(self, reference: Reference) -> str:
        """Return the value without a final line break; raises ``Refusal(bad_configuration)``."""
        if reference.env is not None:
            value = self.environ.get(reference.env, "")
            if not value:
                raise _refuse(f"the environment variable {reference.env} is not set")
            return value
        path = self.folder / str(reference.file)
        try:
            raw = path.read_bytes()
            text = raw.decode().rstrip("\r\n")
        except (OSError, UnicodeError):
            raise _refuse(f"the file {reference.file} cannot be read") from None
        if not text or len(raw) > MAX_BYTES:
            raise _refuse(f"the file {reference.file} is empty or too large")
        return text

    def resolve_config(self, config: Mapping[str, Any], secret_names: Iterable[str]) -> dict[str, Any]:
        """Return a connection's ``config`` with its references replaced; any field may be one.

        Raises ``Refusal(bad_configuration)`` for a secret that is written out. Without this: secrets
        would end in the repository in which the document is kept.
        """
        for name in sorted(set(secret_names) & config.keys()):
            if _as_reference(config[name]) is None:
                raise _refuse(f"config.{name}: {WRITE_A_REFERENCE}")
        resolved = {}
        for name, value in config.items():
            reference = _as_reference(value)
            resolved[name] = value if reference is None else self.resolve(reference)
        return resolved

    def resolve_jwks(self, jwks: Mapping[str, Any]) -> dict[str, Any]:
        """Return a key set that is written out or referred to; raises ``Refusal(bad_configuration)``."""
        reference = _as_reference(jwks)
        if reference is None:
            return dict(jwks)
        try:
            loaded = json.loads(self.resolve(reference))
        except (ValueError, RecursionError):
            raise _refuse("jwks: what is referred to is not JSON") from None
        if not isinstance(loaded, dict):
            raise _refuse("jwks: what is referred to is not a JSON object")
        return loaded


def _as_reference(value: Any) -> Reference | None:
    is_one = isinstance(value, Mapping) and len(value) == 1 and set(value) <= {"env", "file"}
    if not is_one or not all(isinstance(inner, str) for inner in value.values()):
        return None
    return Reference(**value)


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_reference", whose_move=WhoseMove.ADMIN)
