"""Names and values of our cookies; a browser that sends garbage or a cookie twice is anonymous.

Plain functions, so that Flask views and the short lane read cookies alike.
"""

import re
from typing import Literal

from broker.kernel.settings import Settings

SessionKind = Literal["person", "admin"]
SESSION_KINDS: tuple[SessionKind, ...] = ("person", "admin")

FLOW_SECONDS = 3600
"""How long the cookie that ties a flow to its browser lives after its last use."""

_LETTER: dict[SessionKind, str] = {"person": "s", "admin": "a"}
_VALUE = re.compile(r"[A-Za-z0-9_-]{20,128}")
_MAX_HEADER = 16_384


def session_cookie_name(settings: Settings, slug: str, kind: SessionKind = "person") -> str:
    """Return the name of a tenant's session cookie; ``__Host-`` wherever https makes that possible.

    Without the prefix: a neighbouring subdomain could plant a session of its own choice.
    """
    return f"{_prefix(settings)}{_LETTER[kind]}-{slug}"


def flow_cookie_name(settings: Settings, slug: str) -> str:
    """Return the name of the cookie that ties sign-ins and authorization requests to one browser."""
    return f"{_prefix(settings)}f-{slug}"


def last_connection_cookie_name(settings: Settings, slug: str) -> str:
    """Return the name of the cookie that remembers which connection this browser used last; only a hint."""
    return f"{_prefix(settings)}l-{slug}"


def form_cookie_name(settings: Settings) -> str:
    """Return the name of the cookie that the tokens in our forms depend on."""
    return f"{_prefix(settings)}c"


def find_cookie(header: str, name: str) -> str | None:
    """Return the value of the one well-formed cookie ``name`` in a Cookie header, or None.

    A cookie sent twice, a value that we never make, and a header larger than any honest one count as no
    cookie. Without this: whoever can add a second cookie would choose which one is read (CVE-2026-25748).
    """
    if not header or len(header) > _MAX_HEADER:
        return None
    pairs = (part.strip().partition("=") for part in header.split(";"))
    values = [value for key, _, value in pairs if key == name]
    return values[0] if len(values) == 1 and _VALUE.fullmatch(values[0]) else None


def read_browser_secret(cookie_header: str, settings: Settings, slug: str) -> str | None:
    """Return the secret of the browser's flow cookie at this tenant, or None."""
    return find_cookie(cookie_header, flow_cookie_name(settings, slug))


def browser_secret_header(settings: Settings, slug: str, secret: str) -> tuple[str, str]:
    """Return the Set-Cookie header that gives a browser its flow secret, for answers without Flask."""
    return ("Set-Cookie", set_cookie(settings, flow_cookie_name(settings, slug), secret, FLOW_SECONDS))


def set_cookie(settings: Settings, name: str, value: str, max_age: int) -> str:
    """Return the value of a Set-Cookie header: whole host, HttpOnly, Lax, Secure over https (seconds)."""
    secure = "; Secure" if settings.is_https else ""
    return f"{name}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite=Lax{secure}"


def _prefix(settings: Settings) -> str:
    return "__Host-" if settings.is_https else ""
