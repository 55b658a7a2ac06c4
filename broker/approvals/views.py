"""The consent page: the person's question and answer about one waiting request."""

from flask import Response, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from broker.agents.snapshot import load_agents
from broker.approvals import deciding
from broker.approvals.consent_page import Asked, find_asked, page_context
from broker.approvals.consents import list_consents, usage_of
from broker.approvals.interactions import InteractionView, bind_session, load_interaction
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.tokens.sessions import BrowserSessionView
from broker.web.browser import find_browser_secret
from broker.web.current import call_context, runtime, tenant
from broker.web.onward import lead_to, see_other
from broker.web.pages import tenant_blueprint
from broker.web.sessions import find_person

blueprint = tenant_blueprint("consent", __name__)


@blueprint.route("/consent/<handle>", methods=["GET", "POST"])
def ask(handle: str) -> ResponseReturnValue:
    """Ask the person whether the agent may act for them, or take their answer."""
    return _decide(handle) if request.method == "POST" else _show(handle)


def _show(handle: str) -> ResponseReturnValue:
    rt, now = runtime(), call_context().now
    person = find_person()
    with rt.database.write(tenant().id) as session:
        waiting = load_interaction(session, tenant().id, handle, find_browser_secret(), now)
        if person is None:
            return see_other(url_for("sign_in.choose", tenant=tenant().slug, resume=handle))
        if not _is_asked(waiting):
            return see_other(_resume_path(handle))
        bind_session(session, tenant().id, handle, person.id, now)
        asked = _asked(session, waiting, person)
    return _page(asked, handle, person)


def _decide(handle: str) -> ResponseReturnValue:
    """Take the person's answer, once, from the session that the question was put to."""
    rt, ctx = runtime(), call_context()
    person = find_person()
    if person is None:
        return lead_to(url_for("sign_in.choose", tenant=tenant().slug, resume=handle))
    decision = request.form.get("decision", "")
    with rt.database.write(tenant().id) as session:
        waiting = load_interaction(session, tenant().id, handle, find_browser_secret(), ctx.now)
        if waiting.session_id != person.id or not _is_asked(waiting):
            # The dispatcher knows what is next, or refuses.
            return lead_to(_resume_path(handle))
        asked = _asked(session, waiting, person)
        if decision == "allow":
            seconds = _seconds(request.form.get("duration", ""))
            deciding.allow(session, rt, asked, handle=handle, person=person, seconds=seconds, ctx=ctx)
        elif decision == "deny":
            deciding.deny(session, rt, asked, handle=handle, person=person, ctx=ctx)
        else:
            raise Refusal(
                ErrorCode.BAD_FORM,
                "Choose Allow or Deny.",
                reason="no_decision",
                whose_move=WhoseMove.YOU,
            )
    return lead_to(_resume_path(handle))


def _is_asked(waiting: InteractionView) -> bool:
    return waiting.state == "pending" and "preview" in waiting.request


def _asked(session: Session, waiting: InteractionView, person: BrowserSessionView) -> Asked:
    now = call_context().now
    user_id = person.user_id or ""
    return find_asked(
        tenant(),
        load_agents(runtime(), tenant().id),
        waiting.request,
        waiting.client_id,
        earlier=list_consents(session, tenant().id, user_id, client_id=waiting.client_id),
        usage=usage_of(session, tenant().id, waiting.client_id, now),
        now=now,
    )


def _page(asked: Asked, handle: str, person: BrowserSessionView) -> Response:
    connection = tenant().connections.get(person.connection_id or "")
    context = page_context(asked, handle=handle, via=connection.name if connection else "")
    return make_response(render_template("consent/ask.html", **context))


def _resume_path(handle: str) -> str:
    return f"/t/{tenant().slug}/authorize?resume={handle}"


def _seconds(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
