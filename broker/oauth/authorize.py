"""The authorize dispatcher: what does this request still need? Sign-in, consent, or nothing: then a code.

    begin ──> interaction ──> sign in? ──> consent? ──> finished: code or error, back to the client

Every stop is a fact in the interaction's row; whoever comes back with the handle is asked anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from broker.agents.admission import adopt_agent
from broker.agents.snapshot import AgentsSnapshot, ClientView, load_agents
from broker.approvals import interactions
from broker.approvals.consents import ConsentView, find_consent, get_consent
from broker.approvals.interactions import InteractionView
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.directory.people import find_person
from broker.directory.roles import live_roles
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.runtime import Runtime
from broker.oauth.authorization_request import Asker, AuthorizationRequest, read_asker, read_request
from broker.oauth.client_resolution import ensure_client
from broker.oauth.par import require_pushed, take_pushed
from broker.oauth.params import Params
from broker.oauth.preview import preview
from broker.oauth.redirect_uris import is_loopback, response_url
from broker.oauth.step_up import needs_sign_in, remember_sign_in
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.codes import issue_code
from broker.tokens.grants import open_grant
from broker.tokens.sessions import BrowserSessionView


@dataclass(frozen=True, slots=True)
class Onward:
    """Where the browser goes next; ``is_answer`` when that is the client's redirect URI.

    With ``fields`` it gets there by a form that posts them (OAuth 2.0 Form Post Response Mode).
    """

    location: str
    is_answer: bool
    fields: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """One browser's visit to the authorization endpoint."""

    rt: Runtime
    tenant: TenantSnapshot
    ctx: CallContext
    browser_secret: str
    session: BrowserSessionView | None


def begin(visit: Visit, params: Params) -> Onward:
    """Check a new request and take its first step.

    Raises a ``Refusal`` that is shown as a page while the redirect URI is not trusted; later faults are
    answers to the client, with ``state`` and ``iss`` (RFC 9207).
    """
    ensure_client(visit.rt, visit.tenant, params.get("client_id"), visit.ctx)
    pushed = take_pushed(visit.rt, visit.tenant, params, visit.ctx.now)
    params = pushed or params
    agents = load_agents(visit.rt, visit.tenant.id)
    asker = read_asker(agents, params, visit.ctx.now)
    try:
        if pushed is None:
            require_pushed(visit.tenant, asker.client)
        request = read_request(visit.rt, visit.tenant, agents, asker, params, visit.ctx.now)
    except Refusal as refusal:
        _record_refusal(visit, asker.client.client_id, refusal)
        return _error(visit, asker, refusal)
    with visit.rt.database.write(visit.tenant.id) as session:
        handle = interactions.open_interaction(
            session,
            tenant_id=visit.tenant.id,
            client_id=request.client_id,
            request=request.as_dict(),
            browser_secret=visit.browser_secret,
            now=visit.ctx.now,
        )
    return advance(visit, handle)


def advance(visit: Visit, handle: str) -> Onward:
    """Take the next step of a stored request; raises ``Refusal(sign_in_expired)`` for another browser's."""
    with visit.rt.database.write(visit.tenant.id) as session:
        view = interactions.load_interaction(
            session, visit.tenant.id, handle, visit.browser_secret, visit.ctx.now
        )
        request = AuthorizationRequest.from_dict(dict(view.request))
        try:
            return _step(visit, session, handle, view, request)
        except Refusal as refusal:
            if refusal.code is ErrorCode.SIGN_IN_EXPIRED:
                raise
            interactions.finish(session, visit.tenant.id, handle, visit.ctx.now)
            _record_refusal(visit, request.client_id, refusal, session)
            return _error(visit, request, refusal)


def _step(
    visit: Visit, session: Session, handle: str, view: InteractionView, request: AuthorizationRequest
) -> Onward:
    if view.state == "denied":
        raise Refusal(ErrorCode.ACCESS_DENIED, "The person said no.", reason="consent_denied")
    person = visit.session
    if person is None or person.user_id is None or needs_sign_in(person, view, request):
        if "none" in request.prompts:
            raise Refusal(ErrorCode.LOGIN_REQUIRED, "The person is not signed in.")
        if view.state == "pending":
            kept = remember_sign_in(view.request, person)
            interactions.keep_request(session, visit.tenant.id, handle, kept, visit.ctx.now)
        return _page(visit, "sign-in", resume=handle)
    interactions.bind_session(session, visit.tenant.id, handle, person.id, visit.ctx.now)
    agents = load_agents(visit.rt, visit.tenant.id)
    roles = live_roles(session.connection(), visit.rt, visit.tenant.id, person.user_id, visit.ctx.now)
    shown = preview(visit.rt, visit.tenant, agents, request, roles, visit.ctx)
    consent = _consent(visit, session, view, request, person.user_id, agents, shown["granted"])
    if consent is None:
        if "none" in request.prompts:
            raise Refusal(ErrorCode.CONSENT_REQUIRED, "The person has not agreed to this.")
        kept = {**view.request, "preview": shown}
        interactions.keep_request(session, visit.tenant.id, handle, kept, visit.ctx.now)
        return _page(visit, f"consent/{handle}")
    # Used up before anything is issued: two tabs of one request get one code.
    interactions.finish(session, visit.tenant.id, handle, visit.ctx.now)
    code = _issue(visit, session, request, person, agents, consent, shown["granted"])
    return _answer(visit, request, {"code": code})


def _consent(
    visit: Visit,
    session: Session,
    view: InteractionView,
    request: AuthorizationRequest,
    user_id: str,
    agents: AgentsSnapshot,
    granted: list[str],
) -> ConsentView | None:
    """Return the consent that covers what would be granted: the one just given, or an earlier one."""
    client = agents.client(request.client_id)
    if view.state == "allowed" and view.consent_id is not None:
        given = get_consent(session, visit.tenant.id, user_id, view.consent_id)
        return given if given.is_live(visit.ctx.now) else None
    # Without this: any program on the person's computer could be this client, and an earlier answer would
    # be given to it unasked (O52).
    if "consent" in request.prompts or (client is not None and _may_be_anybody(client, request)):
        return None
    return find_consent(
        session,
        tenant_id=visit.tenant.id,
        user_id=user_id,
        client_id=request.client_id,
        agent_id=client.agent_id if client else None,
        resources=request.resources,
        scopes=granted,
        now=visit.ctx.now,
    )


def _issue(
    visit: Visit,
    session: Session,
    request: AuthorizationRequest,
    person: BrowserSessionView,
    agents: AgentsSnapshot,
    consent: ConsentView,
    granted: list[str],
) -> str:
    """Open the grant and return its code; never more than was shown and agreed to."""
    connection, now = session.connection(), visit.ctx.now
    scopes = sorted(frozenset(granted) & consent.scopes)
    client = agents.client(request.client_id)
    _adopt(visit, session, client, person)
    grant_id = open_grant(
        connection,
        tenant_id=visit.tenant.id,
        client_id=request.client_id,
        agent_id=client.agent_id if client else None,
        user_id=person.user_id,
        connection_id=person.connection_id,
        session_id=person.id,
        consent_id=consent.id,
        resources=request.resources,
        scopes=scopes,
        auth_time=person.proven_at,
        acr=person.acr,
        amr=person.amr,
        now=now,
        expires_at=consent.expires_at,
    )
    code = issue_code(
        connection,
        tenant_id=visit.tenant.id,
        grant_id=grant_id,
        client_id=request.client_id,
        redirect_uri=request.redirect_uri,
        code_challenge=request.code_challenge,
        resources=request.resources,
        scopes=scopes,
        nonce=request.nonce,
        expires_at=now + visit.tenant.settings.code_ttl_seconds,
        cnf_jkt=request.dpop_jkt,
    )
    record(
        connection,
        visit.ctx,
        tenant_id=visit.tenant.id,
        event=AuditEvent.CODE_ISSUED,
        writer_id=visit.rt.writer_id,
        actor=ActorRef("user", person.user_id or ""),
        subject_id=person.user_id or "",
        client_id=request.client_id,
        target_id=grant_id,
        data={"consent": consent.id, "scopes": scopes, "resources": request.resources},
    )
    return code


def _may_be_anybody(client: ClientView, request: AuthorizationRequest) -> bool:
    """Whether nothing proves the client: no key, and an answer that stays on the person's computer."""
    is_stranger = client.is_document or client.options.unverified
    return is_stranger and client.auth_method == "none" and is_loopback(request.redirect_uri)


def _adopt(visit: Visit, session: Session, client: ClientView | None, person: BrowserSessionView) -> None:
    """The first person who agrees answers for an agent that the policy leaves without an owner."""
    if client is None or visit.tenant.settings.onboarding.template.owner != "first_person":
        return
    who = find_person(session, visit.tenant.id, person.user_id or "")
    if who is not None:
        adopt_agent(session, visit.tenant.id, client, who.display_name, who.email or "")


def _page(visit: Visit, page: str, **query: str) -> Onward:
    tail = f"?{urlencode(query)}" if query else ""
    return Onward(f"/t/{visit.tenant.slug}/{page}{tail}", is_answer=False)


def _error(visit: Visit, asked: Asker | AuthorizationRequest, refusal: Refusal) -> Onward:
    return _answer(visit, asked, {"error": refusal.code.value, "error_description": refusal.public})


def _answer(visit: Visit, asked: Asker | AuthorizationRequest, members: dict[str, str]) -> Onward:
    """Return an answer in the mode that was asked for, always with ``iss`` (RFC 9207 §2).

    Without it: a client of two servers could take one's answer for the other's (O16).
    """
    answer = {**members, "state": asked.state, "iss": visit.tenant.issuer}
    if asked.response_mode != "form_post":
        return Onward(response_url(asked.redirect_uri, answer), is_answer=True)
    fields = {name: value for name, value in answer.items() if value}
    return Onward(asked.redirect_uri, is_answer=True, fields=fields)


def _record_refusal(visit: Visit, client_id: str, refusal: Refusal, session: Session | None = None) -> None:
    if session is None:
        with visit.rt.database.write(visit.tenant.id) as own:
            _record_refusal(visit, client_id, refusal, own)
        return
    details: dict[str, Any] = {"error": refusal.code.value}
    record(
        session.connection(),
        visit.ctx,
        tenant_id=visit.tenant.id,
        event=AuditEvent.AUTHORIZATION_REFUSED,
        writer_id=visit.rt.writer_id,
        outcome="refused",
        reason=refusal.reason,
        subject_id=(visit.session.user_id or "") if visit.session else "",
        client_id=client_id,
        data=details,
    )
