"""One configured directory: pooled sessions, the next server when one fails, and searches page by page."""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from idp_connectors.base import Deps, Dial
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.ldap.bind_answers import explain_service_bind
from idp_connectors.ldap.config import LdapConfig
from idp_connectors.ldap.traits import Traits, read_traits
from idp_connectors.ldap.wire import SUCCESS, BindAnswer, Deadline, Entry, Session

PAGE_SIZE = 500
MAX_IDLE_SESSIONS = 4
IDLE_SECONDS = 60.0
SESSION_SECONDS = 600.0
SERVER_PAUSE_SECONDS = 30.0
TRAITS_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Found:
    """The entries of a search over all pages; `is_cut` says that some are missing."""

    entries: tuple[Entry, ...]
    is_cut: bool


class Directory:
    """Sessions bound as the connection's account, shared by every sign-in and lookup of this process."""

    def __init__(self, config: LdapConfig) -> None:
        self.config = config
        self._context = _tls_context(config.ca_certificates)
        self._idle: list[Session] = []
        self._guard = threading.Lock()
        self._down_until: dict[str, float] = {}
        self._traits: tuple[Traits, int] | None = None

    def traits(self, session: Session, deps: Deps, deadline: Deadline) -> Traits:
        """Return what this directory is, looked up at most once an hour; raises ConnectorError."""
        known = self._traits
        if known is None or not known[1] <= deps.now < known[1] + TRAITS_SECONDS:
            known = self._traits = (read_traits(session, self.config, deadline), deps.now)
        return known[0]

    @contextlib.contextmanager
    def session(self, deps: Deps, deadline: Deadline) -> Iterator[Session]:
        """Lend a session that is bound as the connection's account; raises ConnectorError, OutOfTime.

        A session in which anything failed is closed, since nobody knows what it would answer next.
        """
        session = self._take_idle() or self._open_bound(deps, deadline)
        try:
            yield session
        except BaseException:
            session.close()
            raise
        self._put_back(session)

    @contextlib.contextmanager
    def walking_session(self, deps: Deps, deadline: Deadline) -> Iterator[Session]:
        """Lend a bound session that takes long answers, and close it afterwards; raises as `session`."""
        session = self._open_bound(deps, deadline)
        session.expect_long_answers()
        try:
            yield session
        finally:
            session.close()

    def try_password(self, dn: str, password: str, deps: Deps, deadline: Deadline) -> BindAnswer:
        """Return the directory's answer to a person's password, given on a connection of its own."""
        # Without this: a shared session would go on with that person's rights, for whoever comes next.
        session = self._open(deps, deadline)
        try:
            return session.bind(dn, password, deadline)
        finally:
            session.close()

    def find_fault(self, url: str, deps: Deps, deadline: Deadline) -> ConnectorError | None:
        """Return why no trusted connection to this server can be made, or None if one can."""
        try:
            Session(url, self._context, _require_dial(deps), deadline).close()
        except ConnectorError as error:
            return error
        return None

    def close(self) -> None:
        """Close the idle sessions."""
        with self._guard:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def _take_idle(self) -> Session | None:
        while True:
            with self._guard:
                session = self._idle.pop() if self._idle else None
            if session is None:
                return None
            now = time.monotonic()
            is_fresh = now < session.used_at + IDLE_SECONDS and now < session.opened_at + SESSION_SECONDS
            if is_fresh and session.is_quiet():
                return session
            session.close()

    def _put_back(self, session: Session) -> None:
        with self._guard:
            if len(self._idle) < MAX_IDLE_SESSIONS:
                self._idle.append(session)
                return
        session.close()

    def _open_bound(self, deps: Deps, deadline: Deadline) -> Session:
        session = self._open(deps, deadline)
        try:
            password = self.config.bind_password.get_secret_value()
            answer = session.bind(self.config.bind_dn, password, deadline)
            if answer.code != SUCCESS:
                raise explain_service_bind(answer, session.host)
        except BaseException:
            session.close()
            raise
        return session

    def _open(self, deps: Deps, deadline: Deadline) -> Session:
        """Connect to the first server that answers; those that just failed come last."""
        dial = _require_dial(deps)
        now = time.monotonic()
        failure: ConnectorError | None = None
        for url in sorted(self.config.urls, key=lambda url: self._down_until.get(url, 0.0) > now):
            try:
                session = Session(url, self._context, dial, deadline)
            except ConnectorError as error:
                self._down_until[url] = time.monotonic() + SERVER_PAUSE_SECONDS
                failure = error
            else:
                self._down_until.pop(url, None)
                return session
        assert failure is not None, "a configuration names at least one server"  # noqa: S101
        raise failure


def search_all(
    session: Session,
    traits: Traits,
    base: str,
    filter_text: str,
    attributes: Sequence[str],
    deadline: Deadline,
    *,
    limit: int,
) -> Found:
    """Return the entries of a search, at most `limit`, page by page; raises ConnectorError, OutOfTime."""
    entries: list[Entry] = []
    cookie = b""
    # Without this: a server that always has a next page, full or empty, is asked forever (L08).
    for _ in range(limit // PAGE_SIZE + 2):
        page = session.search(
            base,
            filter_text,
            attributes,
            deadline,
            page_size=PAGE_SIZE if traits.is_paging else None,
            cookie=cookie,
        )
        entries += page.entries
        cookie = page.cookie
        if page.is_cut or len(entries) > limit:
            return Found(tuple(entries[:limit]), True)
        if not cookie:
            return Found(tuple(entries), False)
    return Found(tuple(entries), True)


def _require_dial(deps: Deps) -> Dial:
    # Without this: a tenant could let the broker knock at any machine that only it can reach (W10).
    if deps.dial is None:
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_UNREACHABLE,
            "This installation does not connect to directories.",
            detail="no way out for protocols other than HTTP was injected",
        )
    return deps.dial


def _tls_context(ca_certificates: str) -> ssl.SSLContext:
    """Return a context that checks certificate and host name (RFC 4513 section 3.1.3), TLS 1.2 or later."""
    try:
        context = ssl.create_default_context(cadata=ca_certificates or None)
    except ssl.SSLError as error:
        raise ConnectorError(
            ConnectorErrorCode.CONFIG_INVALID,
            "The CA certificates cannot be used.",
            detail=str(error),
            field="ca_certificates",
        ) from None
    # Without this: whoever sits in between shows any certificate and collects passwords (L06).
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
