"""Which addresses a client may be sent back to: checked once, at registration; later compared exactly."""

import re
from urllib.parse import unquote, urlsplit

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})

RESPONSE_PARAMETERS = frozenset(
    {
        "code",
        "state",
        "iss",
        "error",
        "error_description",
        "error_uri",
        "response",
        "id_token",
        "access_token",
    }
)
"""Parameters that an authorization response carries; a redirect URI must not bring its own."""

_MAX_CHARS = 2000
_ALLOWED = re.compile(r"[A-Za-z0-9\-._~:/?\[\]!$&'()+,;=%]+")
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def check_redirect_uri(uri: str, application_type: str) -> None:
    """Accept https addresses, and http on loopback for native apps (RFC 8252 §7.3); refuse all else.

    Raises ``Refusal(bad_configuration)`` whose reason is ``bad_redirect_uri``.
    """
    # Without this: characters that parsers read differently (backslash, tab, @, #, *) or another
    # alphabet would send a code to a host that nobody meant (O23).
    if len(uri) > _MAX_CHARS or not _ALLOWED.fullmatch(uri) or _PERCENT.search(uri):
        raise _refuse(uri, "holds a character that does not belong in it")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise _refuse(uri, "cannot be read") from None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    _check_place(uri, parts.scheme, host, port, application_type)
    _check_path(uri, parts.path)
    _check_query(uri, parts.query)


def without_loopback_port(uri: str) -> str:
    """Return a checked address without its port if it is on loopback, where any port will do."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    if parts.scheme != "http" or host not in LOOPBACK_HOSTS:
        return uri
    return parts._replace(netloc=host).geturl()


def _check_place(uri: str, scheme: str, host: str, port: int | None, application_type: str) -> None:
    # Without this: javascript:, data: or an app's own scheme would receive the code (O25).
    if scheme not in {"https", "http"} or not uri.startswith(f"{scheme}://"):
        raise _refuse(uri, "must begin with https://, or http:// on loopback")
    if host != "[::1]" and not _HOST.fullmatch(host):
        raise _refuse(uri, "needs a plain host name in lower case")
    # Without this: http://localhost.evil or a public http address would see the code in clear (O24).
    if scheme == "http" and (application_type != "native" or host not in LOOPBACK_HOSTS):
        raise _refuse(uri, "may use http only on loopback, and only for a native application")
    if port == {"https": 443, "http": 80}[scheme]:
        raise _refuse(uri, "must not spell out the default port")


def _check_path(uri: str, path: str) -> None:
    decoded = unquote(unquote(path))
    steps = re.split(r"[/\\]", decoded)
    # Without this: /callback/..;/open lands elsewhere on servers that resolve it (O23).
    if any(step.split(";")[0] in {".", ".."} for step in steps) or "\\" in decoded:
        raise _refuse(uri, "must not climb in its path")


def _check_query(uri: str, query: str) -> None:
    # Without this: a parameter of the answer could be set by whoever registered the address (O26).
    for pair in re.split(r"[&;]", query):
        name = unquote(unquote(pair.partition("=")[0])).strip()
        if name in RESPONSE_PARAMETERS:
            raise _refuse(uri, f"must not carry the response parameter {name!r}")


def _refuse(uri: str, why: str) -> Refusal:
    return Refusal(
        ErrorCode.BAD_CONFIGURATION,
        f"The redirect URI {uri[:200]!r} {why}.",
        reason="bad_redirect_uri",
        whose_move=WhoseMove.DEVELOPER,
    )
