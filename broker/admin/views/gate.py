"""The blueprint of the administration and the gate in front of every page but the setup link's."""

from typing import Any, cast

from flask import current_app, g, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin.access import Administrator, require_administrator
from broker.admin.changes import Desk
from broker.web.current import call_context, runtime, tenant
from broker.web.pages import tenant_blueprint
from broker.web.sessions import find_signed_in

blueprint = tenant_blueprint("admin", __name__)

_OPEN = "admin.setup"


@blueprint.before_request
def let_administrators_in() -> ResponseReturnValue | None:
    """Answer everybody else before any view runs: strangers sign in, others are refused (T07)."""
    if request.endpoint == _OPEN:
        return None
    found = find_signed_in("admin") or find_signed_in("person")
    if found is None:
        return cast(ResponseReturnValue, current_app.login_manager.unauthorized())  # type: ignore[attr-defined]
    g.administrator = require_administrator(runtime(), tenant(), found.session, call_context())
    return None


def desk() -> Desk:
    """Return the desk of the administrator whose request this is; only for views behind the gate."""
    return Desk(runtime(), tenant(), cast(Administrator, g.administrator), call_context())


def done_id() -> str:
    """Return the id of the request whose receipt the page is to show, or an empty string."""
    return request.args.get("done", "")[:64]


def page_url(endpoint: str, **values: str) -> str:
    """Return the address of a page with its filters; those that are empty are left out."""
    given: dict[str, Any] = {name: value for name, value in values.items() if value}
    return url_for(endpoint, **given)
