"""The groups of one person, nested ones included: four ways to ask, bounded in steps, number and time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from idp_connectors.base import Group, GroupsState
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.identity_rules import is_clean_text
from idp_connectors.ldap.config import GroupMode, LdapConfig
from idp_connectors.ldap.directory import search_all
from idp_connectors.ldap.filters import all_of, any_of, equals, in_chain
from idp_connectors.ldap.identifiers import guid_text, primary_group_sid, sid_text
from idp_connectors.ldap.names import canonical_dn
from idp_connectors.ldap.ranges import read_all_values
from idp_connectors.ldap.traits import Traits
from idp_connectors.ldap.wire import Deadline, Entry, OutOfTime, Session

Item = TypeVar("Item")

MAX_DEPTH = 10
MAX_GROUPS = 5_000
BATCH = 50

_ANY_GROUP = (
    "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)"
    "(objectClass=groupOfMembers))"
)
GROUP_ATTRIBUTES = ("cn", "sAMAccountName", "objectSid", "objectGUID", "entryUUID", "nsUniqueId")
"""What a group is named and identified by."""
_SOURCES = {
    "token_groups": "ldap:tokenGroups",
    "in_chain": "ldap:in-chain",
    "member": "ldap:member",
    "member_of": "ldap:memberOf",
}


@dataclass(frozen=True, slots=True)
class MemberOf:
    """The groups that a person is in, how far they are all, and which way they were found."""

    groups: tuple[Group, ...]
    state: GroupsState
    source: str


@dataclass
class _Search:
    """What every way of asking needs, and the groups that were found so far, by their comparable name."""

    session: Session
    config: LdapConfig
    traits: Traits
    deadline: Deadline
    found: dict[str, Entry] = field(default_factory=dict)
    is_cut: bool = False

    def groups(self, filter_text: str) -> tuple[Entry, ...]:
        """Return the groups within the group base that match."""
        answer = search_all(
            self.session,
            self.traits,
            self.config.group_base,
            all_of(any_group(self.config, self.traits), filter_text),
            (*GROUP_ATTRIBUTES, "memberOf"),
            self.deadline,
            limit=MAX_GROUPS,
        )
        self.is_cut = self.is_cut or answer.is_cut
        return answer.entries

    def add(self, entries: Iterable[Entry]) -> list[Entry]:
        """Keep the groups that are new and return them."""
        new = []
        for entry in entries:
            key = canonical_dn(entry.dn)
            if key in self.found:
                continue
            # Without this: somebody puts a person into so many groups that the answer fills the memory (L08).
            if len(self.found) >= MAX_GROUPS:
                self.is_cut = True
                break
            self.found[key] = entry
            new.append(entry)
        return new


def read_groups(
    session: Session, config: LdapConfig, traits: Traits, person: Entry, deadline: Deadline
) -> MemberOf:
    """Return the person's groups; "complete" only if nothing was cut off by any limit.

    Raises ConnectorError when the directory fails.
    """
    mode = group_mode(config, traits)
    search = _Search(session, config, traits, deadline)
    try:
        _WAYS[mode](search, person)
    except OutOfTime:
        search.is_cut = True
    state: GroupsState = "truncated" if search.is_cut else "complete"
    return MemberOf(tuple(_facts(search)), state, _SOURCES[mode])


def any_group(config: LdapConfig, traits: Traits) -> str:
    """Return the filter for every group that counts."""
    return config.group_filter or ("(objectClass=group)" if traits.is_active_directory else _ANY_GROUP)


def group_mode(config: LdapConfig, traits: Traits) -> GroupMode:
    """Return the way in which groups are found here; raises ConnectorError for one that does not work."""
    if config.group_mode == "auto":
        return "token_groups" if traits.is_active_directory else "member"
    # Without this: a server that does not know the rule answers that nobody is in any group, and means it.
    if config.group_mode == "in_chain" and traits.in_chain != "works":
        raise ConnectorError(
            ConnectorErrorCode.CONFIG_INVALID,
            "This directory does not follow nested groups on its own. Choose another way to find groups.",
            detail=f"the in-chain self-test is {traits.in_chain!r} at {traits.flavour}",
            field="group_mode",
        )
    return config.group_mode


def _ask_token_groups(search: _Search, person: Entry) -> None:
    """Let Active Directory compute the SIDs; the attribute exists on a base search only."""
    page = search.session.search(
        person.dn, "(objectClass=*)", ("tokenGroups",), search.deadline, is_base_only=True
    )
    entry = page.entries[0] if page.entries else person
    sids, is_all = read_all_values(search.session, entry, "tokenGroups", search.deadline)
    # Everybody has a primary group, so an empty list means that the account may not read it.
    if not sids:
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_UNREACHABLE,
            "The directory does not let the bind account read the groups of this person.",
            detail=f"no tokenGroups on {person.dn!r:.200}",
            field="bind_dn",
        )
    search.is_cut = search.is_cut or not is_all
    for batch in _batches(list(sids[:MAX_GROUPS])):
        search.add(search.groups(any_of(equals("objectSid", sid) for sid in batch)))
    search.is_cut = search.is_cut or len(sids) > MAX_GROUPS


def _ask_in_chain(search: _Search, person: Entry) -> None:
    """Let the server follow membership; it leaves out the primary group, from which we ask again."""
    primary = search.add(_primary_group(search, person))
    starts = [person.dn, *(group.dn for group in primary)]
    search.add(search.groups(any_of(in_chain("member", dn) for dn in starts)))


def _walk_members(search: _Search, person: Entry) -> None:
    """Walk up by asking which groups list the names found so far."""
    names = ("member",) if search.traits.is_active_directory else ("member", "uniqueMember")

    def parents(of: list[Entry]) -> Iterator[Entry]:
        for batch in _batches([entry.dn for entry in of]):
            yield from search.groups(any_of(equals(name, dn) for dn in batch for name in names))

    _climb(search, person, parents)


def _walk_member_of(search: _Search, person: Entry) -> None:
    """Walk up by reading memberOf, portion by portion."""
    name = "distinguishedName" if search.traits.is_active_directory else "entryDN"

    def parents(of: list[Entry]) -> Iterator[Entry]:
        wanted: dict[str, str] = {}
        for entry in of:
            page = search.session.search(
                entry.dn, "(objectClass=*)", ("memberOf",), search.deadline, is_base_only=True
            )
            for found in page.entries:
                values, is_all = read_all_values(search.session, found, "memberOf", search.deadline)
                search.is_cut = search.is_cut or not is_all
                texts = [value.decode() for value in values]
                wanted.update({canonical_dn(text): text for text in texts})
        missing = [text for key, text in wanted.items() if key not in search.found]
        for batch in _batches(missing):
            yield from search.groups(any_of(equals(name, dn) for dn in batch))

    _climb(search, person, parents)


def _climb(search: _Search, person: Entry, parents: Callable[[list[Entry]], Iterator[Entry]]) -> None:
    """Go up level by level from the person; what was seen is not visited again, so loops end (L08)."""
    level = [person, *search.add(_primary_group(search, person))]
    for _ in range(MAX_DEPTH):
        level = search.add(parents(level))
        if not level:
            return
    known = set(search.found)
    if any(canonical_dn(entry.dn) not in known for entry in parents(level)):
        search.is_cut = True


def _primary_group(search: _Search, person: Entry) -> tuple[Entry, ...]:
    """Return the group that Active Directory notes only as a number on the account."""
    number, sid = person.text("primaryGroupID"), person.first("objectSid")
    if not search.traits.is_active_directory or not sid or not number.isdigit():
        return ()
    return search.groups(equals("objectSid", primary_group_sid(sid, int(number))))


def _facts(search: _Search) -> Iterator[Group]:
    for entry in search.found.values():
        yield from group_facts(entry, search.traits, search.config.group_id)


def group_facts(entry: Entry, traits: Traits, wanted_id: str) -> Iterator[Group]:
    """Yield every name of a group; no attribute of a person is ever one of them (L10)."""
    name = entry.text("sAMAccountName" if traits.is_active_directory else "cn")
    display = entry.text("cn") or name
    identifier = _identifier(entry, wanted_id)
    facts = (Group("dn", entry.dn, display), Group("name", name, display))
    yield from (fact for fact in facts if fact.value and is_clean_text(fact.value))
    if identifier:
        yield Group("id", identifier, display)


def _identifier(entry: Entry, wanted: str) -> str:
    """Return the group's SID or GUID as text; an identifier that cannot be read is none."""
    try:
        if entry.first("objectSid") and wanted != "guid":
            return sid_text(entry.first("objectSid"))
        if wanted == "sid":
            return ""
        if entry.first("objectGUID"):
            return guid_text(entry.first("objectGUID"))
    except ValueError:
        return ""
    return (entry.text("entryUUID") or entry.text("nsUniqueId")).lower()


def _batches(items: list[Item]) -> Iterator[list[Item]]:
    return (items[at : at + BATCH] for at in range(0, len(items), BATCH))


_WAYS: dict[GroupMode, Callable[[_Search, Entry], None]] = {
    "token_groups": _ask_token_groups,
    "in_chain": _ask_in_chain,
    "member": _walk_members,
    "member_of": _walk_member_of,
}
