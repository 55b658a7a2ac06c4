"""Short addresses without a tenant in them, ``/me/agents`` and ``/admin``: they lead to the right tenant."""

from flask import Blueprint, make_response, render_template, request
from flask.typing import ResponseReturnValue

from broker.portal.which_tenant import is_active, likely_slugs
from broker.web.current import runtime
from broker.web.onward import see_other

_AREAS = {"me": "me/agents", "admin": "admin"}

blueprint = Blueprint("front_door", __name__)


@blueprint.get("/me/agents", endpoint="me", defaults={"area": "me"})
@blueprint.get("/admin", endpoint="admin", defaults={"area": "admin"})
def lead_in(area: str) -> ResponseReturnValue:
    """Lead to the tenant that this browser means, or ask for its name."""
    asked = request.args.get("organization", "").strip().lower()[:63]
    slugs = [asked] if asked else likely_slugs(runtime(), request.headers.get("Cookie", ""))
    if len(slugs) == 1 and is_active(runtime(), slugs[0]):
        return see_other(f"/t/{slugs[0]}/{_AREAS[area]}")
    error = "No organization has this name here." if asked else ""
    page = render_template("portal/organization.html", organization=asked, error=error)
    return make_response(page, 404 if error else 200)
