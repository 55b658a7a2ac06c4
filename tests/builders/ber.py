"""The little of BER (X.690) that LDAP needs, written down anew so that it shares no fault with ldap3."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

SEQUENCE, SET, OCTETS, INTEGER, ENUMERATED = 0x30, 0x31, 0x04, 0x02, 0x0A


@dataclass(frozen=True)
class Node:
    """One element: its tag, and its content undecoded."""

    tag: int
    content: bytes

    @cached_property
    def parts(self) -> list["Node"]:
        """The elements within."""
        return list(elements(self.content))

    @property
    def number(self) -> int:
        """The content as an integer."""
        return int.from_bytes(self.content, "big", signed=True)

    @cached_property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode()


def elements(octets: bytes) -> Iterator[Node]:
    """Yield the elements that stand one after the other in `octets`."""
    at = 0
    while at < len(octets):
        size, start = octets[at + 1], at + 2
        if size > 0x80:
            start += size - 0x80
            size = int.from_bytes(octets[at + 2 : start], "big")
        yield Node(octets[at], octets[start : start + size])
        at = start + size


def tlv(tag: int, *content: bytes) -> bytes:
    """Return an element with this tag around the joined content."""
    body = b"".join(content)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(size)]) + size + body


def integer(value: int, tag: int = INTEGER) -> bytes:
    """Return a whole number as an element."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def read_message(connected: socket.socket) -> bytes:
    """Return the next whole element from a connection; raises EOFError at its end."""
    header = _read(connected, 2)
    if header[1] > 0x80:
        header += _read(connected, header[1] - 0x80)
    size = int.from_bytes(header[2:], "big") if len(header) > 2 else header[1]
    return header + _read(connected, size)


def _read(connected: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        chunk = connected.recv(size - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return found
