"""The audit log and the check of its chains."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from broker.admin.audit_log import MAX_FILTER_CHARS, UNCHECKED, LogFilter, check_chains, log_context
from broker.admin.views.gate import blueprint, desk, page_url


@blueprint.get("/admin/audit", endpoint="audit")
def show_log() -> ResponseReturnValue:
    """Show the events that fit the filter, newest first."""
    return _page(UNCHECKED)


@blueprint.post("/admin/audit/verify", endpoint="verify_audit")
def verify_log() -> ResponseReturnValue:
    """Recompute every chain of the tenant and show the outcome above the log; nothing is changed."""
    return _page(check_chains(desk()))


def _page(chain_status: dict[str, object]) -> ResponseReturnValue:
    here = desk()
    given = {
        name: request.args.get(name, "").strip()[:MAX_FILTER_CHARS]
        for name in ("event", "outcome", "person", "agent", "request_id")
    }
    cursor = request.args.get("cursor", "")
    context, older = log_context(here, LogFilter(**given), cursor)
    slug = here.tenant.slug
    return render_template(
        "admin/audit.html",
        chain_status=chain_status,
        newer_url=page_url("admin.audit", tenant=slug, **given) if cursor else "",
        older_url=page_url("admin.audit", tenant=slug, cursor=older, **given) if older else "",
        **context,
    )
