"""SCIM of one connection: its tokens, what it pushed, and what it asked."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin import provisioning
from broker.admin.views.gate import blueprint, desk, done_id, page_url
from broker.scim.request_log import RequestFilter
from broker.web.onward import see_other

_PAGE = "/admin/connections/<connection_id>/scim"


@blueprint.get(_PAGE, endpoint="provisioning")
def show_provisioning(connection_id: str) -> ResponseReturnValue:
    """Show the tokens of a connection and what it pushed."""
    context = provisioning.provisioning_context(desk(), connection_id, done_id())
    return render_template("admin/provisioning.html", made=None, **context)


@blueprint.post(_PAGE, endpoint="make_scim_token")
def make_token(connection_id: str) -> ResponseReturnValue:
    """Make a token and show it in this answer alone: no address and no store ever holds it."""
    names = ("name", "days", "access", "matching", "overlap")
    form = provisioning.TokenForm(*(request.form.get(name, "") for name in names))
    made = provisioning.make_token(desk(), connection_id, form)
    context = provisioning.provisioning_context(desk(), connection_id, "")
    return render_template("admin/provisioning.html", made=made, **context)


@blueprint.post(f"{_PAGE}/revoke", endpoint="revoke_scim_token")
def revoke_token(connection_id: str) -> ResponseReturnValue:
    """End one token at once."""
    here = desk()
    provisioning.end_token(here, connection_id, request.form.get("token_id", "")[:40])
    done = here.ctx.request_id
    return see_other(
        url_for("admin.provisioning", tenant=here.tenant.slug, connection_id=connection_id, done=done)
    )


@blueprint.get(f"{_PAGE}/log", endpoint="provisioning_log")
def show_log(connection_id: str) -> ResponseReturnValue:
    """Show what the provider asked, newest first."""
    here, args = desk(), request.args
    wanted = RequestFilter(
        connection_id=connection_id,
        method=_one_of(provisioning.METHODS, args.get("method", "")),
        outcome=_one_of(provisioning.OUTCOMES, args.get("outcome", "")),
        kind=_one_of(provisioning.KINDS, args.get("kind", "")),
        request_id=args.get("request_id", "").strip()[:64],
    )
    cursor = args.get("cursor", "")[:60]
    context = provisioning.log_context(here, connection_id, wanted, cursor)
    where = {"tenant": here.tenant.slug, "connection_id": connection_id, **context["filters"]}
    older = context["next_cursor"]
    return render_template(
        "admin/provisioning_log.html",
        newer_url=page_url("admin.provisioning_log", **where) if cursor else "",
        older_url=page_url("admin.provisioning_log", cursor=older, **where) if older else "",
        **context,
    )


def _one_of(choices: tuple[str, ...], given: str) -> str:
    return given if given in choices else ""
