"""What administrators see and do of roles: which groups give them, which scopes they carry."""

from collections import Counter
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from broker.admin.changes import Desk, bad_form, change, find_done, not_found, write_down
from broker.agents.naming import check_scope_names
from broker.agents.snapshot import load_agents
from broker.audit.events import AuditEvent
from broker.directory.models import GroupMapping, GroupSnapshot, Role
from broker.directory.registry import save_mapping, save_role
from broker.policy.roles import GroupFact, MappingRule, is_match

MAX_UNMATCHED = 30
_SNAPSHOTS_READ = 2000
"""Groups without a rule are looked for among this many people at most."""

_TITLES = {
    AuditEvent.ROLE_CREATED.value: "The role was made.",
    AuditEvent.ROLE_CHANGED.value: "The role was changed.",
    AuditEvent.ROLE_REMOVED.value: "The role was removed.",
    AuditEvent.MAPPING_CREATED.value: "The rule was made.",
    AuditEvent.MAPPING_CHANGED.value: "The rule was changed.",
    AuditEvent.MAPPING_REMOVED.value: "The rule was removed.",
}


def roles_context(desk: Desk, done: str) -> dict[str, Any]:
    """Return the context of ``admin/roles.html``."""
    with desk.rt.database.read(desk.tenant.id) as session:
        roles = session.scalars(
            select(Role).where(Role.tenant_id == desk.tenant.id).order_by(Role.name)
        ).all()
        rules = session.scalars(
            select(GroupMapping)
            .where(GroupMapping.tenant_id == desk.tenant.id)
            .order_by(GroupMapping.pattern, GroupMapping.id)
        ).all()
        unmatched = _unmatched(session, desk, list(rules))
    known = load_agents(desk.rt, desk.tenant.id)
    return {
        "roles": [_words(desk, role, list(rules)) for role in roles],
        "unmatched": unmatched,
        "connections": [
            {"connection_id": one.id, "name": one.name}
            for one in sorted(
                desk.tenant.connections.values(), key=lambda one: (not one.is_active, one.name.casefold())
            )
        ],
        "known_scopes": sorted({name for one in known.resources.values() for name in one.scopes}),
        "receipt": _find_receipt(desk, done),
    }


def put_role(desk: Desk, name: str, description: str, scopes: str) -> None:
    """Make a role, or change what it says and carries; raises ``Refusal(bad_configuration)``."""
    wanted = sorted(set(scopes.split()))
    check_scope_names("scopes", wanted)
    with change(desk) as session:
        role, done = save_role(
            session, desk.tenant.id, name.strip(), {"description": description.strip(), "scopes": wanted}
        )
        if done is not None:
            is_new = done.action == "create"
            event = AuditEvent.ROLE_CREATED if is_new else AuditEvent.ROLE_CHANGED
            write_down(
                session, desk, event, target_id=role.id, data={"role": role.name, "scopes": role.scopes}
            )


def remove_role(desk: Desk, role_id: str) -> None:
    """Remove a role and the rules that give it; tokens hold it until they run out. Raises ``Refusal``."""
    with change(desk) as session:
        role = session.scalar(select(Role).where(Role.tenant_id == desk.tenant.id, Role.id == role_id))
        if role is None:
            raise not_found("role")
        session.execute(
            delete(GroupMapping).where(
                GroupMapping.tenant_id == desk.tenant.id, GroupMapping.role == role.name
            )
        )
        session.delete(role)
        write_down(session, desk, AuditEvent.ROLE_REMOVED, target_id=role.id, data={"role": role.name})


def save_rule(
    desk: Desk, rule_id: str, connection_id: str, kind: str, match: str, pattern: str, role: str
) -> None:
    """Make a rule from group to role, or put it in the place of the rule ``rule_id``.

    Raises ``Refusal``: ``bad_form``, ``bad_configuration``, and ``not_found`` for an unknown ``rule_id``.
    """
    if connection_id not in desk.tenant.connections:
        raise bad_form("Choose one of this tenant's connections.")
    with change(desk) as session:
        known = session.scalar(select(Role.id).where(Role.tenant_id == desk.tenant.id, Role.name == role))
        if known is None:
            raise bad_form("Choose a role that exists.")
        former = _take_rule(session, desk, rule_id) if rule_id else None
        rule, done = save_mapping(session, desk.tenant.id, connection_id, kind, match, pattern.strip(), role)
        if former is not None:
            data = _rule_data(rule) | {f"former_{name}": value for name, value in former.items()}
            write_down(session, desk, AuditEvent.MAPPING_CHANGED, target_id=rule.id, data=data)
        elif done is not None:
            write_down(session, desk, AuditEvent.MAPPING_CREATED, target_id=rule.id, data=_rule_data(rule))


def remove_rule(desk: Desk, rule_id: str) -> None:
    """Remove a rule from group to role; raises ``Refusal(not_found)``."""
    with change(desk) as session:
        former = _take_rule(session, desk, rule_id)
        write_down(session, desk, AuditEvent.MAPPING_REMOVED, target_id=rule_id, data=former)


def _take_rule(session: Session, desk: Desk, rule_id: str) -> dict[str, str]:
    """Delete a rule of this tenant and return what it said; raises ``Refusal(not_found)``."""
    rule = session.scalar(
        select(GroupMapping).where(GroupMapping.tenant_id == desk.tenant.id, GroupMapping.id == rule_id)
    )
    if rule is None:
        raise not_found("mapping")
    said = _rule_data(rule)
    session.delete(rule)
    # Before the next rule is written: it may say the same as this one.
    session.flush()
    return said


def _rule_data(rule: GroupMapping) -> dict[str, str]:
    return {
        "connection": rule.connection_id,
        "kind": rule.kind,
        "match": rule.match,
        "pattern": rule.pattern,
        "role": rule.role,
    }


def _words(desk: Desk, role: Role, rules: list[GroupMapping]) -> dict[str, Any]:
    return {
        "role_id": role.id,
        "name": role.name,
        "description": role.description,
        "scopes": sorted(role.scopes),
        "is_admin": role.name == desk.tenant.settings.admin_role,
        "groups": [
            {
                "rule_id": rule.id,
                "value": rule.pattern,
                "kind": rule.kind,
                "match": rule.match,
                "connection_name": _connection_name(desk, rule.connection_id),
            }
            for rule in rules
            if rule.role == role.name
        ],
    }


def _connection_name(desk: Desk, connection_id: str) -> str:
    connection = desk.tenant.connections.get(connection_id)
    return connection.name if connection else "removed connection"


def _unmatched(session: Session, desk: Desk, rules: list[GroupMapping]) -> list[dict[str, Any]]:
    """Return groups that people bring and no rule names, those of most people first."""
    known = [
        MappingRule(rule.connection_id, rule.kind, rule.match, rule.pattern, rule.role) for rule in rules
    ]
    snapshots = session.execute(
        select(GroupSnapshot.connection_id, GroupSnapshot.groups)
        .where(GroupSnapshot.tenant_id == desk.tenant.id)
        .order_by(GroupSnapshot.fetched_at.desc())
        .limit(_SNAPSHOTS_READ)
    )
    people: Counter[GroupFact] = Counter()
    for connection_id, groups in snapshots:
        people.update({GroupFact(connection_id, one["kind"], one["value"]) for one in groups})
    loose = [
        {
            "value": fact.value,
            "kind": fact.kind,
            "connection_id": fact.connection_id,
            "people_count": count,
        }
        for fact, count in sorted(people.items(), key=lambda item: (-item[1], item[0].value))
        if not any(is_match(rule, fact) for rule in known)
    ]
    return loose[:MAX_UNMATCHED]


def _find_receipt(desk: Desk, done: str) -> dict[str, str] | None:
    event = find_done(desk, done)
    if event is None or event.event not in _TITLES:
        return None
    name = str(event.data.get("role", ""))
    return {
        "title": _TITLES[event.event],
        "text": f"{name}: it counts from the next token on; tokens that are out keep what they hold.",
    }
