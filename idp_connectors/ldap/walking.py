"""Reading a directory from end to end: people and groups by paging, in parts that fit into memory.

No server needs to sort for this or to keep a place: a part is a search for names that begin alike.
"""

import re
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TypeVar

from idp_connectors.base import Deps
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.ldap.accounts import ACCOUNT_ATTRIBUTES, find_obstacle
from idp_connectors.ldap.config import LdapConfig
from idp_connectors.ldap.directory import Directory
from idp_connectors.ldap.filters import all_of, none_of, starts_with
from idp_connectors.ldap.groups import GROUP_ATTRIBUTES, MAX_DEPTH, any_group, group_facts, group_mode
from idp_connectors.ldap.identifiers import primary_group_sid, read_subject
from idp_connectors.ldap.names import canonical_dn
from idp_connectors.ldap.people import any_person, subject_attribute
from idp_connectors.ldap.ranges import read_all_values
from idp_connectors.ldap.traits import Traits
from idp_connectors.ldap.wire import Deadline, Entry, OutOfTime, Session
from idp_connectors.walk import ALPHABET, MAX_PART, ListedGroup, ListedPerson, Part, PartTooLarge

PEOPLE_PAGE = 500
GROUPS_PAGE = 10
"""Few at once, because a group brings the names of all its members."""
MAX_MEMBERS = 500_000
PAGE_SECONDS = 30.0
SECURITY_GROUP = "(groupType:1.2.840.113556.1.4.803:=2147483648)"
"""`tokenGroups` tells security groups only; a walk must not tell others (AD, bitwise and)."""

_PLAIN_STEP = r'[a-z][a-z0-9-]*=[^\\",+=<>;#\0 ]+(?: [^\\",+=<>;#\0 ]+)*'
_PLAIN_DN = re.compile(rf"{_PLAIN_STEP}(?:,{_PLAIN_STEP})*")

Item = TypeVar("Item")


class LdapWalk:
    """Walks one directory on a session of its own; the answers to sign-ins do not wait for it."""

    max_depth = MAX_DEPTH
    source = "ldap:walk"

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._config: LdapConfig = directory.config
        self.every_seconds = self._config.sync_hours * 3600

    def people(self, part: Part, deps: Deps) -> Iterator[tuple[ListedPerson, ...]]:
        """Yield the part's people by their login attribute; raises ConnectorError, PartTooLarge.

        An account whose state or identifier cannot be read ends the walk. Without this: a bind account
        that lost a right would make everybody look as if they had left.
        """
        config = self._config

        def search(traits: Traits) -> tuple[str, str, tuple[str, ...]]:
            attribute = config.login_attribute or ("sAMAccountName" if traits.is_active_directory else "uid")
            wanted = (*ACCOUNT_ATTRIBUTES, "objectSid", "primaryGroupID", subject_attribute(config, traits))
            return config.base_dn, all_of(any_person(config, traits), _filter(attribute, part)), wanted

        def read(_session: Session, traits: Traits, entry: Entry, _deadline: Deadline) -> ListedPerson:
            return _person(entry, config, traits, deps.now)

        return self._walk(part, deps, search, read, PEOPLE_PAGE)

    def groups(self, part: Part, deps: Deps) -> Iterator[tuple[ListedGroup, ...]]:
        """Yield the part's groups by their `cn`, with all members; raises ConnectorError, PartTooLarge."""
        config = self._config

        def search(traits: Traits) -> tuple[str, str, tuple[str, ...]]:
            filters = [any_group(config, traits), _filter("cn", part)]
            if group_mode(config, traits) == "token_groups":
                filters.append(SECURITY_GROUP)
            return config.group_base, all_of(*filters), (*GROUP_ATTRIBUTES, *_member_names(traits))

        def read(session: Session, traits: Traits, entry: Entry, deadline: Deadline) -> ListedGroup:
            return _group(session, entry, config, traits, deadline)

        return self._walk(part, deps, search, read, GROUPS_PAGE)

    def _walk(
        self,
        part: Part,
        deps: Deps,
        search: Callable[[Traits], tuple[str, str, tuple[str, ...]]],
        read: Callable[[Session, Traits, Entry, Deadline], Item],
        page_size: int,
    ) -> Iterator[tuple[Item, ...]]:
        """Yield what `read` makes of the entries that `search` (base, filter, attributes) finds."""
        count, cookie, filter_text = 0, b"", ""
        try:
            with self._directory.walking_session(deps, Deadline(PAGE_SECONDS)) as session:
                traits = self._directory.traits(session, deps, Deadline(PAGE_SECONDS))
                base, filter_text, attributes = search(traits)
                while True:
                    deadline = Deadline(PAGE_SECONDS)
                    size = page_size if traits.is_paging else None
                    page = session.search(
                        base, filter_text, attributes, deadline, page_size=size, cookie=cookie
                    )
                    # Without this: entries that the server leaves out look as if they were gone.
                    if page.is_cut:
                        raise _unwalkable("The directory left entries out of an answer.", filter_text)
                    # Without this: a server that always has a next, empty page is asked forever (L08).
                    if page.cookie and not page.entries:
                        raise _unwalkable("The directory goes on without sending anything.", filter_text)
                    yield tuple(read(session, traits, entry, deadline) for entry in page.entries)
                    count, cookie = count + len(page.entries), page.cookie
                    if not cookie:
                        return
                    if count >= MAX_PART and not part.is_rest:
                        raise PartTooLarge
        except OutOfTime:
            raise _unwalkable(
                "The directory took too long.", f"more than {PAGE_SECONDS:.0f} s a page"
            ) from None


def entry_key(dn: str) -> bytes:
    """Return the same 16 bytes for every spelling of a name, and others for another; raises ValueError."""
    text = dn.lower()
    # Most names need no parsing, and a directory has a million of them among its members.
    if not (text.isascii() and _PLAIN_DN.fullmatch(text)):
        text = canonical_dn(dn)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, person=b"dn").digest()


def sid_key(sid: bytes) -> bytes:
    """Return what a group goes by where only its SID is known."""
    return blake2b(sid, digest_size=16, person=b"sid").digest()


def _filter(attribute: str, part: Part) -> str:
    begins = starts_with(attribute, part.prefix)
    if not part.is_rest:
        return begins
    return all_of(begins, none_of(starts_with(attribute, part.prefix + letter) for letter in ALPHABET))


def _person(entry: Entry, config: LdapConfig, traits: Traits, now: int) -> ListedPerson:
    attribute = subject_attribute(config, traits)
    obstacle = find_obstacle(entry, traits, now)
    if obstacle == "state unreadable":
        raise _unwalkable("The bind account may not read the state of accounts.", entry.dn, "bind_dn")
    try:
        subject = read_subject(attribute, entry.first(attribute))
    except ValueError:
        raise _unwalkable(
            "The stable identifier of a person cannot be read.", f"{attribute} of {entry.dn!r:.200}"
        ) from None
    groups: tuple[bytes, ...] = ()
    sid, number = entry.first("objectSid"), entry.text("primaryGroupID")
    if traits.is_active_directory and sid and number.isdigit():
        groups = (sid_key(primary_group_sid(sid, int(number))),)
    # A lock by wrong guesses is over by itself. Without the difference: whoever guesses at a password long
    # enough would end everything that the person's agents hold.
    is_gone = obstacle in ("disabled", "expired") or (obstacle == "locked" and not traits.is_active_directory)
    return ListedPerson(subject, entry_key(entry.dn), not is_gone, groups)


def _group(
    session: Session, entry: Entry, config: LdapConfig, traits: Traits, deadline: Deadline
) -> ListedGroup:
    members: set[bytes] = set()
    is_whole = True
    for name in _member_names(traits):
        values, is_all = read_all_values(session, entry, name, deadline, max_values=MAX_MEMBERS)
        is_whole = is_whole and is_all
        for value in values:
            try:
                members.add(entry_key(value.decode()))
            except ValueError:
                # Not the name of an entry, so nobody's that could be in the group.
                continue
    sid = entry.first("objectSid")
    return ListedGroup(
        key=entry_key(entry.dn),
        facts=tuple(group_facts(entry, traits, config.group_id)),
        members=tuple(sorted(members)),
        aliases=(sid_key(sid),) if sid else (),
        is_cut=not is_whole,
    )


def _member_names(traits: Traits) -> tuple[str, ...]:
    return ("member",) if traits.is_active_directory else ("member", "uniqueMember")


def _unwalkable(public: str, detail: str, field: str = "") -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.UPSTREAM_UNREACHABLE, public, detail=f"{detail:.300}", field=field
    )
