"""Clients: the list, who waits, the policy for those that introduce themselves, and initial tokens."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin import onboarding, registration_tokens
from broker.admin.clients import SOURCES, ClientFilter, clients_context, decide
from broker.admin.connection_form import FormValues
from broker.admin.views.gate import blueprint, desk, done_id, page_url
from broker.web.onward import see_other

_TOKENS = "/admin/clients/tokens"


@blueprint.get("/admin/clients", endpoint="clients")
def show_clients() -> ResponseReturnValue:
    """Show who waits, and the tenant's clients that fit the filter."""
    here, args = desk(), request.args
    source = args.get("source", "")
    wanted = ClientFilter(q=args.get("q", "")[:100], source=source if source in SOURCES else "")
    after = args.get("after", "")
    context = clients_context(here, wanted, after, done_id())
    where = {"tenant": here.tenant.slug, **context["filters"]}
    older = context["next_after"]
    return render_template(
        "admin/clients.html",
        newer_url=page_url("admin.clients", **where) if after else "",
        older_url=page_url("admin.clients", after=older, **where) if older else "",
        **context,
    )


@blueprint.post("/admin/clients", endpoint="decide_client")
def decide_client() -> ResponseReturnValue:
    """Release or refuse a client that waits."""
    here = desk()
    decide(here, request.form.get("client_id", "")[:200], request.form.get("decision", ""))
    return see_other(url_for("admin.clients", tenant=here.tenant.slug, done=here.ctx.request_id))


@blueprint.get("/admin/clients/policy", endpoint="onboarding")
def show_policy() -> ResponseReturnValue:
    """Show the policy for clients that introduce themselves."""
    return render_template("admin/onboarding.html", **onboarding.policy_context(desk(), done=done_id()))


@blueprint.post("/admin/clients/policy", endpoint="save_onboarding")
def save_policy() -> ResponseReturnValue:
    """Store the policy, or show the form again with what is wrong."""
    here = desk()
    form = FormValues({name: request.form.getlist(name) for name in request.form})
    error = onboarding.save_policy(here, form)
    if error:
        context = onboarding.policy_context(here, form, error)
        return render_template("admin/onboarding.html", **context), 400
    return see_other(url_for("admin.onboarding", tenant=here.tenant.slug, done=here.ctx.request_id))


@blueprint.get(_TOKENS, endpoint="registration_tokens")
def show_tokens() -> ResponseReturnValue:
    """Show the tokens with which clients may register."""
    context = registration_tokens.tokens_context(desk(), done_id())
    return render_template("admin/registration_tokens.html", made="", **context)


@blueprint.post(_TOKENS, endpoint="make_registration_token")
def make_token() -> ResponseReturnValue:
    """Make a token and show it in this answer alone: no address and no store ever holds it."""
    here = desk()
    given = [request.form.get(name, "") for name in ("name", "days", "uses")]
    made = registration_tokens.make_registration_token(here, *given)
    return render_template(
        "admin/registration_tokens.html", made=made, **registration_tokens.tokens_context(here, "")
    )


@blueprint.post(f"{_TOKENS}/revoke", endpoint="revoke_registration_token")
def revoke_token() -> ResponseReturnValue:
    """End one token at once."""
    here = desk()
    registration_tokens.end_registration_token(here, request.form.get("token_id", "")[:40])
    return see_other(url_for("admin.registration_tokens", tenant=here.tenant.slug, done=here.ctx.request_id))
