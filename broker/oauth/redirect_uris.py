"""Where an authorization response may go: exactly where the client registered, in an address we can trust."""

from urllib.parse import urlencode, urlsplit

from broker.agents.snapshot import ClientView

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_registered(client: ClientView, redirect_uri: str) -> bool:
    """Say whether ``redirect_uri`` is one of the client's, compared as a string (RFC 9700 §4.1.3).

    Only a native app's loopback address may differ, in the port alone (RFC 8252 §7.3); the same goes for
    ``localhost``, which the published documents of MCP clients name. Without this: a prefix, another path
    or another spelling would send the code to somebody else.
    """
    if redirect_uri in client.redirect_uris:
        return True
    if client.application_type != "native" or not is_loopback(redirect_uri):
        return False
    without_port = _without_port(redirect_uri)
    return any(
        is_loopback(registered) and _without_port(registered) == without_port
        for registered in client.redirect_uris
    )


def is_loopback(uri: str) -> bool:
    """Whether an address is on the person's own computer, by number or by the name localhost (RFC 8252 §8.3).

    Parsed, never searched: ``http://127.0.0.1:80@evil`` and ``http://localhost.evil`` are not loopback.
    """
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return False
    return (
        parts.scheme == "http"
        and parts.hostname in _LOOPBACK
        and "@" not in parts.netloc
        and not parts.fragment
        and uri.isascii()
        and uri.isprintable()
        and "\\" not in uri
    )


def _without_port(uri: str) -> tuple[str, str, str]:
    parts = urlsplit(uri)
    return parts.hostname or "", parts.path, parts.query


def response_url(redirect_uri: str, params: dict[str, str]) -> str:
    """Return the redirect URI with the response's parameters; empty ones are left out."""
    query = urlencode({name: value for name, value in params.items() if value})
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{query}"
