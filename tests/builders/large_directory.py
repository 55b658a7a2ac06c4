"""An LDAP server with a hundred thousand people and thousands of groups, quick enough to be walked."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.builders.ber import OCTETS, SEQUENCE, SET, Node, integer, tlv
from tests.builders.ldap_server import DONE, ENTRY, LdapServer, Request, authority, send_result
from tests.builders.ldap_trees import BASE, openldap

SUBSTRINGS, NOT = 0xA4, 0xA2
HOST = "localhost"


@dataclass
class Shelf:
    """Entries by name, in order, each ready to be sent."""

    entries: dict[str, bytes] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def sort(self) -> None:
        """Put the names in order after entries came or went."""
        self.names = sorted(self.entries)

    def find(self, prefix: str, without: Iterable[str]) -> list[bytes]:
        """Return the entries whose name begins with `prefix` and with none of `without`."""
        found: list[bytes] = []
        banned = tuple(without)
        for at in range(bisect_left(self.names, prefix), len(self.names)):
            name = self.names[at]
            if not name.startswith(prefix):
                break
            if not (banned and name.startswith(banned)):
                found.append(self.entries[name])
        return found


class LargeDirectory(LdapServer):
    """People by `uid` and groups by `cn`, found by the beginning of their name and sent page by page."""

    def __init__(self) -> None:
        super().__init__(authority(), openldap(), authority().issue(HOST))
        self.people, self.groups = Shelf(), Shelf()
        self._found: dict[int, list[bytes]] = {}

    def add_person(self, number: int, uid: str) -> str:
        """Add a person; return the entry's name."""
        dn = f"uid={uid},ou=people,{BASE}"
        self.people.entries[uid] = _entry(dn, uid=[uid.encode()], entryUUID=[uuid_of(number).encode()])
        return dn

    def add_group(self, cn: str, members: Iterable[str]) -> str:
        """Add a group; return the entry's name."""
        dn = f"cn={cn},ou=groups,{BASE}"
        listed = [member.encode() for member in members]
        self.groups.entries[cn] = _entry(dn, cn=[cn.encode()], member=listed)
        return dn

    def _search(self, request: Request) -> None:
        begins, without = _beginnings(request.body[6])
        if begins is None:
            super()._search(request)
            return
        attribute, prefix = begins
        if not request.cookie:
            # One search at a time; its answer is kept until the last page.
            self._kept = (self.people if attribute == "uid" else self.groups).find(prefix, without)
        start = int(request.cookie or b"0")
        end = start + (request.page_size or len(self._kept))
        number = integer(request.id)
        request.send(b"".join(tlv(SEQUENCE, number, entry) for entry in self._kept[start:end]))
        send_result(request, DONE, 0, cookie=str(end).encode() if end < len(self._kept) else b"")


def uuid_of(number: int) -> str:
    """Return the stable identifier of a person."""
    return f"00000000-0000-4000-8000-{number:012d}"


def _entry(dn: str, **attributes: list[bytes]) -> bytes:
    listed = [
        tlv(SEQUENCE, tlv(OCTETS, name.encode()), tlv(SET, *(tlv(OCTETS, value) for value in values)))
        for name, values in attributes.items()
    ]
    return tlv(ENTRY, tlv(OCTETS, dn.encode()), tlv(SEQUENCE, *listed))


def _beginnings(wanted: Node) -> tuple[tuple[str, str] | None, list[str]]:
    """Return (attribute, prefix) of the search, if it is for beginnings, and those that are left out."""
    begins: tuple[str, str] | None = None
    without: list[str] = []
    for tag, node in _walk(wanted, is_negated=False):
        attribute = node.parts[0].text
        if attribute not in ("uid", "cn"):
            continue
        prefix = node.parts[1].parts[0].text if node.tag == SUBSTRINGS else ""
        if tag:
            without.append(prefix)
        else:
            begins = (attribute, prefix)
    return begins, without


def _walk(node: Node, *, is_negated: bool) -> Iterator[tuple[bool, Node]]:
    if node.tag == SUBSTRINGS:
        yield is_negated, node
    elif node.tag == 0x87 and node.content in (b"uid", b"cn"):
        yield is_negated, Node(0x87, tlv(OCTETS, node.content))
    elif node.tag in (0xA0, 0xA1, NOT):
        for part in node.parts:
            yield from _walk(part, is_negated=is_negated != (node.tag == NOT))


@contextmanager
def serving_large(people: int, groups: int) -> Iterator[LargeDirectory]:
    """Run a server with so many people and groups until the block ends.

    A group holds forty people and the group before it in its chain of three; one more holds everybody.
    """
    server = LargeDirectory()
    names = [server.add_person(number, uid_of(number)) for number in range(people)]
    last = ""
    for number in range(groups - 1):
        members = [names[(number * 20 + step) % people] for step in range(40)]
        last = server.add_group(f"team{number:04}", [*members, last] if number % 3 and last else members)
    server.add_group("everybody", names)
    server.people.sort()
    server.groups.sort()
    try:
        yield server
    finally:
        server.close()


def uid_of(number: int) -> str:
    """Return a user name: most are a letter and a number, as in companies, some are words."""
    return f"e{number:06}" if number % 10 < 7 else f"{'klmnop'[number % 6]}{number:x}.smith"
