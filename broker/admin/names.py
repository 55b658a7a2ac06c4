"""Names for the ids that events and tokens hold, and events as moments of a timeline."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from broker.admin.changes import Desk
from broker.agents.snapshot import AgentsSnapshot, load_agents
from broker.audit.reading import EventFilter, EventView, list_events
from broker.audit.wording import tone_of, words_of
from broker.directory.models import User
from broker.web.formatting import count, in_words, shorten_id

_NAMED = ("agt_", "con_", "res_", "usr_")
_ACTOR_NAMES = {"admin": "Administrator", "operator": "Command line", "system": "Broker"}
_SOURCES = {
    "id_token": "the ID token",
    "userinfo": "the userinfo endpoint",
    "assertion": "the SAML assertion",
    "graph": "Microsoft Graph",
    "okta_api": "Okta's API",
    "directory_api": "Google's Directory API",
    "scim": "SCIM",
    "lookup": "a lookup",
}


@dataclass(frozen=True, slots=True)
class Names:
    """Looks ids of one tenant up; what is not known stands for itself, shortened."""

    agents: AgentsSnapshot
    people: dict[str, str]
    resources: dict[str, str]

    def of(self, ident: str) -> str:
        """Return the name of a person, agent, client, connection or resource, or the id shortened."""
        if ident in self.people:
            return self.people[ident]
        if (agent := self.agents.agent(ident)) is not None:
            return agent.name
        return self.resources.get(ident, shorten_id(ident))

    def actor(self, event: EventView) -> tuple[str, str]:
        """Return the shape and the name of who did it."""
        actor = event.actor or {"kind": "system", "id": ""}
        kind, ident = actor["kind"], actor["id"]
        if kind == "agent" or (kind == "client" and self._agent_of(ident)):
            return "agent", self._agent_of(ident) or self.of(ident)
        if ident in self.people:
            return "person", self.people[ident]
        if kind in ("user", "admin"):
            return "person", _ACTOR_NAMES.get(kind, "") or shorten_id(ident) or "Nobody known"
        return ("resource", ident) if kind == "client" else ("broker", _ACTOR_NAMES.get(kind, "Broker"))

    def _agent_of(self, client_id: str) -> str:
        client = self.agents.client(client_id)
        agent = self.agents.agent_of(client) if client else None
        return agent.name if agent else ""


def source_words(source: str) -> str:
    """Return where groups came from in words; an unknown source stands for itself."""
    if source.startswith("ldap:"):
        return f"LDAP ({source[5:]})"
    return _SOURCES.get(source, source)


def load_names(connection: Connection, desk: Desk, events: Iterable[EventView]) -> Names:
    """Return the names that these events need, with one statement for the people."""
    ids = {event.subject_id for event in events} | {(event.actor or {}).get("id", "") for event in events}
    ids |= {event.target_id for event in events}
    people = load_people(connection, desk.tenant.id, {one for one in ids if one.startswith("usr_")})
    agents = load_agents(desk.rt, desk.tenant.id)
    others = {one.id: one.name for one in agents.resources_by_id.values()}
    others |= {one.id: one.name for one in desk.tenant.connections.values()}
    others[desk.tenant.id] = desk.tenant.name
    return Names(agents, people, others)


def load_people(connection: Connection, tenant_id: str, ids: Iterable[str]) -> dict[str, str]:
    """Return the names of people by id, with one statement; who is not known is left out."""
    rows = connection.execute(
        select(User.id, User.display_name).where(User.tenant_id == tenant_id, User.id.in_(list(ids)))
    )
    return {row.id: row.display_name for row in rows}


def list_moments(
    connection: Connection, desk: Desk, wanted: EventFilter, *, limit: int = 12
) -> list[dict[str, Any]]:
    """Return the newest fitting events as moments: who did it, for whom or to what, and what ended."""
    events = list_events(connection, desk.tenant.id, wanted, limit=limit).events
    names = load_names(connection, desk, events)
    return [
        {
            "at": event.at,
            "title": words_of(event.event),
            "detail": _detail(event, names),
            "tone": tone_of(event.event, event.outcome),
        }
        for event in events
    ]


def ended_words(event: EventView) -> str:
    """Return what an ending took with it, in words, or an empty string."""
    parts = [
        count(int(event.data[key]), noun)
        for key, noun in (
            ("token_count", "token"),
            ("grant_count", "permission"),
            ("session_count", "session"),
        )
        if event.data.get(key)
    ]
    return in_words(parts)


def _detail(event: EventView, names: Names) -> str:
    words = names.actor(event)[1]
    if event.subject_id and names.of(event.subject_id) != words:
        words = f"{words} for {names.of(event.subject_id)}"
    elif not event.subject_id and event.target_id.startswith(_NAMED):
        words = f"{words} → {names.of(event.target_id)}"
    parts = [words]
    scopes = event.data.get("scopes")
    if isinstance(scopes, list) and scopes:
        parts.append(in_words(str(one) for one in scopes))
    if ended := ended_words(event):
        parts.append(f"{ended} ended")
    if event.outcome == "refused" and event.reason:
        parts.append(event.reason.replace("_", " "))
    note = event.data.get("note")
    return " · ".join([*parts, f"“{note}”" if note else ""]).removesuffix(" · ")
