"""A small LDAP server in this process: a tree of entries, and ways to misbehave that real servers lack."""

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from idp_connectors.base import Deps
from tests.builders.ber import ENUMERATED, OCTETS, SEQUENCE, SET, Node, elements, integer, read_message, tlv
from tests.builders.connector_deps import make_deps
from tests.builders.ldap_trees import BASE, PAGED, READER, READER_PASSWORD, Attributes, Tree, values_of
from tests.builders.tls_certificates import Authority, Issued

HOST = "dc1.corp.example"
TLS_HANDSHAKE = b"\x16"
IN_CHAIN = "1.2.840.113556.1.4.1941"
BITWISE_AND = "1.2.840.113556.1.4.803"
SUCCESS, PROTOCOL_ERROR, SIZE_LIMIT, REFERRAL, NO_SUCH_OBJECT, INVALID_CREDENTIALS = 0, 2, 4, 10, 32, 49
BIND, UNBIND, SEARCH, EXTENDED = 0x60, 0x42, 0x63, 0x77
BIND_ANSWER, ENTRY, DONE, REFERENCE, EXTENDED_ANSWER = 0x61, 0x64, 0x65, 0x73, 0x78

Found = list[tuple[str, Attributes]]


@dataclass
class Request:
    """One message as it came in, and the way back."""

    id: int
    kind: int
    body: list[Node]
    send: Callable[[bytes], None]
    cookie: bytes = b""
    page_size: int = 0


class LdapServer:
    """The running server. `on_request` may answer a request itself and return True."""

    def __init__(self, authority: Authority, tree: Tree, issued: Issued | None = None) -> None:
        self.authority = authority
        self.tree = tree
        self.issued = issued or authority.issue(HOST)
        self.connections = 0
        self.requests: list[int] = []
        self.binds: list[tuple[str, str]] = []
        self.bend: Callable[[Found], Found] = lambda found: found
        self.on_request: Callable[[Request], bool] = lambda request: False
        self.on_connect: Callable[[socket.socket], bool] = lambda connected: False
        self.has_endless_pages = False
        self.sends_as_told = False  # every attribute, asked for or not
        self.referral = ""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.tls_versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def settings(self, scheme: str = "ldaps", **changes: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """Return configuration and secrets of a connection to this server."""
        config = {
            "urls": [f"{scheme}://{HOST}:{self.port}"],
            "ca_certificates": self.authority.certificate,
            "base_dn": BASE,
            "bind_dn": READER,
        }
        return {**config, **changes}, {"bind_password": READER_PASSWORD}

    def hang_up(self) -> None:
        """End every connection, and go on listening.

        The thread of each connection closes it. Without this: its number would be given to the next
        connection while OpenSSL still reads by number, and take that connection's bytes.
        """
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        """Stop listening and close every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            # An answer is several small messages, which would wait for each other's acknowledgement.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(connected)
            threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            if self.on_connect(connected):
                return
            if connected.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
                connected = self._encrypt(connected)
            # The kind of this connection's own request: several connections write to `requests`.
            while (kind := self._serve_one(connected)) != UNBIND:
                if kind == EXTENDED:
                    connected = self._encrypt(connected)
        connected.close()

    def _serve_one(self, connected: socket.socket) -> int:
        """Take one request and answer it, unless the client says goodbye; return the request's kind."""
        request = _parse(read_message(connected), connected.sendall)
        self.requests.append(request.kind)
        if request.kind != UNBIND and not self.on_request(request):
            self.answer(request)
        return request.kind

    def answer(self, request: Request) -> None:
        """Answer as a well-behaved server does."""
        if request.kind == BIND:
            _, name, secret = (node.content for node in request.body)
            self.binds.append((name.decode(), secret.decode()))
            known = {dn.lower(): right for dn, right in self.tree.passwords.items()}
            # As directories do: no password asks for an anonymous session, which is granted.
            is_right = not secret or known.get(name.decode().lower()) == secret.decode()
            send_result(request, BIND_ANSWER, SUCCESS if is_right else INVALID_CREDENTIALS)
        elif request.kind == EXTENDED:
            send_result(request, EXTENDED_ANSWER, SUCCESS)
        elif request.kind == SEARCH:
            self._search(request)
        else:
            send_result(request, DONE, PROTOCOL_ERROR)

    def _search(self, request: Request) -> None:
        base, is_base_only = request.body[0].text, request.body[1].number == 0
        if not base:
            send_entry(request, "", self.tree.root)
            send_result(request, DONE, SUCCESS)
            return
        if self.referral:
            send_reference(request, self.referral)
        found = [
            (dn, entry)
            for dn, entry in list(self.tree.entries.items())
            if dn.lower() == base.lower() or (not is_base_only and dn.lower().endswith(f",{base.lower()}"))
        ]
        if is_base_only and not found:
            send_result(request, DONE, NO_SUCH_OBJECT)
            return
        reached: dict[str, set[str]] = {}
        matching = [(dn, entry) for dn, entry in found if self._matches(request.body[6], dn, entry, reached)]
        self._send_page(request, self.bend(matching), request.body[3].number)

    def _send_page(self, request: Request, found: Found, size_limit: int) -> None:
        start = int(request.cookie or b"0") if not self.has_endless_pages else 0
        end = start + request.page_size if request.page_size else len(found)
        code, cookie = SUCCESS, b""
        if request.page_size and (end < len(found) or self.has_endless_pages):
            cookie = str(end).encode()
        if size_limit and len(found) > size_limit:
            end, code = size_limit, SIZE_LIMIT
        wanted = [name.text for name in request.body[7].parts]
        for dn, entry in found[start:end]:
            send_entry(request, dn, entry if self.sends_as_told else self._chosen(entry, wanted))
        send_result(request, DONE, code, cookie=cookie if request.page_size else None)

    def _chosen(self, entry: Attributes, wanted: list[str]) -> Attributes:
        chosen: Attributes = {}
        for asked in wanted:
            name, _, portion = asked.partition(";range=")
            values = values_of(entry, name)
            first = int(portion.partition("-")[0]) if portion else 0
            if not values or first >= len(values):
                continue
            if not portion and (not self.tree.portion or len(values) <= self.tree.portion):
                chosen[name] = values
                continue
            last = first + self.tree.portion - 1
            end = "*" if last >= len(values) - 1 else str(last)
            chosen[f"{name};range={first}-{end}"] = values[first : last + 1]
        return chosen

    def _matches(self, wanted: Node, dn: str, entry: Attributes, reached: dict[str, set[str]]) -> bool:
        """Return whether an entry fits a filter; ``reached`` holds what this search followed already."""
        parts = wanted.parts if wanted.tag != 0x87 else []
        match wanted.tag:
            case 0xA0:
                return all(self._matches(part, dn, entry, reached) for part in parts)
            case 0xA1:
                return any(self._matches(part, dn, entry, reached) for part in parts)
            case 0xA2:
                return not self._matches(parts[0], dn, entry, reached)
            case 0x87:
                return wanted.text.lower() == "objectclass" or bool(values_of(entry, wanted.text))
            case 0xA4:
                begin = parts[1].parts[0].text.lower()
                return any(
                    value.decode().lower().startswith(begin) for value in values_of(entry, parts[0].text)
                )
            case 0xA9:
                named = {part.tag: part.text for part in parts if part.tag in (0x81, 0x82, 0x83)}
                if named[0x81] == BITWISE_AND:
                    wanted_bits = int(named[0x83])
                    return any(int(value) & wanted_bits for value in values_of(entry, named[0x82]))
                is_known = self.tree.knows_in_chain and named[0x81] == IN_CHAIN
                if is_known and named[0x83] not in reached:
                    reached[named[0x83]] = self.tree.parents(named[0x83])
                return is_known and dn in reached[named[0x83]]
            case 0xA3:
                name, value = parts[0].text, parts[1].content
                if name in ("entryDN", "distinguishedName"):
                    return dn.lower().encode() == value.lower()
                found = values_of(entry, name)
                return value in found or value.lower() in [known.lower() for known in found]
        raise AssertionError(f"this server does not know filters of kind {wanted.tag:#x}")

    def _encrypt(self, connected: socket.socket) -> socket.socket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as place:
            context.load_cert_chain(*self.issued.write(Path(place), "server"))
        if self.tls_versions:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version, context.maximum_version = self.tls_versions
        secured = context.wrap_socket(connected, server_side=True)
        self._open.append(secured)
        return secured


@contextlib.contextmanager
def serving(tree: Tree, issued: Issued | None = None) -> Iterator[LdapServer]:
    """Run a server over `tree` until the block ends."""
    server = LdapServer(authority(), tree, issued)
    try:
        yield server
    finally:
        server.close()


@cache
def authority() -> Authority:
    """Return the authority that signs the servers of this process."""
    return Authority("directory CA")


def ldap_deps(now: int | None = None, dialled: list[str] | None = None) -> Deps:
    """Return dependencies whose way out takes every host for this machine; it notes where it was sent."""

    def dial(host: str, port: int, timeout: float) -> socket.socket:
        if dialled is not None:
            dialled.append(f"{host}:{port}")
        return socket.create_connection(("127.0.0.1", port), timeout)

    return replace(make_deps(now=now) if now else make_deps(), dial=dial)


def send_entry(request: Request, dn: str, attributes: Attributes) -> None:
    """Send one entry."""
    listed = [
        tlv(SEQUENCE, tlv(OCTETS, name.encode()), tlv(SET, *(tlv(OCTETS, value) for value in values)))
        for name, values in attributes.items()
    ]
    send(request, tlv(ENTRY, tlv(OCTETS, dn.encode()), tlv(SEQUENCE, *listed)))


def send_reference(request: Request, url: str) -> None:
    """Send a pointer to another server."""
    send(request, tlv(REFERENCE, tlv(OCTETS, url.encode())))


def send_result(
    request: Request,
    kind: int,
    code: int,
    *,
    message: str = "",
    cookie: bytes | None = None,
    referral: str = "",
) -> None:
    """Send the end of an answer, with a paging cookie or a referral if one is given."""
    parts = [integer(code, ENUMERATED), tlv(OCTETS), tlv(OCTETS, message.encode())]
    if referral:
        parts.append(tlv(0xA3, tlv(OCTETS, referral.encode())))
    controls = b""
    if cookie is not None:
        value = tlv(SEQUENCE, integer(0), tlv(OCTETS, cookie))
        controls = tlv(0xA0, tlv(SEQUENCE, tlv(OCTETS, PAGED.encode()), tlv(OCTETS, value)))
    send(request, tlv(kind, *parts), controls)


def send(request: Request, operation: bytes, controls: bytes = b"") -> None:
    """Send one message that answers `request`."""
    request.send(tlv(SEQUENCE, integer(request.id), operation, controls))


def _parse(message: bytes, way_back: Callable[[bytes], None]) -> Request:
    identifier, operation, *rest = next(elements(message)).parts
    body = operation.parts if operation.tag & 0x20 else []
    request = Request(identifier.number, operation.tag, body, way_back)
    for control in rest[0].parts if rest else []:
        parts = control.parts
        if parts[0].text == PAGED:
            size, cookie = next(elements(parts[-1].content)).parts
            request.page_size, request.cookie = size.number, cookie.content
    return request
