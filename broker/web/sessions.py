"""Who is signed in: Flask-Login over our own stored sessions; the cookie is a secret and nothing else.

Flask-Login's session and remember-me cookies are not used: a signed user id cannot be revoked.
"""

from dataclasses import dataclass
from urllib.parse import quote

from flask import Flask, g, request
from flask.typing import ResponseReturnValue
from flask_login import LoginManager
from flask_login.utils import current_user

from broker.directory import people
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.tokens.sessions import BrowserSessionView, find_session, touch_session
from broker.web.browser import give_cookie, take_cookie_back
from broker.web.cookies import SESSION_KINDS, SessionKind, find_cookie, session_cookie_name
from broker.web.current import call_context, runtime, shown_tenant, tenant, tenant_slug
from broker.web.drawing import initials
from broker.web.onward import is_own_path, see_other

ADMIN_BLUEPRINT = "admin"
"""Its pages are opened by an administrator's session; without one, by the person's."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A live session and whose it is; an administrator who came by a setup link has no ``user_id``."""

    session: BrowserSessionView
    display_name: str
    email: str

    is_authenticated = True
    is_active = True
    is_anonymous = False

    @property
    def user_id(self) -> str | None:
        """The person's id, or None for an administrator by setup link."""
        return self.session.user_id

    @property
    def initials(self) -> str:
        """One or two letters for the person's shape."""
        return initials(self.display_name)

    def get_id(self) -> str:
        """Return the session's id, never the person's: ending the session must end the sign-in."""
        return self.session.id


def install_sessions(app: Flask) -> None:
    """Let Flask-Login find who is signed in by our cookies, per tenant."""
    # A cookie of this name would keep Flask-Login from asking us, so it is one that nothing sets.
    app.config["REMEMBER_COOKIE_NAME"] = "__Host-never"
    manager = LoginManager(app)
    manager.session_protection = None

    @manager.request_loader
    def load(_request: object) -> SignedIn | None:
        if request.blueprint == ADMIN_BLUEPRINT:
            return find_signed_in("admin") or find_signed_in("person")
        return find_signed_in("person")

    @manager.unauthorized_handler
    def send_to_sign_in() -> ResponseReturnValue:
        return see_other(sign_in_path(request.full_path.rstrip("?") if request.method == "GET" else ""))


def find_signed_in(kind: SessionKind) -> SignedIn | None:
    """Return the live session of that kind at the URL's tenant, or None; asked once per request."""
    found: dict[SessionKind, SignedIn | None] = g.setdefault("signed_in", {})
    if kind not in found:
        found[kind] = _look_up(kind)
    return found[kind]


def person() -> SignedIn:
    """Return the signed-in person; raises ``Refusal(forbidden)``. For views behind ``login_required``."""
    found = find_signed_in("person")
    if found is None or found.user_id is None:
        raise Refusal(
            ErrorCode.FORBIDDEN, "Please sign in first.", reason="not_signed_in", whose_move=WhoseMove.YOU
        )
    return found


def find_person() -> BrowserSessionView | None:
    """Return the live session of the person in this browser, or None; for endpoint functions."""
    found = find_signed_in("person")
    return found.session if found and found.user_id else None


def signed_in() -> SignedIn | None:
    """Return who this request's page is for, or None."""
    who: SignedIn | None = current_user if current_user.is_authenticated else None
    return who


def give_session(kind: SessionKind, secret: str) -> None:
    """Have this answer put a new session's secret into the browser's cookie for the tenant."""
    settings = runtime().settings
    give_cookie(session_cookie_name(settings, tenant().slug, kind), secret, settings.session_absolute_seconds)
    g.pop("signed_in", None)


def take_sessions_back() -> None:
    """Have this answer delete the tenant's session cookies of every kind."""
    for kind in SESSION_KINDS:
        take_cookie_back(session_cookie_name(runtime().settings, tenant().slug, kind))
    g.pop("signed_in", None)


def sign_in_path(next_path: str = "") -> str:
    """Return the path of the tenant's sign-in, which leads back to ``next_path`` if that is ours."""
    slug = tenant().slug
    # Without this: a link into our pages could carry somebody on to any address after the sign-in.
    if not is_own_path(next_path, slug):
        return f"/t/{slug}/sign-in"
    return f"/t/{slug}/sign-in?next={quote(next_path, safe='/')}"


def _look_up(kind: SessionKind) -> SignedIn | None:
    rt, home = runtime(), shown_tenant()
    name = session_cookie_name(rt.settings, tenant_slug(), kind)
    secret = find_cookie(request.headers.get("Cookie", ""), name)
    if home is None or secret is None:
        return None
    now = call_context().now
    session = find_session(rt, home.id, secret, now)
    # Without this: a person's secret in the administrator's cookie would open the administration.
    if session is None or session.kind != kind:
        return None
    touch_session(rt, home.id, session, now)
    if session.user_id is None:
        return SignedIn(session, "Administrator", "")
    with rt.database.read(home.id) as rows:
        who = people.find_person(rows, home.id, session.user_id)
    return SignedIn(session, who.display_name, who.email or "") if who else None
