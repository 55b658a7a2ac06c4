"""One person for administrators: facts from the provider and their age, roles and why, sessions, grants."""

from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from broker.admin.browsers import name_browser
from broker.admin.changes import Desk, not_found
from broker.admin.names import list_moments, source_words
from broker.agents.snapshot import load_agents
from broker.audit.events import AuditEvent
from broker.audit.reading import EventFilter, list_events
from broker.directory.people import GroupsTold, PersonDetail, find_person, get_person
from broker.directory.roles import live_roles, load_roles
from broker.policy.roles import GroupFact, MappingRule, is_match
from broker.tokens.cascade import GRANTS, SESSIONS
from broker.tokens.reading import last_issued_by_grant


def person_context(desk: Desk, user_id: str) -> dict[str, Any]:
    """Return the context of ``admin/person.html`` but for the receipt; raises ``Refusal(not_found)``."""
    with desk.rt.database.read(desk.tenant.id) as session:
        if find_person(session, desk.tenant.id, user_id) is None:
            raise not_found("user")
        detail = get_person(session, desk.tenant.id, user_id)
        core = session.connection()
        sessions = _sessions(core, desk, user_id)
        return {
            "person": _person_words(desk, detail),
            "groups": _groups(detail.groups),
            "groups_info": _groups_info(session, desk, detail),
            "roles": _roles_with_reasons(session, desk, detail),
            "sessions": sessions,
            "grants": _grants(core, desk, user_id),
            "actions": _actions(detail.person.state, bool(sessions)),
            "history": list_moments(core, desk, EventFilter(subject_id=user_id)),
        }


def _person_words(desk: Desk, detail: PersonDetail) -> dict[str, Any]:
    person = detail.person
    link = detail.identities[-1] if detail.identities else None
    connection = desk.tenant.connections.get(link.connection_id) if link else None
    return {
        "user_id": person.id,
        "name": person.display_name,
        "email": person.email or "",
        "email_verified_by": person.email_verified_by,
        "state": person.state,
        "connection_name": connection.name if connection else "",
        "issuer": link.issuer if link else "",
        "subject": link.subject if link else "",
        "last_sign_in_at": person.last_sign_in_at,
    }


def _actions(state: str, has_sessions: bool) -> set[str]:
    if state == "disabled":
        return {"enable"}
    return {"disable", "end_sessions"} if has_sessions else {"disable"}


def _groups(told: tuple[GroupsTold, ...]) -> list[dict[str, str]]:
    return [
        {"value": group["value"], "display": group.get("display", ""), "kind": group["kind"]}
        for one in told
        for group in sorted(one.groups, key=lambda group: group["value"])
    ]


def _groups_info(session: Session, desk: Desk, detail: PersonDetail) -> dict[str, Any]:
    live = live_roles(session.connection(), desk.rt, desk.tenant.id, detail.person.id, desk.now)
    sources = [source_words(one) for one in live.source.split()]
    troubled = next((one for one in detail.groups if one.state != "complete" and one.problem), None)
    return {
        "state": live.groups_state,
        "source": " and ".join(sources),
        "fetched_at": live.fetched_at or None,
        "problem": troubled.problem if troubled else "",
        "refresh_at": troubled.refresh_at if troubled else None,
    }


def _roles_with_reasons(session: Session, desk: Desk, detail: PersonDetail) -> list[dict[str, str]]:
    """Return the roles that the person holds now, each with a group and a rule that gives it."""
    held = live_roles(session.connection(), desk.rt, desk.tenant.id, detail.person.id, desk.now).roles
    rules = load_roles(desk.rt, desk.tenant.id).rules
    facts = [
        (GroupFact(one.connection_id, group["kind"], group["value"]), group.get("display") or group["value"])
        for one in detail.groups
        for group in one.groups
    ]
    return [{"name": role, "because": _reason(role, rules, facts)} for role in sorted(held)]


def _reason(role: str, rules: tuple[MappingRule, ...], facts: list[tuple[GroupFact, str]]) -> str:
    for rule in rules:
        if rule.role == role:
            for fact, words in facts:
                if is_match(rule, fact):
                    return f"group {words} ({rule.match})"
    return "from the last complete list of groups"


def _sessions(connection: Connection, desk: Desk, user_id: str) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(SESSIONS)
        .where(
            SESSIONS.c.tenant_id == desk.tenant.id,
            SESSIONS.c.user_id == user_id,
            SESSIONS.c.ended_at.is_(None),
            SESSIONS.c.expires_at > desk.now,
            SESSIONS.c.seen_at > desk.now - desk.rt.settings.session_idle_seconds,
        )
        .order_by(SESSIONS.c.seen_at.desc())
        .limit(50)
    ).all()
    origins = _origins(connection, desk, user_id) if rows else {}
    return [
        {
            "started_at": row.created_at,
            "last_seen_at": row.seen_at,
            "expires_at": row.expires_at,
            **origins.get(row.created_at, {"ip": "", "browser": ""}),
        }
        for row in rows
    ]


def _origins(connection: Connection, desk: Desk, user_id: str) -> dict[int, dict[str, str]]:
    """Return from where the person signed in, by the time: the session itself keeps no address."""
    wanted = EventFilter(event=AuditEvent.SIGN_IN_SUCCEEDED.value, subject_id=user_id)
    events = list_events(connection, desk.tenant.id, wanted, limit=100, sealer=desk.rt.sealer).events
    return {
        event.at: {
            "ip": str((event.personal or {}).get("ip", "")),
            "browser": name_browser(str((event.personal or {}).get("user_agent", ""))),
        }
        for event in events
    }


def _grants(connection: Connection, desk: Desk, user_id: str) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(GRANTS)
        .where(
            GRANTS.c.tenant_id == desk.tenant.id,
            GRANTS.c.user_id == user_id,
            GRANTS.c.ended_at.is_(None),
            GRANTS.c.expires_at > desk.now,
            GRANTS.c.agent_id.is_not(None),
        )
        .order_by(GRANTS.c.created_at.desc())
        .limit(50)
    ).all()
    agents = load_agents(desk.rt, desk.tenant.id)
    used = last_issued_by_grant(connection, desk.tenant.id, [row.id for row in rows])
    return [
        {
            "agent_id": row.agent_id,
            "agent_name": agent.name,
            "scopes": sorted(row.scopes),
            "expires_at": row.expires_at,
            "last_used_at": used.get(row.id),
        }
        for row in rows
        if (agent := agents.agent(row.agent_id)) is not None
    ]
