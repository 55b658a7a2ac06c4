"""What administrators do to agents: suspend, kill, revive, and revoke one token with all below it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.admin.agents import get_agent, reach_of_agent
from broker.admin.changes import Desk, bad_form, change, find_done, not_found, write_down
from broker.agents.snapshot import AgentView
from broker.audit.events import AuditEvent
from broker.audit.reading import EventView
from broker.tokens.cascade import TOKENS, end_token
from broker.tokens.liveness import load_token_rows
from broker.tokens.reading import list_tokens, tokens_through
from broker.tokens.switching_off import end_agent, switch_on

MAX_NOTE = 200

_VERBS = {
    AuditEvent.AGENT_KILLED.value: "killed",
    AuditEvent.AGENT_SUSPENDED.value: "suspended",
    AuditEvent.AGENT_REVIVED.value: "revived",
    AuditEvent.TOKEN_REVOKED.value: "cut back",
    AuditEvent.TASK_ENDED.value: "cut back",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an action ended, and how long a resource that never asks us may still accept a token."""

    agent_name: str
    verb: str
    tokens_ended: int
    grants_ended: int
    residual_seconds: int


def act_on_agent(desk: Desk, agent_id: str, action: str, note: str) -> None:
    """Kill, suspend or revive an agent; the event says what ended.

    Raises ``Refusal``: ``not_found``, and ``bad_form`` for an action that this agent's state does not allow.
    """
    agent = get_agent(desk, agent_id)
    act = _ACTIONS.get(action)
    if act is None:
        raise bad_form("Choose one of the actions that the page offers.")
    note = note.strip()[:MAX_NOTE]
    if action == "kill" and not note:
        raise bad_form("Say why the agent is killed. The reason goes into the audit log.")
    act(desk, agent, note)


def revoke_subtree(desk: Desk, agent_id: str, jti: str) -> None:
    """End one token that this agent's page shows, and everything derived from it.

    Raises ``Refusal(not_found)``. Without the check of the agent: the page of one agent would end the
    tokens of another by a changed form.
    """
    agent = get_agent(desk, agent_id)
    tenant_id = desk.tenant.id
    with change(desk) as session:
        core = session.connection()
        condition = (TOKENS.c.jti == jti) & tokens_through(agent.id, tenant_id)
        if not list_tokens(core, tenant_id, condition, since=0):
            raise not_found("token")
        row = load_token_rows(core, tenant_id, [jti])[jti]
        below = list_tokens(core, tenant_id, TOKENS.c.path.startswith(row.path), since=desk.now)
        live = [one for one in below if one.ended_at is None and one.expires_at > desk.now]
        if not end_token(core, tenant_id, jti, "revoked_by_admin", desk.now):
            return
        write_down(
            session,
            desk,
            AuditEvent.TOKEN_REVOKED,
            target_id=agent.id,
            subject_id=row.user_id or "",
            reason="revoked_by_admin",
            data={
                "token_id": jti,
                "token_count": len(live),
                "residual_seconds": max((one.expires_at - desk.now for one in live), default=0),
            },
        )


def find_receipt(desk: Desk, agent_id: str, request_id: str) -> Receipt | None:
    """Return the receipt of an action on this agent, by the id of its request, or None."""
    event = find_done(desk, request_id, target_id=agent_id)
    if event is None or event.event not in _VERBS:
        return None
    return _receipt(event, get_agent(desk, agent_id))


def _receipt(event: EventView, agent: AgentView) -> Receipt:
    return Receipt(
        agent_name=agent.name,
        verb=_VERBS[event.event],
        tokens_ended=int(event.data.get("token_count", 0)),
        grants_ended=int(event.data.get("grant_count", 0)),
        residual_seconds=int(event.data.get("residual_seconds", 0)),
    )


def _kill(desk: Desk, agent: AgentView, note: str) -> None:
    _end(desk, agent, AuditEvent.AGENT_KILLED, note)


def _suspend(desk: Desk, agent: AgentView, note: str) -> None:
    if agent.state != "active":
        raise bad_form("Only an active agent can be suspended.")
    _end(desk, agent, AuditEvent.AGENT_SUSPENDED, note)


def _end(desk: Desk, agent: AgentView, event: AuditEvent, note: str) -> None:
    is_kill = event is AuditEvent.AGENT_KILLED
    if agent.state == "killed":
        raise bad_form("This agent is killed already.")
    cause = "agent_killed" if is_kill else "agent_suspended"
    with change(desk) as session:
        core = session.connection()
        reach = reach_of_agent(core, desk, agent.id)
        end_agent(core, desk.tenant.id, agent.id, cause, desk.now, state="killed" if is_kill else "suspended")
        write_down(
            session,
            desk,
            event,
            target_id=agent.id,
            reason=cause,
            data={
                "note": note,
                "token_count": reach.tokens,
                "grant_count": reach.grants,
                "residual_seconds": max(reach.last_end - desk.now, 0),
            },
        )


def _revive(desk: Desk, agent: AgentView, note: str) -> None:
    with change(desk) as session:
        # Without this: a kill that came a moment earlier would be undone by a page loaded before it.
        if not switch_on(session.connection(), desk.tenant.id, "agent", agent.id, desk.now):
            raise bad_form("Only a suspended agent can be revived. A killed one stays killed.")
        write_down(session, desk, AuditEvent.AGENT_REVIVED, target_id=agent.id, data={"note": note})


_ACTIONS: Mapping[str, Callable[[Desk, AgentView, str], None]] = {
    "kill": _kill,
    "suspend": _suspend,
    "revive": _revive,
}
