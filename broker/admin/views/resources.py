"""Resources and their scopes."""

from flask import render_template
from flask.typing import ResponseReturnValue

from broker.admin.resources import list_resources
from broker.admin.views.gate import blueprint, desk


@blueprint.get("/admin/resources", endpoint="resources")
def show_resources() -> ResponseReturnValue:
    """Show what accepts our tokens."""
    return render_template("admin/resources.html", resources=list_resources(desk()))
