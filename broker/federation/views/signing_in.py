"""Pages and addresses of signing in and out: choose, begin, come back, leave."""

from typing import Any

from flask import Response, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.federation import home_realm, passwords, signing_in
from broker.federation.admitting import SignedInPerson
from broker.federation.attempts import TooManyAttempts
from broker.federation.connection_tests import finish_test
from broker.federation.flows import HANDLE
from broker.federation.refusals import record_refusal
from broker.federation.steps import Signing, open_signing
from broker.federation.unasked import may_start_unasked
from broker.federation.views.leaving import leave, signed_out_page
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.tenants.snapshot import ConnectionView
from broker.web.browser import ensure_browser_secret, find_browser_secret, give_cookie
from broker.web.cookies import SESSION_KINDS, find_cookie, last_connection_cookie_name
from broker.web.current import call_context, connectors, presets, runtime, tenant, waiting_requests
from broker.web.limits import first_values
from broker.web.onward import is_own_path, lead_to, see_other
from broker.web.pages import tenant_blueprint
from broker.web.sessions import find_signed_in, give_session
from idp_connectors.base import SignsInByPassword

blueprint = tenant_blueprint("sign_in", __name__)

_YEAR = 31_536_000


@blueprint.route("/sign-in", methods=["GET", "POST"])
def choose() -> ResponseReturnValue:
    """Show where people of this tenant sign in, or go where their e-mail address leads."""
    if request.method == "POST":
        return _choose_by_email()
    ensure_browser_secret()
    return _choice(home_realm.offered_connections(tenant()), asks=home_realm.asks_email(tenant()))


def _choose_by_email() -> ResponseReturnValue:
    email = request.form.get("email", "").strip()[:320]
    found = home_realm.find_connections(tenant(), email)
    if len(found) == 1:
        step = _open(found[0].slug)
        if passwords.takes_password(step):
            return _password_page(step)
        return lead_to(_begin(step, login_hint=email))
    ensure_browser_secret()
    if found:
        return _choice(found, asks=False, email=email)
    error = "No sign-in of this organization belongs to that address. Check it, or choose above."
    return _choice(home_realm.offered_connections(tenant()), asks=True, email=email, error=error)


@blueprint.route("/sign-in/<connection>", methods=["GET", "POST"])
def begin(connection: str) -> ResponseReturnValue:
    """Send the browser to the connection's provider, or ask for the password of its directory here."""
    step = _open(connection)
    if passwords.takes_password(step):
        return _take_password(step) if "password" in request.form else _password_page(step)
    location = _begin(step)
    return lead_to(location) if request.method == "POST" else see_other(location)


@blueprint.get("/sign-in/<connection>/start")
def offer_start(connection: str) -> ResponseReturnValue:
    """Ask whoever came from a provider's app list whether they mean to sign in here.

    Without this: any page could have a visitor's browser sign in, as whoever their provider says, by a
    form that nobody sees (S34).
    """
    step = _open(connection)
    return render_template(
        "sign_in/start.html", connection={"slug": step.connection.slug, "name": step.connection.name}
    )


@blueprint.get("/<kind>/<connection>/callback", endpoint="callback")
def take_answer(kind: str, connection: str) -> ResponseReturnValue:
    """Take a provider's answer out of the query and sign the person in."""
    with _Audited(connection):
        query = first_values(list(request.args.items(multi=True)))
        handle = query.get("state", "")
        return _complete(_open(connection, kind, is_posted=False, handle=handle), handle, query)


@blueprint.post("/<kind>/<connection>/acs", endpoint="acs")
def keep_answer(kind: str, connection: str) -> ResponseReturnValue:
    """Keep a posted answer and have the browser continue where it brings its cookie.

    The post comes from the provider's site and so without our Lax cookie; the GET that follows has it.
    """
    with _Audited(connection):
        form = first_values(list(request.form.items(multi=True)))
        step = _open(connection, kind, is_posted=True, handle=form.get("RelayState", ""))
        if may_start_unasked(step.connection, form):
            return see_other(url_for("sign_in.offer_start", tenant=tenant().slug, connection=connection))
        handle = signing_in.keep_posted_answer(step, form)
    return see_other(
        url_for("sign_in.continue", tenant=tenant().slug, kind=kind, connection=connection, handle=handle)
    )


@blueprint.get("/<kind>/<connection>/continue/<handle>", endpoint="continue")
def take_kept_answer(kind: str, connection: str, handle: str) -> ResponseReturnValue:
    """Sign the person in with the answer that was posted a moment ago."""
    with _Audited(connection):
        return _complete(_open(connection, kind, is_posted=True, handle=handle), handle, {})


@blueprint.get("/<kind>/<connection>/metadata", endpoint="metadata")
def show_metadata(kind: str, connection: str) -> ResponseReturnValue:
    """Describe us to the connection's provider, who wants to know us before anybody signs in."""
    document = signing_in.service_metadata(_open(connection, kind, may_be_off=True))
    if document is None:
        raise Refusal(ErrorCode.NOT_FOUND, "This sign-in has no metadata.", reason="no_metadata")
    response = make_response(document)
    response.headers["Content-Type"] = "application/samlmetadata+xml"
    return response


@blueprint.post("/sign-out", endpoint="sign_out")
def sign_out() -> ResponseReturnValue:
    """End this browser's sessions; with ``resume``, let somebody else answer what waits."""
    who = find_signed_in("person")
    found = [one.session for kind in SESSION_KINDS if (one := find_signed_in(kind))]
    handle = _handle(request.form.get("resume", ""))
    if handle and who:
        secret = find_browser_secret()
        waiting_requests().release(runtime(), tenant(), handle, secret, who.session.id)
    provider_url = leave(who, found, is_led_on=bool(handle))
    if handle:
        return see_other(url_for("sign_in.choose", tenant=tenant().slug, resume=handle))
    return signed_out_page(who, provider_url)


def _begin(step: Signing, login_hint: str = "") -> str:
    secret, resume = ensure_browser_secret(), _handle(_given("resume"))
    proof = waiting_requests().wanted_proof(runtime(), tenant(), resume, secret) if resume else None
    return signing_in.begin(
        step, browser_secret=secret, resume_url=_resume_url(), login_hint=login_hint, proof=proof
    )


def _take_password(step: Signing) -> ResponseReturnValue:
    """Sign the person in, or ask again where it is they who can do something about it."""
    given = first_values(list(request.form.items(multi=True)))
    username = given.get("username", "").strip()
    previous = find_signed_in("person")
    try:
        done = passwords.sign_in(
            step,
            username=username,
            password=given["password"],
            resume_url=_resume_url(),
            previous=previous.session if previous else None,
        )
    except Refusal as refusal:
        if refusal.whose_move is not WhoseMove.YOU:
            raise
        return _password_page(step, username, refusal)
    _welcome(step, done)
    # What waits may end at an agent, somewhere else; a page of ours is reached at once.
    return lead_to(done.resume_url) if _handle(_given("resume")) else see_other(done.resume_url)


def _password_page(step: Signing, username: str = "", refusal: Refusal | None = None) -> ResponseReturnValue:
    """Ask for user name and password; of what was typed, only the user name is shown again."""
    ensure_browser_secret()
    page = render_template(
        "sign_in/password.html",
        connection={"slug": step.connection.slug, "name": step.connection.name},
        username=username[:256],
        problem=refusal.public if refusal else "",
        request_id=step.ctx.request_id,
        **_carried(),
    )
    response = make_response(page, refusal.status if refusal else 200)
    if isinstance(refusal, TooManyAttempts):
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


def _open(slug: str, kind: str = "", **where: Any) -> Signing:
    return open_signing(runtime(), connectors(), tenant(), slug, call_context(), kind=kind, **where)


def _complete(step: Signing, handle: str, query: dict[str, str]) -> Response:
    flow = signing_in.take(step, handle, find_browser_secret())
    if flow.test_id:
        finish_test(step, flow, query, presets())
        return see_other(flow.resume_url)
    previous = find_signed_in("person")
    done = signing_in.complete(step, flow, query=query, previous=previous.session if previous else None)
    _welcome(step, done)
    return see_other(done.resume_url)


def _welcome(step: Signing, done: SignedInPerson) -> None:
    give_session("person", done.secret)
    give_cookie(last_connection_cookie_name(runtime().settings, tenant().slug), step.connection.id, _YEAR)


def _resume_url() -> str:
    """Return where a sign-in ends: the waiting request, a page of ours, or the person's agents.

    The address stays on the server. Without this: RelayState or ``next`` would be an open redirect (W08).
    """
    slug = tenant().slug
    resume, target = _handle(_given("resume")), _given("next")
    if resume:
        return f"/t/{slug}/authorize?resume={resume}"
    return target if is_own_path(target, slug) else f"/t/{slug}/me/agents"


def _given(name: str) -> str:
    return request.values.get(name, "")


def _handle(text: str) -> str:
    return text if HANDLE.fullmatch(text) else ""


def _choice(
    offered: tuple[ConnectionView, ...], *, asks: bool, email: str = "", error: str = ""
) -> ResponseReturnValue:
    name = last_connection_cookie_name(runtime().settings, tenant().slug)
    last = find_cookie(request.headers.get("Cookie", ""), name)
    page = render_template(
        "sign_in/choose.html",
        ask_email=asks,
        email=email,
        field_error=error,
        connections=[
            {
                "slug": one.slug,
                "name": one.name,
                "kind_words": home_realm.kind_words(one),
                "is_last_used": one.id == last,
            }
            for one in offered
        ],
        may_ask_password=any(
            isinstance(connectors().get(one.kind), SignsInByPassword)
            for one in tenant().connections.values()
            if one.is_active
        ),
        **_carried(),
    )
    return make_response(page, 400 if error else 200)


def _carried() -> dict[str, str]:
    """Return what a page of this journey carries on: what waits, whom it is for, and where to go after."""
    resume, target = _handle(_given("resume")), _given("next")
    acting_for = ""
    if resume:
        acting_for = waiting_requests().agent_name(runtime(), tenant(), resume, find_browser_secret())
    return {
        "acting_for": acting_for,
        "resume": resume,
        "next": target if is_own_path(target, tenant().slug) else "",
    }


class _Audited:
    """Writes refusals of a provider's answer into the event log; the refusal then goes its way."""

    def __init__(self, connection: str) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Refusal):
            record_refusal(runtime(), tenant(), call_context(), self._connection, error)
