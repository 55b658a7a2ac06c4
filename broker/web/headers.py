"""Security headers on every answer, and what may be cached: static files and what says so itself."""

from typing import Any

from flask import Flask, Response, request

from broker.kernel.settings import Settings
from broker.web.security_headers import YEAR_SECONDS, security_headers

_STATIC = frozenset({"static", "bootstrap.static"})


def install_headers(app: Flask, settings: Settings, *, release: str) -> None:
    """Put the headers on every answer of ``app``; ``release`` names the set of static files in their URLs."""
    always = security_headers(settings)

    @app.url_defaults
    def name_release(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint in _STATIC:
            values.setdefault("v", release)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in always:
            response.headers.setdefault(name, value)
        if request.endpoint in _STATIC and response.status_code < 400:
            is_versioned = request.args.get("v") == release
            age = f"max-age={YEAR_SECONDS}, immutable" if is_versioned else "max-age=300"
            response.headers["Cache-Control"] = f"public, {age}"
        elif "Cache-Control" not in response.headers:
            # Without this: a shared cache could hand one person's page or cookie to another.
            response.headers["Cache-Control"] = "no-store"
            response.vary.add("Cookie")
        return response
