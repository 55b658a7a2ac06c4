"""Security headers on every answer, and what may be cached: static files and what says so itself."""

from typing import Any

from flask import Flask, Response, request

from broker.kernel.settings import Settings

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        # Nothing leaves by a form: pages that lead elsewhere after a form do so by `onward.lead_to`.
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""The content security policy of every page; no page needs an inline script or style."""

_STATIC = frozenset({"static", "bootstrap.static"})
_YEAR = 31_536_000


def security_headers(settings: Settings) -> list[tuple[str, str]]:
    """Return the headers that every answer of the broker carries, also those of the short lane."""
    headers = [
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    ]
    if settings.is_https:
        headers.append(("Strict-Transport-Security", f"max-age={_YEAR}; includeSubDomains"))
    return headers


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
            age = f"max-age={_YEAR}, immutable" if is_versioned else "max-age=300"
            response.headers["Cache-Control"] = f"public, {age}"
        elif "Cache-Control" not in response.headers:
            # Without this: a shared cache could hand one person's page or cookie to another.
            response.headers["Cache-Control"] = "no-store"
            response.vary.add("Cookie")
        return response
