"""The landing of the one-time setup link."""

from flask import make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin.entry import enter_by_link, find_link_end
from broker.admin.views.gate import blueprint
from broker.web.current import call_context, runtime, tenant
from broker.web.onward import see_other
from broker.web.sessions import give_session


@blueprint.get("/admin/setup", endpoint="setup")
def show_setup() -> ResponseReturnValue:
    """Ask whether to become administrator; looking spends nothing, because mail scanners look too."""
    code = request.args.get("code", "")
    ends_at = find_link_end(runtime(), tenant(), code, call_context().now)
    page = render_template(
        "admin/setup.html",
        state="spent" if ends_at is None else "ready",
        code="" if ends_at is None else code,
        expires_at=ends_at,
    )
    return make_response(page, 410 if ends_at is None else 200)


@blueprint.post("/admin/setup", endpoint="setup")
def enter() -> ResponseReturnValue:
    """Spend the link, once, and begin an administrator's session."""
    secret = enter_by_link(runtime(), tenant(), request.form.get("code", ""), call_context())
    give_session("admin", secret)
    return see_other(url_for("admin.overview", tenant=tenant().slug))
