"""The page of a person's own tokens: list, make, end."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required

from broker.agents.snapshot import load_agents
from broker.portal import personal_tokens as mine
from broker.portal.views.agents import blueprint
from broker.web.current import call_context, runtime, tenant
from broker.web.onward import see_other
from broker.web.sessions import person


@blueprint.get("/me/tokens")
@login_required
def personal_tokens() -> ResponseReturnValue:
    """Show the person's tokens, and the form for the agent that was chosen."""
    return _page(request.args.get("for", ""), done=request.args.get("done", ""))


@blueprint.post("/me/tokens")
@login_required
def make_personal_token() -> ResponseReturnValue:
    """Make a token; it is shown in this answer and never again."""
    visit = _visit()
    with visit.rt.database.write(visit.tenant.id) as session:
        offer = mine.find_offer(mine.list_offers(session, visit), request.form.get("client_id", ""))
        if offer is None:
            return see_other(url_for("portal.personal_tokens", tenant=visit.tenant.slug))
        made = mine.make_personal_token(
            session,
            visit,
            offer,
            name=request.form.get("name", ""),
            scopes=request.form.getlist("scope"),
            days=request.form.get("days", ""),
        )
    return _page("", made=made.secret)


@blueprint.post("/me/tokens/revoke")
@login_required
def end_personal_token() -> ResponseReturnValue:
    """End a token and everything that came of it."""
    visit = _visit()
    with visit.rt.database.write(visit.tenant.id) as session:
        ended = mine.end_personal_token(session, visit, request.form.get("token_id", ""))
    return see_other(url_for("portal.personal_tokens", tenant=visit.tenant.slug, done=ended.id))


def _page(chosen: str, *, made: str = "", done: str = "") -> ResponseReturnValue:
    visit = _visit()
    with visit.rt.database.read(visit.tenant.id) as session:
        context = mine.tokens_context(session, visit, chosen)
    ended = next((one for one in context["tokens"] if one["token_id"] == done), None)
    receipt = ended if ended and ended["state"] == "revoked" else None
    return render_template("portal/personal_tokens.html", made=made, receipt=receipt, **context)


def _visit() -> mine.Visit:
    rt, here = runtime(), tenant()
    return mine.Visit(rt, here, load_agents(rt, here.id), person().session, call_context())
