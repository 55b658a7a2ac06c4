"""Looks at a directory as a sign-in would, without a person: servers, bind account, what it is, who is in."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from idp_connectors.base import Deps
from idp_connectors.errors import ConnectorError
from idp_connectors.ldap.accounts import find_obstacle
from idp_connectors.ldap.config import LdapConfig
from idp_connectors.ldap.directory import Directory
from idp_connectors.ldap.groups import group_mode, read_groups
from idp_connectors.ldap.people import describe, find_some
from idp_connectors.ldap.traits import Traits
from idp_connectors.ldap.wire import Deadline, Entry, OutOfTime, Session
from idp_connectors.self_check import CheckState, Finding, Problem

TASK_SECONDS = 10.0
TRIED_PEOPLE = 5

_FLAVOURS = {
    "active_directory": "Active Directory",
    "samba_ad": "Samba as a domain controller",
    "openldap": "OpenLDAP",
    "389ds": "389 Directory Server",
    "generic": "A directory of a make that is not known",
}
_MODES = {
    "token_groups": "Active Directory computes the groups of a person (tokenGroups)",
    "in_chain": "The server follows nested groups (in-chain rule)",
    "member": "The broker walks up the groups that list a person",
    "member_of": "The broker follows memberOf",
}
_PROBLEMS: dict[str, Problem] = {
    "gaierror": "name",
    "ConnectionRefusedError": "closed",
    "ConnectionResetError": "closed",
    "TimeoutError": "silent",
}


@dataclass(frozen=True, slots=True)
class _Reached:
    """How one configured server answered."""

    url: str
    error: ConnectorError | None

    @property
    def is_untrusted(self) -> bool:
        return self.error is not None and self.error.field == "ca_certificates"

    @property
    def problem(self) -> Problem:
        detail = self.error.detail if self.error else ""
        return next((problem for name, problem in _PROBLEMS.items() if f"{name}:" in detail), "")


def check_directory(config: LdapConfig, deps: Deps) -> Iterator[Finding]:
    """Yield what was found up to the first failure: servers, bind account, make, nesting, people, groups."""
    try:
        directory = Directory(config)
    except ConnectorError as error:
        yield _failed("tls", "CA certificates that can be used", error)
        return
    found = list(_find_servers(directory, deps))
    yield from found
    if any(one.state == "failed" for one in found):
        return
    with contextlib.closing(directory):
        yield from _look_inside(directory, deps)


def _find_servers(directory: Directory, deps: Deps) -> Iterator[Finding]:
    reached = [
        _Reached(url, directory.find_fault(url, deps, Deadline(TASK_SECONDS)))
        for url in directory.config.urls
    ]
    silent = [one for one in reached if one.error and not one.is_untrusted]
    untrusted = [one for one in reached if one.is_untrusted]
    expected = f"An answer from {', '.join(directory.config.urls)}"
    state: CheckState = "failed" if len(silent) == len(reached) else "warning" if silent else "passed"
    yield Finding(
        check="address",
        state=state,
        expected=expected,
        received="; ".join(one.error.detail for one in silent if one.error) or "All of them answered.",
        problem=silent[0].problem if silent else "",
    )
    if state == "failed":
        return
    is_usable = any(one.error is None for one in reached)
    yield Finding(
        check="tls",
        state="passed" if not untrusted else "warning" if is_usable else "failed",
        expected="A certificate for each server's name, by an authority that is set or known here",
        received="; ".join(one.error.detail for one in untrusted if one.error) or "They are valid.",
        problem="untrusted" if untrusted else "",
    )


def _look_inside(directory: Directory, deps: Deps) -> Iterator[Finding]:
    """Yield what the bind account sees, up to the first failure."""
    config, deadline = directory.config, Deadline(TASK_SECONDS)
    check, expected = "bind", f"The directory takes the bind account {config.bind_dn}"
    try:
        with directory.session(deps, deadline) as session:
            yield Finding(check=check, state="passed", expected=expected, received="It does.")
            check, expected = "directory", "A directory that describes itself"
            traits = directory.traits(session, deps, deadline)
            yield Finding(check=check, state="passed", expected=expected, received=_describe(traits))
            check, expected = "nesting", "Groups within groups can be followed"
            yield _find_nesting(config, traits, expected)
            check, expected = "people", f"People below {config.base_dn} with an identifier and a state"
            people = find_some(session, config, traits, deadline, TRIED_PEOPLE)
            seen = _find_people(people, config, traits, deps, expected)
            yield seen
            if seen.state == "passed":
                check, expected = "groups", "All groups of a person can be read"
                yield _find_groups(session, people[0], config, traits, deadline, expected)
    except ConnectorError as error:
        yield _failed(check, expected, error)
    except OutOfTime:
        received = f"Nothing within {TASK_SECONDS:.0f} seconds"
        yield Finding(check=check, state="failed", expected=expected, received=received, problem="silent")


def _describe(traits: Traits) -> str:
    paging = "answers page by page" if traits.is_paging else "does not answer page by page"
    return f"{_FLAVOURS[traits.flavour]}; {traits.naming_context}; {paging}"


def _find_nesting(config: LdapConfig, traits: Traits, expected: str) -> Finding:
    """Tell how groups are found, and what the in-chain self-test showed; raises ConnectorError."""
    mode = group_mode(config, traits)
    tried = {
        "works": "The in-chain rule was tried and works.",
        "silent": "The in-chain rule is not followed here.",
        "untried": "There was no group with a member to try the in-chain rule on.",
    }[traits.in_chain]
    return Finding(check="nesting", state="passed", expected=expected, received=f"{_MODES[mode]}. {tried}")


def _find_people(
    people: tuple[Entry, ...], config: LdapConfig, traits: Traits, deps: Deps, expected: str
) -> Finding:
    if not people:
        received = "Nobody. The search base, the user filter or a right of the bind account leaves all out."
        return Finding(check="people", state="failed", expected=expected, received=received)
    for entry in people:
        describe(entry, config, traits, deps)
        if find_obstacle(entry, traits, deps.now) == "state unreadable":
            received = f"The bind account may not read the state of {entry.dn}"
            return Finding(check="people", state="failed", expected=expected, received=received)
    return Finding(check="people", state="passed", expected=expected, received=f"For example {people[0].dn}")


def _find_groups(
    session: Session, person: Entry, config: LdapConfig, traits: Traits, deadline: Deadline, expected: str
) -> Finding:
    found = read_groups(session, config, traits, person, deadline)
    names = {group.display for group in found.groups}
    return Finding(
        check="groups",
        state="passed" if found.state == "complete" else "warning",
        expected=expected,
        received=f"{len(names)} of {person.dn}, {found.state}",
    )


def _failed(check: str, expected: str, error: ConnectorError) -> Finding:
    received = error.detail or error.public
    return Finding(check=check, state="failed", expected=expected, received=received, code=error.code)
