"""The landing of the one-time setup link."""

from flask import make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin.entry import enter_by_link, find_link_end
from broker.admin.views.gate import blueprint
from broker.web.current import call_context, runtime, tenant
from broker.web.onward import see_other
from broker.web.sessions import give_session


@blueprint.route("/admin/setup", methods=["GET", "POST"])
def setup() -> ResponseReturnValue:
    """Show the landing of a setup link, or let its holder in."""
    return _enter() if request.method == "POST" else _show()


def _show() -> ResponseReturnValue:
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


def _enter() -> ResponseReturnValue:
    """Spend the link, once, and begin an administrator's session."""
    secret = enter_by_link(runtime(), tenant(), request.form.get("code", ""), call_context())
    give_session("admin", secret)
    return see_other(url_for("admin.overview", tenant=tenant().slug))
