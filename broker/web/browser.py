"""The browser at hand: its flow secret, and the cookies that this answer gives it."""

from flask import Flask, Response, g, request

from broker.kernel.ids import new_secret
from broker.web.cookies import FLOW_SECONDS, flow_cookie_name, read_browser_secret, set_cookie
from broker.web.current import runtime, tenant


def find_browser_secret() -> str | None:
    """Return the secret that this browser already brought for the tenant, or None."""
    return read_browser_secret(request.headers.get("Cookie", ""), runtime().settings, tenant().slug)


def ensure_browser_secret() -> str:
    """Return the browser's flow secret for the tenant, made now if need be; the answer sets its cookie."""
    if "browser_secret" not in g:
        g.browser_secret = find_browser_secret() or new_secret()
        give_cookie(flow_cookie_name(runtime().settings, tenant().slug), g.browser_secret, FLOW_SECONDS)
    return str(g.browser_secret)


def give_cookie(name: str, value: str, max_age: int) -> None:
    """Have this request's answer set a cookie; the last value given under a name wins (seconds)."""
    g.setdefault("given_cookies", {})[name] = (value, max_age)


def take_cookie_back(name: str) -> None:
    """Have this request's answer delete a cookie."""
    give_cookie(name, "", 0)


def install_cookies(app: Flask) -> None:
    """Make answers of ``app`` carry the cookies that were given while the request ran."""

    @app.after_request
    def add_cookies(response: Response) -> Response:
        for name, (value, max_age) in g.get("given_cookies", {}).items():
            response.headers.add("Set-Cookie", set_cookie(runtime().settings, name, value, max_age))
        return response
