"""Reads issued tokens and grants for pages: whole trees, and how far an ending would reach."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from broker.tokens.cascade import GRANTS, TOKENS
from broker.tokens.liveness import TokenRow, load_token_rows

MAX_TOKENS_SHOWN = 200
"""A page of tokens is bounded; the newest are shown."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What an ending would end now; ``last_end`` is when the last of its tokens would have ended anyway."""

    tokens: int
    grants: int
    people: int
    sub_agents: int
    last_end: int


@dataclass(frozen=True, slots=True)
class Holding:
    """What one agent holds now: live tokens, and the people whose live grants it has."""

    tokens: int = 0
    people: int = 0


def tokens_through(agent_id: str, tenant_id: str) -> ColumnElement[bool]:
    """Return the condition for tokens that an agent holds, or that were derived from such, by anybody."""
    holder = TOKENS.alias("holder")
    below = exists().where(
        holder.c.tenant_id == tenant_id,
        holder.c.agent_id == agent_id,
        holder.c.grant_id == TOKENS.c.grant_id,
        func.substr(TOKENS.c.path, 1, func.length(holder.c.path)) == holder.c.path,
    )
    touched = select(TOKENS.c.grant_id).where(TOKENS.c.tenant_id == tenant_id, TOKENS.c.agent_id == agent_id)
    own = select(GRANTS.c.id).where(GRANTS.c.tenant_id == tenant_id, GRANTS.c.agent_id == agent_id)
    return or_(TOKENS.c.grant_id.in_(own), and_(TOKENS.c.grant_id.in_(touched.scalar_subquery()), below))


def tokens_for(user_id: str, agent_id: str, tenant_id: str) -> ColumnElement[bool]:
    """Return the condition for tokens under what one person allowed one agent, whoever holds them now."""
    return tokens_where_grants((GRANTS.c.user_id == user_id) & (GRANTS.c.agent_id == agent_id), tenant_id)


def tokens_where_grants(condition: ColumnElement[bool], tenant_id: str) -> ColumnElement[bool]:
    """Return the condition for tokens whose grant fits a condition over ``GRANTS``."""
    return TOKENS.c.grant_id.in_(select(GRANTS.c.id).where(GRANTS.c.tenant_id == tenant_id, condition))


def list_tokens(
    connection: Connection,
    tenant_id: str,
    condition: ColumnElement[bool],
    *,
    since: int,
    limit: int = MAX_TOKENS_SHOWN,
) -> list[TokenRow]:
    """Return the newest tokens on a condition over ``TOKENS`` that were alive at or after ``since``.

    In the order of their paths: a parent stands before what was derived from it.
    """
    newest = (
        select(TOKENS.c.jti)
        .where(
            TOKENS.c.tenant_id == tenant_id,
            condition,
            TOKENS.c.expires_at >= since,
            or_(TOKENS.c.ended_at.is_(None), TOKENS.c.ended_at >= since),
        )
        .order_by(TOKENS.c.issued_at.desc(), TOKENS.c.jti)
        .limit(max(1, min(limit, MAX_TOKENS_SHOWN)))
    )
    rows = load_token_rows(connection, tenant_id, connection.execute(newest).scalars().all())
    return sorted(rows.values(), key=lambda row: row.path)


def measure_reach(
    connection: Connection,
    tenant_id: str,
    tokens: ColumnElement[bool],
    grants: ColumnElement[bool],
    now: int,
    *,
    agent_id: str,
) -> Reach:
    """Return how much is alive on conditions over ``TOKENS`` and ``GRANTS``, for the end of one agent."""
    count, last_end = connection.execute(
        select(func.count(), func.coalesce(func.max(TOKENS.c.expires_at), now)).where(
            TOKENS.c.tenant_id == tenant_id, tokens, *_live_token(now)
        )
    ).one()
    others = connection.execute(
        select(func.count(TOKENS.c.agent_id.distinct())).where(
            TOKENS.c.tenant_id == tenant_id, tokens, *_live_token(now), TOKENS.c.agent_id != agent_id
        )
    ).scalar_one()
    held, people = connection.execute(
        select(func.count(), func.count(GRANTS.c.user_id.distinct())).where(
            GRANTS.c.tenant_id == tenant_id, grants, *_live_grant(now)
        )
    ).one()
    return Reach(tokens=count, grants=held, people=people, sub_agents=others, last_end=last_end)


def holdings_of(
    connection: Connection, tenant_id: str, agent_ids: Sequence[str], now: int
) -> dict[str, Holding]:
    """Return what each of these agents holds now; agents that hold nothing are there with zeros."""
    tokens = connection.execute(
        select(TOKENS.c.agent_id, func.count())
        .where(TOKENS.c.tenant_id == tenant_id, TOKENS.c.agent_id.in_(agent_ids), *_live_token(now))
        .group_by(TOKENS.c.agent_id)
    )
    counted = {row[0]: row[1] for row in tokens}
    people = connection.execute(
        select(GRANTS.c.agent_id, func.count(GRANTS.c.user_id.distinct()))
        .where(GRANTS.c.tenant_id == tenant_id, GRANTS.c.agent_id.in_(agent_ids), *_live_grant(now))
        .group_by(GRANTS.c.agent_id)
    )
    owners = {row[0]: row[1] for row in people}
    return {one: Holding(counted.get(one, 0), owners.get(one, 0)) for one in agent_ids}


def count_live_tokens(connection: Connection, tenant_id: str, now: int) -> int:
    """Return how many tokens of the tenant have neither ended nor run out."""
    return connection.execute(
        select(func.count()).where(TOKENS.c.tenant_id == tenant_id, *_live_token(now))
    ).scalar_one()


def last_issued_by_grant(connection: Connection, tenant_id: str, grant_ids: Iterable[str]) -> dict[str, int]:
    """Return when each of these grants last gave a token; grants that never did are absent."""
    rows = connection.execute(
        select(TOKENS.c.grant_id, func.max(TOKENS.c.issued_at))
        .where(TOKENS.c.tenant_id == tenant_id, TOKENS.c.grant_id.in_(list(grant_ids)))
        .group_by(TOKENS.c.grant_id)
    )
    return {row[0]: row[1] for row in rows}


def last_issued_by_audience(connection: Connection, tenant_id: str) -> dict[str, int]:
    """Return when a token was last issued for each resource that the stored tokens name."""
    rows = connection.execute(
        select(TOKENS.c.audience, func.max(TOKENS.c.issued_at))
        .where(TOKENS.c.tenant_id == tenant_id)
        .group_by(TOKENS.c.audience)
    )
    return {row[0]: row[1] for row in rows}


def _live_token(now: int) -> tuple[ColumnElement[bool], ...]:
    return (TOKENS.c.ended_at.is_(None), TOKENS.c.expires_at > now)


def _live_grant(now: int) -> tuple[ColumnElement[bool], ...]:
    return (GRANTS.c.ended_at.is_(None), GRANTS.c.expires_at > now)
