"""Checks passwords and tells groups at LDAP directories; one set of pooled sessions per configuration."""

import secrets as random_secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from idp_connectors.base import (
    Deps,
    Finding,
    GroupAnswer,
    InteractiveLogin,
    PersonState,
    VerifiedIdentity,
    check_settings,
    load_config,
)
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.ldap.accounts import find_obstacle, refuse_account
from idp_connectors.ldap.bind_answers import explain_bind, proven_obstacle, refuse_person
from idp_connectors.ldap.config import LdapConfig
from idp_connectors.ldap.directory import Directory
from idp_connectors.ldap.groups import MemberOf, read_groups
from idp_connectors.ldap.names import escape_dn_value
from idp_connectors.ldap.people import (
    describe,
    find_by_subject,
    find_by_username,
    is_username,
    read_again,
)
from idp_connectors.ldap.self_check import check_directory
from idp_connectors.ldap.traits import Traits
from idp_connectors.ldap.walking import LdapWalk
from idp_connectors.ldap.wire import SUCCESS, Deadline, Entry, OutOfTime, Session

MAX_PASSWORD_CHARS = 1024
TASK_SECONDS = 10.0
MAX_DIRECTORIES = 64


class LdapPasswordLogin:
    """Signs people in at one directory: finds them, tries their password, looks at their account."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def verify(self, username: str, password: str, deps: Deps) -> VerifiedIdentity:
        """Return whose password this is, with groups; raises ConnectorError.

        A failed group lookup does not stop the sign-in; it is `groups_state` "error".
        """
        _check_input(username, password)
        deadline = Deadline(TASK_SECONDS)
        try:
            entry, traits = self._check_password(username, password, deps, deadline)
            identity = describe(entry, self._directory.config, traits, deps)
        except OutOfTime:
            raise _too_slow() from None
        found, problem = _read_groups(self._directory, entry, traits, deps, deadline)
        return replace(
            identity,
            groups=found.groups,
            groups_state=found.state,
            groups_source=found.source,
            groups_problem=problem,
        )

    def _check_password(
        self, username: str, password: str, deps: Deps, deadline: Deadline
    ) -> tuple[Entry, Traits]:
        """Return the person as they are after their password was accepted."""
        directory, config = self._directory, self._directory.config
        with directory.session(deps, deadline) as session:
            traits = directory.traits(session, deps, deadline)
            entry = find_by_username(session, config, traits, username, deadline)
        # Without this: the refusal comes sooner for names that do not exist, and tells which do.
        dn = entry.dn if entry else f"cn={escape_dn_value(random_secrets.token_hex(8))},{config.base_dn}"
        answer = directory.try_password(dn, password, deps, deadline)
        if entry is None:
            raise refuse_person("no such user")
        if answer.code != SUCCESS:
            obstacle = proven_obstacle(answer) if traits.is_active_directory else ""
            raise refuse_account(obstacle) if obstacle else refuse_person(explain_bind(answer))
        with directory.session(deps, deadline) as session:
            current = read_again(session, config, traits, entry, deadline)
        if current is None:
            raise refuse_person("the account disappeared during the sign-in")
        # Without this: directories that check flags elsewhere let in accounts that are switched off (L11).
        obstacle = find_obstacle(entry, traits, deps.now) or find_obstacle(current, traits, deps.now)
        if obstacle:
            raise refuse_account(obstacle)
        return current, traits


class LdapGroupLookup:
    """Tells the groups and the state of people at one directory, whether or not they are signing in."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def lookup(self, key: str, deps: Deps, *, by: Literal["subject", "username"] = "subject") -> GroupAnswer:
        """Return the groups of the person with this subject or user name; a failure is state "error"."""
        deadline = Deadline(TASK_SECONDS)
        try:
            with self._directory.session(deps, deadline) as session:
                traits = self._directory.traits(session, deps, deadline)
                entry = self._find(session, traits, key, by, deadline)
        except (ConnectorError, ValueError, OutOfTime) as error:
            return _answer(_UNKNOWN, deps, "unknown", _reason(error))
        if entry is None:
            return _answer(replace(_UNKNOWN, state="absent"), deps, "not_found", "no such person")
        obstacle = find_obstacle(entry, traits, deps.now)
        found, problem = _read_groups(self._directory, entry, traits, deps, deadline)
        return _answer(found, deps, "inactive" if obstacle else "active", problem or obstacle)

    def _find(self, session: Session, traits: Traits, key: str, by: str, deadline: Deadline) -> Entry | None:
        config = self._directory.config
        if by == "subject":
            return find_by_subject(session, config, traits, key, deadline)
        if not is_username(key):
            raise ValueError("this cannot be a user name")
        return find_by_username(session, config, traits, key, deadline)


class LdapConnector:
    """Any LDAP directory that has password sign-in: Active Directory, Samba, OpenLDAP, 389ds and others."""

    kind = "ldap"
    config_model = LdapConfig

    def __init__(self) -> None:
        self._directories: OrderedDict[LdapConfig, Directory] = OrderedDict()
        self._guard = threading.Lock()

    def password_login(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> LdapPasswordLogin:
        """Return the password check for stored `config` and opened `secrets`; raises ConnectorError."""
        return LdapPasswordLogin(self._directory(config, secrets))

    def group_lookup(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> LdapGroupLookup:
        """Return the group lookup for stored `config` and opened `secrets`; raises ConnectorError."""
        return LdapGroupLookup(self._directory(config, secrets))

    def directory_walk(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> LdapWalk:
        """Return the walk for stored `config` and opened `secrets`; raises ConnectorError."""
        return LdapWalk(self._directory(config, secrets))

    def check_itself(
        self, config: Mapping[str, Any], secrets: Mapping[str, str], deps: Deps
    ) -> tuple[Finding, ...]:
        """Return what servers, bind account, directory, people and groups look like now."""
        return check_settings(LdapConfig, config, secrets, lambda checked: check_directory(checked, deps))

    def interactive(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> InteractiveLogin:
        """Refuse: a directory has no sign-in page to send a browser to; raises ConnectorError."""
        raise ConnectorError(
            ConnectorErrorCode.CONFIG_INVALID,
            "This connection signs people in with a password, not at a page of the provider.",
            field="kind",
        )

    def _directory(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> Directory:
        """Return the directory of this configuration; a changed one, secret included, is another."""
        loaded = load_config(LdapConfig, config, secrets)
        dropped: list[Directory] = []
        with self._guard:
            if loaded not in self._directories:
                self._directories[loaded] = Directory(loaded)
            self._directories.move_to_end(loaded)
            while len(self._directories) > MAX_DIRECTORIES:
                dropped.append(self._directories.popitem(last=False)[1])
            directory = self._directories[loaded]
        for old in dropped:
            old.close()
        return directory


_UNKNOWN = MemberOf((), "error", "ldap")


def _check_input(username: str, password: str) -> None:
    """Refuse what can be no user name or no password, before anything is sent anywhere."""
    # Without this: directories answer "success" to a name with an empty password (RFC 4513 5.1.2; L03).
    if not password.strip() or "\0" in password or len(password) > MAX_PASSWORD_CHARS:
        raise ConnectorError(ConnectorErrorCode.CALLBACK_MALFORMED, "Enter your password.", field="password")
    if not is_username(username):
        raise ConnectorError(ConnectorErrorCode.CALLBACK_MALFORMED, "Enter your user name.", field="username")


def _read_groups(
    directory: Directory, entry: Entry, traits: Traits, deps: Deps, deadline: Deadline
) -> tuple[MemberOf, str]:
    """Return the groups, and what went wrong if anything did."""
    try:
        with directory.session(deps, deadline) as session:
            return read_groups(session, directory.config, traits, entry, deadline), ""
    except (ConnectorError, ValueError, OutOfTime) as error:
        return _UNKNOWN, _reason(error)


def _answer(found: MemberOf, deps: Deps, person: PersonState, problem: str) -> GroupAnswer:
    return GroupAnswer(
        groups=found.groups,
        state=found.state,
        source=found.source,
        fetched_at=deps.now,
        person=person,
        problem=problem,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectorError):
        return f"{error.public} ({error.detail})" if error.detail else error.public
    return "The directory took too long." if isinstance(error, OutOfTime) else "This cannot be looked up."


def _too_slow() -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.UPSTREAM_UNREACHABLE,
        "The directory took too long.",
        detail=f"more than {TASK_SECONDS:.0f} s in all",
        field="urls",
    )
