"""Groups → rules → roles → scopes for one real person: what was received, what follows, what does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from broker.admin.agent_reach import MAX_AGENTS, AgentReach, reach_for_person
from broker.admin.changes import Desk, not_found
from broker.admin.names import source_words
from broker.directory.models import GroupMapping, GroupSnapshot, User
from broker.directory.people import PersonView, find_person
from broker.directory.roles import LiveRoles, facts_of, live_roles, load_roles, roles_told
from broker.policy.roles import GroupFact, MappingRule, is_match
from broker.web.flow_picture import FlowColumn, FlowLink, FlowNode, draw_flow

MAX_DRAWN = 16
"""Rows of the table that the picture shows as well; with more it is no picture any more."""

MAX_SHOWN = 200
"""Groups that matched, and groups that did not, as one page lists them."""

MAX_FOUND = 20
_COLUMNS = (
    FlowColumn("Groups received", 236),
    FlowColumn("Rules hit", 236),
    FlowColumn("Roles", 180),
    FlowColumn("Scopes", 180),
)
_RULE_WORDS = {"exact": "is {}", "prefix": "begins with {}", "glob": "matches {}"}
_LIMIT_WORDS = {
    "agent": "not in the agent's own scopes",
    "client": "its client may not ask for it",
    "resource": "the resource does not offer it",
    "role": "no role of the person carries it",
    "no_lifetime_left": "the agent's registration is over",
}


@dataclass(frozen=True, slots=True)
class _Hit:
    """A group that a rule names; ``counts`` is False while the role is held back or the source is off."""

    fact: GroupFact
    words: str
    rule: MappingRule
    counts: bool


def preview_context(desk: Desk, user_id: str) -> dict[str, Any]:
    """Return the context of ``admin/role_preview.html`` for a person; raises ``Refusal(not_found)``."""
    with desk.rt.database.read(desk.tenant.id) as session:
        person = find_person(session, desk.tenant.id, user_id)
        if person is None:
            raise not_found("user")
        told = _told(session, desk, user_id)
        live = live_roles(session.connection(), desk.rt, desk.tenant.id, user_id, desk.now)
        rule_ids = _rule_ids(session, desk.tenant.id)
    rules = load_roles(desk.rt, desk.tenant.id).rules
    hits, loose = _sort_groups(desk, told, rules)
    reach, agent_count = reach_for_person(desk, live)
    return {
        "person": _person_words(person),
        "sources": [_source_words(desk, one) for one in told],
        "hits": [_hit_words(desk, one, live, rule_ids) for one in hits[:MAX_SHOWN]],
        "hits_left": max(len(hits) - MAX_SHOWN, 0),
        "unmatched": [_loose_words(desk, *one) for one in loose[:MAX_SHOWN]],
        "unmatched_count": len(loose),
        "roles": [
            {"name": role, "scopes": sorted(live.role_scopes.get(role, ()))} for role in sorted(live.roles)
        ],
        "reach": [_reach_words(one) for one in reach],
        "agents_left": max(agent_count - MAX_AGENTS, 0),
        "picture": _draw(hits[:MAX_DRAWN], live, reach),
        "is_cut": len(hits) > MAX_DRAWN,
    }


def find_people(desk: Desk, q: str) -> list[dict[str, Any]]:
    """Return up to twenty people whose name or address holds ``q``, last signed in first."""
    query = select(User).where(User.tenant_id == desk.tenant.id)
    if text := q.strip():
        query = query.where(
            or_(
                User.display_name.icontains(text, autoescape=True),
                User.email.icontains(text, autoescape=True),
            )
        )
    with desk.rt.database.read(desk.tenant.id) as session:
        rows = session.scalars(
            query.order_by(User.last_sign_in_at.is_(None), User.last_sign_in_at.desc(), User.id).limit(
                MAX_FOUND
            )
        ).all()
        return [
            {
                "user_id": one.id,
                "name": one.display_name,
                "email": one.email or "",
                "last_sign_in_at": one.last_sign_in_at,
            }
            for one in rows
        ]


def rule_words(rule: MappingRule) -> str:
    """Return what a rule looks for: "is support", "begins with IT-", "matches *-admins"."""
    return _RULE_WORDS.get(rule.match, "{}").format(rule.pattern)


def _told(session: Session, desk: Desk, user_id: str) -> Sequence[GroupSnapshot]:
    return session.scalars(
        select(GroupSnapshot)
        .where(GroupSnapshot.tenant_id == desk.tenant.id, GroupSnapshot.user_id == user_id)
        .order_by(GroupSnapshot.connection_id)
    ).all()


def _rule_ids(session: Session, tenant_id: str) -> dict[MappingRule, str]:
    rows = session.scalars(select(GroupMapping).where(GroupMapping.tenant_id == tenant_id))
    return {
        MappingRule(one.connection_id, one.kind, one.match, one.pattern, one.role): one.id for one in rows
    }


def _sort_groups(
    desk: Desk, told: Sequence[GroupSnapshot], rules: Sequence[MappingRule]
) -> tuple[list[_Hit], list[tuple[GroupFact, str]]]:
    """Return every pair of a group and a rule that names it, and the groups that no rule names."""
    hits: list[_Hit] = []
    loose: list[tuple[GroupFact, str]] = []
    for one in told:
        is_on = _is_on(desk, one.connection_id)
        granted = roles_told(one, rules, desk.now) if is_on else frozenset[str]()
        own = [rule for rule in rules if rule.connection_id == one.connection_id]
        facts = zip(facts_of(one.connection_id, one.groups), one.groups, strict=True)
        for fact, group in sorted(facts, key=lambda pair: (_words(pair[1]).casefold(), pair[0].value)):
            named = [rule for rule in own if is_match(rule, fact)]
            hits += [_Hit(fact, _words(group), rule, rule.role in granted) for rule in named]
            if not named:
                loose.append((fact, _words(group)))
    return hits, loose


def _is_on(desk: Desk, connection_id: str) -> bool:
    connection = desk.tenant.connections.get(connection_id)
    return connection is not None and connection.is_active


def _words(group: Mapping[str, str]) -> str:
    return group.get("display") or group["value"]


def _person_words(person: PersonView) -> dict[str, Any]:
    return {
        "user_id": person.id,
        "name": person.display_name,
        "email": person.email or "",
        "state": person.state,
    }


def _connection_name(desk: Desk, connection_id: str) -> str:
    connection = desk.tenant.connections.get(connection_id)
    return connection.name if connection else "removed connection"


def _source_words(desk: Desk, told: GroupSnapshot) -> dict[str, Any]:
    return {
        "connection_name": _connection_name(desk, told.connection_id),
        "is_on": _is_on(desk, told.connection_id),
        "state": told.state,
        "problem": told.problem,
        "source": source_words(told.source),
        "fetched_at": told.fetched_at,
        "complete_at": told.complete_at,
        "count": len(told.groups),
    }


def _hit_words(desk: Desk, hit: _Hit, live: LiveRoles, rule_ids: Mapping[MappingRule, str]) -> dict[str, Any]:
    return {
        "group": hit.words,
        "value": hit.fact.value,
        "kind": hit.fact.kind,
        "connection_name": _connection_name(desk, hit.fact.connection_id),
        "rule": rule_words(hit.rule),
        "rule_id": rule_ids.get(hit.rule, ""),
        "role": hit.rule.role,
        "counts": hit.counts,
        "scopes": sorted(live.role_scopes.get(hit.rule.role, ())),
    }


def _loose_words(desk: Desk, fact: GroupFact, words: str) -> dict[str, str]:
    return {
        "group": words,
        "value": fact.value,
        "kind": fact.kind,
        "connection_id": fact.connection_id,
        "connection_name": _connection_name(desk, fact.connection_id),
    }


def _reach_words(reach: AgentReach) -> dict[str, Any]:
    return {
        "agent_id": reach.agent.id,
        "agent_name": reach.agent.name,
        "resource_name": reach.resource.name,
        "scopes": sorted(reach.scopes),
        "withheld": [
            {"scope": scope, "why": _LIMIT_WORDS.get(by, by.replace("_", " "))}
            for scope, by in reach.withheld
        ],
    }


def _draw(hits: Sequence[_Hit], live: LiveRoles, reach: Sequence[AgentReach]) -> Markup:
    """Return the picture of the first hits; a scope that no agent could get is drawn without effect."""
    usable = frozenset[str]().union(*(one.scopes for one in reach))
    nodes: dict[tuple[int, str], FlowNode] = {}
    links: list[FlowLink] = []

    def put(column: int, key: str, words: str, counts: bool) -> None:
        seen = nodes.get((column, key))
        nodes[column, key] = FlowNode(column, key, words, counts or (seen is not None and seen.has_effect))

    for hit in hits:
        group = f"{hit.fact.connection_id} {hit.fact.kind} {hit.fact.value}"
        rule = f"{hit.rule.connection_id} {hit.rule.kind} {hit.rule.match} {hit.rule.pattern} {hit.rule.role}"
        put(0, group, hit.words, hit.counts)
        put(1, rule, rule_words(hit.rule), hit.counts)
        put(2, hit.rule.role, hit.rule.role, hit.counts)
        links += [
            FlowLink(0, group, rule, hit.counts),
            FlowLink(1, rule, hit.rule.role, hit.counts),
        ]
        for scope in sorted(live.role_scopes.get(hit.rule.role, ())):
            flows = hit.counts and scope in usable
            put(3, scope, scope, flows)
            links.append(FlowLink(2, hit.rule.role, scope, flows))
    return draw_flow(_COLUMNS, nodes.values(), links)
