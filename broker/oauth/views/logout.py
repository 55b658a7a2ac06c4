"""The end-session endpoint and the page that asks whether to sign out."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from broker.federation.views.leaving import leave, signed_out_page
from broker.oauth.end_session import PARAMETERS, LogoutRequest, next_step, read_logout
from broker.oauth.params import Params, parse_form, parse_pairs
from broker.oauth.views.protocol import read_query
from broker.web.browser import ensure_browser_secret
from broker.web.cookies import SESSION_KINDS
from broker.web.current import runtime, tenant
from broker.web.onward import lead_to, see_other
from broker.web.pages import tenant_blueprint
from broker.web.plain_adapter import plain_request
from broker.web.sessions import find_signed_in

blueprint = tenant_blueprint("logout", __name__)


@blueprint.get("/logout", endpoint="end_session")
def end_session() -> ResponseReturnValue:
    """Sign out whoever the client means, or ask the person who is signed in here."""
    wanted = read_logout(runtime(), tenant(), parse_pairs(read_query()))
    who = find_signed_in("person")
    if next_step(wanted, who.session if who else None) == "ask":
        ensure_browser_secret()
        return render_template(
            "logout/ask.html",
            client_name=wanted.client.name if wanted.client else "",
            carried=wanted.carried(),
        )
    return _end(wanted, is_form=False)


@blueprint.post("/logout", endpoint="take_post")
def take_post() -> ResponseReturnValue:
    """Take the same request by POST; another site's form brings no cookie, the GET that follows does."""
    parse_form(plain_request())
    return see_other(f"{request.path}?{request.get_data(as_text=True)}")


@blueprint.post("/logout/confirm", endpoint="confirm")
def confirm() -> ResponseReturnValue:
    """Sign out the person who said so on our page."""
    given = {name: request.form.get(name, "") for name in PARAMETERS}
    return _end(read_logout(runtime(), tenant(), Params(given, {})), is_form=True)


def _end(wanted: LogoutRequest, *, is_form: bool) -> ResponseReturnValue:
    who = find_signed_in("person")
    found = [one.session for kind in SESSION_KINDS if (one := find_signed_in(kind))]
    provider_url = leave(who, found, is_led_on=bool(wanted.location))
    if wanted.location:
        return lead_to(wanted.location) if is_form else see_other(wanted.location)
    return signed_out_page(who, provider_url)
