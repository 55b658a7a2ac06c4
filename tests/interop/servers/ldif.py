"""Entries as LDIF (RFC 2849), for the command-line tools that come with OpenLDAP."""

import base64
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

Values = str | bytes | list[str]
Record = tuple[str, Mapping[str, Values]]
"""An entry: its name, and its attributes."""


def as_ldif(records: Iterable[Record]) -> str:
    """Return the entries as LDIF that adds them."""
    return "\n".join("".join(_lines(dn, attributes)) for dn, attributes in records)


def as_replacement(dn: str, attributes: Mapping[str, Values]) -> str:
    """Return LDIF that gives an entry these values; an empty list takes the attribute away."""
    parts = [
        "".join([f"replace: {name}\n", *(_line(name, value) for value in _each(values)), "-\n"])
        for name, values in attributes.items()
    ]
    return "".join([_line("dn", dn), "changetype: modify\n", *parts])


def send_ldif(tool: str, ldif: str, *, url: str, authority: Path, name: str, password: str) -> None:
    """Let `ldapadd` or `ldapmodify` apply LDIF over TLS; raises RuntimeError with what it said."""
    command = [tool, "-x", "-H", url, "-D", name, "-w", password]
    env = {"LDAPTLS_CACERT": str(authority), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, input=ldif.encode(), env=env, capture_output=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{tool} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")


def _lines(dn: str, attributes: Mapping[str, Values]) -> Iterable[str]:
    yield _line("dn", dn)
    for name, values in attributes.items():
        for value in _each(values):
            yield _line(name, value)


def _each(values: Values) -> list[str] | list[bytes]:
    if isinstance(values, bytes):
        return [values]
    return [values] if isinstance(values, str) else values


def _line(name: str, value: str | bytes) -> str:
    octets = value.encode() if isinstance(value, str) else value
    return f"{name}:: {base64.b64encode(octets).decode()}\n"
