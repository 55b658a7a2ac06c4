"""What administrators see of clients: how each came, what it acts as, its last use, and who waits."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, select

from broker.admin.changes import Desk, bad_form, change, find_done, not_found, write_down
from broker.admin.paging import Page, cut_page
from broker.agents.admission import QUARANTINED, release, turn_away
from broker.agents.models import ClientRegistration
from broker.agents.snapshot import AgentsSnapshot, ClientView, load_agents
from broker.audit.events import AuditEvent
from broker.audit.models import AuditRecord
from broker.audit.reading import last_events
from broker.oauth.client_changes import end_what_it_holds

SOURCES = {"declared": "Declared", "cimd": "By its address", "dcr": "Registered itself"}
"""How a client came, in words."""

_USES = (AuditEvent.TOKEN_ISSUED.value, AuditEvent.TOKEN_EXCHANGED.value)
_RECEIPTS = {
    AuditEvent.CLIENT_ENABLED.value: ("The application was released.", "It may ask people from now on."),
    AuditEvent.CLIENT_DISABLED.value: (
        "The application was refused.",
        "It gets nothing, and introducing itself again changes nothing for thirty days.",
    ),
}


@dataclass(frozen=True, slots=True)
class ClientFilter:
    """Part of a name or id, and how the client came; empty does not filter."""

    q: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """One client with what is stored of how it came; None for a declared one."""

    view: ClientView
    came: ClientRegistration | None

    @property
    def source(self) -> str:
        return self.came.source if self.came is not None else "declared"


def clients_context(desk: Desk, wanted: ClientFilter, after: str, done: str) -> dict[str, Any]:
    """Return the context of ``admin/clients.html`` but for the addresses of its pages."""
    known = load_agents(desk.rt, desk.tenant.id)
    everybody = _all(desk, known)
    held = [one for one in everybody if one.view.state == QUARANTINED]
    fitting = [one for one in everybody if _fits(one, wanted)]
    fitting.sort(key=lambda one: (one.view.name.casefold(), one.view.client_id))
    page: Page[_Known] = cut_page(fitting, lambda one: one.view.client_id, after)
    with desk.rt.database.core_read() as connection:
        ids = [one.view.client_id for one in page.items]
        used = last_events(connection, desk.tenant.id, AuditRecord.client_id, ids, _USES)
    return {
        "waiting": [_waiting(one) for one in held],
        "clients": [_row(one, known, used) for one in page.items],
        "total": page.total,
        "next_after": page.next_after,
        "filters": {"q": wanted.q, "source": wanted.source},
        "sources": SOURCES,
        "receipt": _find_receipt(desk, done),
    }


def decide(desk: Desk, client_id: str, decision: str) -> None:
    """Release or refuse a client that waits; raises ``Refusal``: ``not_found``, ``bad_form``."""
    if decision not in {"release", "refuse"}:
        raise bad_form("Choose Release or Refuse.")
    client = load_agents(desk.rt, desk.tenant.id).client(client_id)
    if client is None:
        raise not_found("client")
    with change(desk) as session:
        # Without this: a page loaded before would release what was refused a moment ago.
        if decision == "release":
            is_done = release(session, desk.tenant, client_id, desk.ctx)
        else:
            is_done = turn_away(session, desk.tenant.id, client_id, desk.now)
            end_what_it_holds(session, desk.tenant.id, client_id, "client_refused", desk.now)
        if not is_done:
            raise bad_form("This application does not wait any more.")
        is_release = decision == "release"
        event = AuditEvent.CLIENT_ENABLED if is_release else AuditEvent.CLIENT_DISABLED
        write_down(session, desk, event, target_id=client_id, reason="released" if is_release else "refused")


def count_waiting(known: AgentsSnapshot) -> int:
    """Return how many clients wait for an administrator."""
    return sum(one.state == QUARANTINED for one in known.clients.values())


def changed_lately(connection: Connection, tenant_id: str, since: int) -> list[str]:
    """Return the ids of clients that changed their addresses, keys or authentication since then."""
    rows = connection.execute(
        select(ClientRegistration.client_id)
        .where(ClientRegistration.tenant_id == tenant_id, ClientRegistration.changed_at >= since)
        .order_by(ClientRegistration.changed_at.desc())
        .limit(10)
    )
    return list(rows.scalars())


def _all(desk: Desk, known: AgentsSnapshot) -> list[_Known]:
    with desk.rt.database.read(desk.tenant.id) as session:
        came = {row.client_id: row for row in session.scalars(select(ClientRegistration))}
        session.expunge_all()
    return [_Known(view, came.get(client_id)) for client_id, view in known.clients.items()]


def _fits(one: _Known, wanted: ClientFilter) -> bool:
    text = wanted.q.casefold().strip()
    words = (one.view.name, one.view.client_id)
    return (not wanted.source or one.source == wanted.source) and (
        not text or any(text in word.casefold() for word in words)
    )


def _row(one: _Known, known: AgentsSnapshot, used: dict[str, int]) -> dict[str, Any]:
    agent = known.agent_of(one.view)
    resource = known.resources_by_id.get(one.view.resource_id or "")
    return {
        "client_id": one.view.client_id,
        "name": one.view.name,
        "host": _host(one.view),
        "source_words": SOURCES[one.source],
        "agent_id": agent.id if agent else "",
        "acts_as": agent.name if agent else resource.name if resource else "",
        "state": one.view.state,
        "problem": one.came.problem if one.came is not None else "",
        "last_used_at": used.get(one.view.client_id),
    }


def _waiting(one: _Known) -> dict[str, Any]:
    came = one.came
    said = came.said if came is not None else {}
    return {
        "client_id": one.view.client_id,
        "name": one.view.name,
        "host": _host(one.view),
        "source_words": SOURCES[one.source],
        "came_at": came.created_at if came is not None else None,
        "changed_at": came.changed_at if came is not None else None,
        "auth_method": one.view.auth_method,
        "redirect_uris": list(one.view.redirect_uris),
        "grant_types": sorted(one.view.grant_types),
        "scopes": sorted(one.view.scopes),
        "links": [said[name] for name in ("client_uri", "policy_uri", "tos_uri") if name in said],
    }


def _host(client: ClientView) -> str:
    return urlsplit(client.client_id).netloc if client.is_document else ""


def _find_receipt(desk: Desk, done: str) -> dict[str, str] | None:
    event = find_done(desk, done)
    if event is None or event.event not in _RECEIPTS:
        return None
    title, text = _RECEIPTS[event.event]
    return {"title": title, "text": text}
