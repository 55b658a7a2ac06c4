"""Forged forms are refused: Flask-WTF's token, tied to the browser's session, and the request's origin."""

import hmac
from urllib.parse import urlsplit

from flask import Blueprint, Flask, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask.wrappers import Request, Response
from flask_wtf.csrf import CSRFProtect

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_secret
from broker.kernel.runtime import Runtime
from broker.kernel.settings import Settings
from broker.web.cookies import SESSION_KINDS, find_cookie, form_cookie_name, session_cookie_name
from broker.web.current import runtime, slug_in

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN = "csrf_token"  # noqa: S105 (the name of a field)
_SEED = "seed"
_EXEMPT = "foreign_posts"
_FORM_SECONDS = 36_000


def install_forms(app: Flask, rt: Runtime) -> CSRFProtect:
    """Protect every unsafe method of ``app`` that is not exempted by name; returns the protection."""
    app.config.update(
        # Forms outlive no key change: the key follows the sealing key, equal in every worker.
        SECRET_KEY=rt.sealer.fingerprint("form-cookie", "1"),
        SESSION_COOKIE_NAME=form_cookie_name(rt.settings),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=rt.settings.is_https,
        SESSION_COOKIE_PATH="/",
        WTF_CSRF_TIME_LIMIT=_FORM_SECONDS,
        # Our Referrer-Policy withholds the Referer that this would look for; we check the origin below.
        WTF_CSRF_SSL_STRICT=False,
    )
    app.session_interface = _FormCookie()
    protection = CSRFProtect()
    app.extensions[_EXEMPT] = set()

    @app.before_request
    def refuse_foreign_origin() -> None:
        if request.method not in _SAFE and request.endpoint and not _is_exempt(app):
            require_own_origin(rt.settings)

    protection.init_app(app)
    return protection


def accept_foreign_posts(app: Flask, protection: CSRFProtect, blueprint: Blueprint) -> None:
    """Exempt a protocol blueprint: programs call it, and it proves its callers in another way."""
    protection.exempt(blueprint)
    app.extensions[_EXEMPT].add(blueprint.name)


def accept_foreign_posts_at(app: Flask, protection: CSRFProtect, endpoint: str) -> None:
    """Exempt one endpoint, to which pages of other sites post by design and which proves what they bring."""
    protection.exempt(app.view_functions[endpoint])
    app.extensions[_EXEMPT].add(endpoint)


def _is_exempt(app: Flask) -> bool:
    exempt: set[str] = app.extensions[_EXEMPT]
    return request.endpoint in exempt or request.blueprint in exempt


def require_own_origin(settings: Settings) -> None:
    """Refuse an unsafe request that a page of another site started; raises ``Refusal(bad_form)``.

    The token in the form is what decides; this is a second lock. A browser withholds its origin where
    our own policy is ``no-referrer`` (it sends ``null``), so its word on the site comes first.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin", "null")
    # Without this: a token that leaked into another site's hands could be used from there.
    if site not in {"same-origin", "none"} or origin not in {"null", _origin(settings)}:
        raise Refusal(
            ErrorCode.BAD_FORM,
            "This form was sent from another site. Nothing was changed.",
            reason="foreign_origin",
            detail=f"site {site[:20]!r}",
            whose_move=WhoseMove.YOU,
        )


def _origin(settings: Settings) -> str:
    url = urlsplit(settings.public_url)
    return f"{url.scheme}://{url.netloc}"


class _FormCookie(SecureCookieSessionInterface):
    """A signed cookie that holds a random seed; the token of a form follows from it and who is signed in.

    Without this: a token fetched before a sign-in, or by another person in the same browser, would
    still be good afterwards.
    """

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        session = super().open_session(app, request)
        if session is not None:
            seed = session.get(_SEED)
            if not isinstance(seed, str):
                seed = g.new_form_seed = new_secret()
            session[_TOKEN] = _token(seed, request)
            session.modified = session.accessed = False
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        was_modified = session.modified
        session.pop(_TOKEN, None)
        session.modified = was_modified
        # The seed is kept only where a form depends on it, so that plain answers set no cookie.
        if "new_form_seed" in g and _TOKEN in g:
            session[_SEED] = g.new_form_seed
        super().save_session(app, session, response)


def _token(seed: str, request: Request) -> str:
    settings, slug = runtime().settings, slug_in(request.path)
    cookies = request.headers.get("Cookie", "")
    holders = [
        find_cookie(cookies, session_cookie_name(settings, slug, kind)) or "" for kind in SESSION_KINDS
    ]
    return hmac.new(seed.encode(), "\0".join([slug, *holders]).encode(), "sha256").hexdigest()
