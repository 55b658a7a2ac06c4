"""The one gate for "is it still allowed": a token or a grant counts while everything behind it does."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Select, Table, or_, select

from broker.agents.snapshot import AgentsSnapshot, AgentView, ClientView
from broker.directory.models import User
from broker.kernel.prepared import Key, PreparedForMany
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from broker.tokens import models
from broker.tokens.grants import GrantView

_TOKENS = cast(Table, models.IssuedToken.__table__)
_GRANTS = cast(Table, models.Grant.__table__)
_USERS = cast(Table, User.__table__)

_WITH_OWNERS = select(
    _TOKENS,
    _GRANTS.c.ended_at.label("grant_ended_at"),
    _GRANTS.c.expires_at.label("grant_expires_at"),
    _GRANTS.c.resources.label("grant_resources"),
    _GRANTS.c.consent_id,
    _USERS.c.state.label("user_state"),
    _USERS.c.cutoff_at.label("user_cutoff_at"),
).select_from(
    _TOKENS.join(
        _GRANTS, (_GRANTS.c.id == _TOKENS.c.grant_id) & (_GRANTS.c.tenant_id == _TOKENS.c.tenant_id)
    ).outerjoin(_USERS, (_USERS.c.id == _TOKENS.c.user_id) & (_USERS.c.tenant_id == _TOKENS.c.tenant_id))
)


def _named(keys: Sequence[Key]) -> Select[Any]:
    mine = ((_TOKENS.c.tenant_id == key("tenant")) & (_TOKENS.c.jti == key("jti")) for key in keys)
    return _WITH_OWNERS.where(or_(*mine))


_SELECT = PreparedForMany(_named)
_SELECT_HELD = PreparedForMany(lambda keys: _named(keys).with_for_update(read=True, of=_GRANTS))


class TokenRow(NamedTuple):
    """An issued token as it is now, with the ends of its grant and the state of its person."""

    jti: str
    parent_jti: str | None
    path: str
    depth: int
    grant_id: str
    client_id: str
    agent_id: str | None
    user_id: str | None
    connection_id: str | None
    chain: tuple[str, ...]
    audience: str
    scopes: frozenset[str]
    roles: frozenset[str]
    issued_at: int
    expires_at: int
    ended_at: int | None
    ended_by: str
    grant_ended_at: int | None
    grant_expires_at: int
    grant_resources: tuple[str, ...]
    consent_id: str | None
    user_state: str | None
    user_cutoff_at: int


def load_token_rows(
    connection: Connection, tenant_id: str, jtis: Iterable[str], *, is_held: bool = False
) -> dict[str, TokenRow]:
    """Return by ``jti`` the rows that this tenant has, in one statement; unknown ones are absent.

    With ``is_held`` their grants cannot be ended by others until this transaction is over: hold what a
    new token will hang on. Without this: on PostgreSQL a child could be inserted while a revocation that
    does not see it yet walks over its tree.
    """
    read = read_held_tokens if is_held else _read_tokens
    found = read(connection, [(tenant_id, jti) for jti in jtis])
    return {jti: row for (_, jti), row in found.items()}


def read_held_tokens(
    connection: Connection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], TokenRow]:
    """Return by (tenant, ``jti``) the rows that there are, and hold their grants as told above."""
    return _read(_SELECT_HELD, connection, keys)


def _read_tokens(connection: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], TokenRow]:
    return _read(_SELECT, connection, keys)


def _read(
    statement: PreparedForMany, connection: Connection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], TokenRow]:
    # In one order for everybody, so that two transactions do not wait for each other's grants.
    wanted = [{"tenant": tenant_id, "jti": jti} for tenant_id, jti in sorted(keys)]
    rows = statement.rows(connection, wanted) if wanted else []
    return {(row.tenant_id, row.jti): _token_row(row) for row in rows}


def why_dead(row: TokenRow | None, *, tenant: TenantSnapshot, agents: AgentsSnapshot, now: int) -> str | None:
    """Return why a token no longer counts, as a stable word, or None while it does.

    Looks at the token, its grant, tenant, person, connection, client, every agent of the chain and the
    resource. What was issued up to a cutoff stays dead when its owner is enabled again (protocols §6.4).
    A key that was revoked shows earlier: its tokens do not verify.
    """
    # Without this: a token whose row was swept or never written would count for ever.
    if row is None:
        return "token_unknown"
    if row.ended_at is not None:
        return "token_ended"
    if row.expires_at <= now:
        return "token_expired"
    if row.grant_ended_at is not None:
        return "grant_ended"
    if row.grant_expires_at <= now:
        return "grant_expired"
    parties = _Parties(
        issued_at=row.issued_at,
        user_id=row.user_id,
        user_state=row.user_state,
        user_cutoff_at=row.user_cutoff_at,
        connection_id=row.connection_id,
        client_id=row.client_id,
        agent_ids=row.chain,
    )
    return _first(parties.faults(tenant, agents, now)) or _why_resource_dead(row.audience, tenant, agents)


def why_jti_dead(
    rt: Runtime, tenant: TenantSnapshot, agents: AgentsSnapshot, jti: str, *, now: int
) -> str | None:
    """Look a token up and return why it no longer counts, or None; for callers who mint nothing."""
    with rt.database.core_read() as connection:
        row = load_token_rows(connection, tenant.id, [jti]).get(jti)
    return why_dead(row, tenant=tenant, agents=agents, now=now)


def why_grant_dead(
    grant: GrantView, *, tenant: TenantSnapshot, agents: AgentsSnapshot, now: int
) -> str | None:
    """Return why nothing more may be issued under a grant, as a stable word, or None while it may."""
    if grant.ended_at is not None:
        return "grant_ended"
    if grant.expires_at <= now:
        return "grant_expired"
    parties = _Parties(
        issued_at=grant.created_at,
        user_id=grant.user_id,
        user_state=grant.user_state,
        user_cutoff_at=grant.user_cutoff_at,
        connection_id=grant.connection_id,
        client_id=grant.client_id,
        agent_ids=(grant.agent_id,) if grant.agent_id else (),
    )
    return _first(parties.faults(tenant, agents, now))


@dataclass(frozen=True, slots=True)
class _Parties:
    """Who stands behind a token or grant, and when it was issued."""

    issued_at: int
    user_id: str | None
    user_state: str | None
    user_cutoff_at: int
    connection_id: str | None
    client_id: str
    agent_ids: tuple[str, ...]

    def faults(self, tenant: TenantSnapshot, agents: AgentsSnapshot, now: int) -> Iterator[str]:
        """Yield what is wrong with any of them; each check stands alone, so none hides another."""
        yield from self._judge("tenant", tenant.state, tenant.cutoff_at)
        if self.user_id is not None:
            yield from self._judge("user", self.user_state, self.user_cutoff_at)
        if self.connection_id is not None:
            yield from self._judge("connection", *_standing(tenant.connections.get(self.connection_id)))
        yield from self._judge("client", *_standing(agents.clients.get(self.client_id)))
        for agent_id in self.agent_ids:
            agent = agents.agents.get(agent_id)
            yield from self._judge("agent", *_standing(agent))
            if agent is not None and agent.expires_at <= now:
                yield "agent_expired"

    def _judge(self, who: str, state: str | None, cutoff_at: int) -> Iterator[str]:
        # Without this: somebody who was deleted would pass because there is no row that says no.
        if state is None:
            yield f"{who}_gone"
        elif state != "active":
            yield f"{who}_{state}"
        elif self.issued_at <= cutoff_at:
            yield f"{who}_cutoff"


def _standing(party: ConnectionView | ClientView | AgentView | None) -> tuple[str | None, int]:
    return (party.state, party.cutoff_at) if party is not None else (None, 0)


def _why_resource_dead(audience: str, tenant: TenantSnapshot, agents: AgentsSnapshot) -> str | None:
    if audience == tenant.issuer:
        return None
    resource = agents.resources.get(audience)
    if resource is None:
        return "resource_gone"
    return None if resource.state == "active" else "resource_disabled"


def _first(faults: Iterator[str]) -> str | None:
    return next(faults, None)


def _token_row(row: Any) -> TokenRow:
    return TokenRow(
        jti=row.jti,
        parent_jti=row.parent_jti,
        path=row.path,
        depth=row.depth,
        grant_id=row.grant_id,
        client_id=row.client_id,
        agent_id=row.agent_id,
        user_id=row.user_id,
        connection_id=row.connection_id,
        chain=tuple(row.chain),
        audience=row.audience,
        scopes=frozenset(row.scopes),
        roles=frozenset(row.roles),
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        grant_ended_at=row.grant_ended_at,
        grant_expires_at=row.grant_expires_at,
        grant_resources=tuple(row.grant_resources),
        consent_id=row.consent_id,
        user_state=row.user_state,
        user_cutoff_at=row.user_cutoff_at or 0,
    )
