"""A person's own tokens: what they could let an agent do, making one, and ending it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from broker.agents.snapshot import AgentsSnapshot, AgentView, ClientView
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.directory.roles import LiveRoles, live_roles
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.oauth.authorization_request import AuthorizationRequest
from broker.oauth.basis import TOKEN_EXCHANGE
from broker.oauth.preview import preview
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import cascade
from broker.tokens.personal import (
    MAX_LIVE,
    IssuedPersonalToken,
    PersonalTokenView,
    issue_personal,
    list_personal,
)
from broker.tokens.sessions import BrowserSessionView

DAYS = (1, 7, 30)
DAY_SECONDS = 86_400
SHOWN_ENDED = 20


@dataclass(frozen=True, slots=True)
class Offer:
    """An agent for which the person may make a token, and by resource the scopes that they could hand it."""

    agent: AgentView
    client: ClientView
    scopes: dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Visit:
    """One person at their own pages, now."""

    rt: Runtime
    tenant: TenantSnapshot
    agents: AgentsSnapshot
    session: BrowserSessionView
    ctx: CallContext

    @property
    def user_id(self) -> str:
        """Whose pages these are."""
        return self.session.user_id or ""


def list_offers(db: Session, visit: Visit) -> list[Offer]:
    """Return what the person could hand to which agent now, by the rule that will mint; nothing is empty."""
    if not visit.tenant.settings.personal_token_days:
        return []
    roles = live_roles(db.connection(), visit.rt, visit.tenant.id, visit.user_id, visit.ctx.now)
    found = []
    for client in visit.agents.clients.values():
        agent = visit.agents.agent_of(client)
        if agent is None or not agent.is_active(visit.ctx.now) or not client.is_active:
            continue
        if TOKEN_EXCHANGE not in client.grant_types:
            continue
        scopes = {one: _could(visit, agent, client, one, roles) for one in sorted(agent.resources)}
        held = {resource: granted for resource, granted in scopes.items() if granted}
        if held:
            found.append(Offer(agent, client, held))
    return sorted(found, key=lambda one: (one.agent.name.casefold(), one.client.client_id))


def make_personal_token(
    db: Session, visit: Visit, offer: Offer, *, name: str, scopes: Iterable[str], days: str
) -> IssuedPersonalToken:
    """Make a token for the agent of ``offer``; raises ``Refusal(bad_form)`` for what nobody was offered."""
    name = name.strip()
    chosen = frozenset(scopes)
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise _bad_form("Give it a name of up to 100 characters.")
    resources = {one for one, held in offer.scopes.items() if held & chosen}
    # Without this: a form that was changed by hand could ask for more than the page showed.
    if not chosen or not chosen <= frozenset[str]().union(*offer.scopes.values()):
        raise _bad_form("Choose one of the permissions that the page offers, or several.")
    if days not in {str(one) for one in days_offered(visit.tenant)}:
        raise _bad_form("Choose one of the durations that the page offers.")
    core = db.connection()
    live = [one for one in list_personal(core, visit.tenant.id, visit.user_id) if one.is_live(visit.ctx.now)]
    if len(live) >= MAX_LIVE:
        raise _bad_form(f"You have {MAX_LIVE} tokens. Revoke one that you no longer need.")
    made = issue_personal(
        core,
        tenant_id=visit.tenant.id,
        owner=visit.session,
        agent_id=offer.agent.id,
        client_id=offer.client.client_id,
        name=name,
        resources=resources,
        scopes=chosen,
        now=visit.ctx.now,
        expires_at=min(visit.ctx.now + int(days) * DAY_SECONDS, offer.agent.expires_at),
    )
    _record(db, visit, AuditEvent.PERSONAL_TOKEN_CREATED, made.view, scopes=sorted(chosen))
    return made


def end_personal_token(db: Session, visit: Visit, token_id: str) -> PersonalTokenView:
    """End one of the person's own tokens and everything that came of it; raises ``Refusal(not_found)``."""
    core = db.connection()
    for one in list_personal(core, visit.tenant.id, visit.user_id):
        if one.id == token_id:
            ended = cascade.end_grant(
                core, visit.tenant.id, one.grant_id, cause="revoked_by_person", now=visit.ctx.now
            )
            _record(db, visit, AuditEvent.PERSONAL_TOKEN_REVOKED, one, count=ended.tokens)
            return one
    # Without this: another person's id would be answered otherwise than a made-up one (T01).
    raise Refusal(
        ErrorCode.NOT_FOUND, "No page has this address.", reason="not_my_token", whose_move=WhoseMove.YOU
    )


def find_offer(offers: Iterable[Offer], client_id: str) -> Offer | None:
    """Return the offer for that client, or None."""
    return next((one for one in offers if one.client.client_id == client_id), None)


def days_offered(tenant: TenantSnapshot) -> list[int]:
    """Return the lives that may be chosen, in days, within the tenant's limit."""
    most = tenant.settings.personal_token_days
    return [one for one in DAYS if one < most] + [most]


def tokens_context(db: Session, visit: Visit, chosen: str) -> dict[str, Any]:
    """Return the context of ``portal/personal_tokens.html``."""
    offers = list_offers(db, visit)
    stored = list_personal(db.connection(), visit.tenant.id, visit.user_id)
    live = [one for one in stored if one.is_live(visit.ctx.now)]
    ended = [one for one in stored if not one.is_live(visit.ctx.now)][:SHOWN_ENDED]
    offer = find_offer(offers, chosen)
    return {
        "tokens": [_token_words(visit, one) for one in [*live, *ended]],
        "offers": [{"client_id": one.client.client_id, "name": one.agent.name} for one in offers],
        "offer": _offer_words(visit, offer) if offer else None,
        "days": days_offered(visit.tenant),
    }


def _could(
    visit: Visit, agent: AgentView, client: ClientView, resource: str, roles: LiveRoles
) -> frozenset[str]:
    known = visit.agents.resource(resource)
    if known is None or not known.is_active:
        return frozenset()
    asked = AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri="",
        state="",
        resources=[resource],
        scopes=sorted(agent.scopes & known.scopes.keys()),
        code_challenge="",
        nonce="",
        prompts=[],
        max_age=None,
        acr_values=[],
        login_hint="",
        asked_at=visit.ctx.now,
    )
    try:
        found = preview(visit.rt, visit.tenant, visit.agents, asked, roles, visit.ctx)
    except Refusal:
        return frozenset()
    return frozenset(found["granted"])


def _token_words(visit: Visit, token: PersonalTokenView) -> dict[str, Any]:
    agent = visit.agents.agent(token.agent_id)
    state = "live" if token.is_live(visit.ctx.now) else "revoked" if token.ended_at is not None else "expired"
    return {
        "token_id": token.id,
        "name": token.name,
        "agent_name": agent.name if agent else "An agent that is gone",
        "state": state,
        "permissions": [_sentence(visit, token.resources, scope)["sentence"] for scope in token.scopes],
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "used_at": token.used_at,
    }


def _offer_words(visit: Visit, offer: Offer) -> dict[str, Any]:
    scopes = sorted({scope for held in offer.scopes.values() for scope in held})
    return {
        "client_id": offer.client.client_id,
        "name": offer.agent.name,
        "owner_name": offer.agent.owner_name,
        "permissions": [_sentence(visit, offer.scopes, scope) for scope in scopes],
    }


def _sentence(visit: Visit, resources: Iterable[str], scope: str) -> dict[str, str]:
    for identifier in resources:
        resource = visit.agents.resource(identifier)
        if resource is not None and scope in resource.scopes:
            known = resource.scopes[scope]
            return {"scope": scope, "sentence": known.description or scope, "kind": known.effect}
    return {"scope": scope, "sentence": scope, "kind": "read"}


def _record(db: Session, visit: Visit, event: AuditEvent, token: PersonalTokenView, **data: Any) -> None:
    record(
        db.connection(),
        visit.ctx,
        tenant_id=visit.tenant.id,
        event=event,
        writer_id=visit.rt.writer_id,
        actor=ActorRef("user", visit.user_id),
        subject_id=visit.user_id,
        target_id=token.id,
        client_id=token.client_id,
        data={"agent": token.agent_id, "grant": token.grant_id, **data},
    )


def _bad_form(public: str) -> Refusal:
    return Refusal(ErrorCode.BAD_FORM, public, reason="bad_personal_token", whose_move=WhoseMove.YOU)
