"""The first page of the administration."""

from flask import render_template, url_for
from flask.typing import ResponseReturnValue

from broker.admin.access import note_arrival
from broker.admin.overview import overview_context
from broker.admin.views.gate import blueprint, desk


@blueprint.get("/admin", endpoint="overview")
def show_overview() -> ResponseReturnValue:
    """Show the tenant at a glance."""
    here = desk()
    note_arrival(here.rt, here.tenant, here.who, here.ctx)
    context = overview_context(here)

    def page_of(endpoint: str) -> str:
        return url_for(endpoint, tenant=here.tenant.slug) if endpoint else ""

    return render_template("admin/overview.html", page_of=page_of, **context)
