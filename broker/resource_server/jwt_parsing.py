"""Reading a compact JWT strictly, before any key is looked at."""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from broker.resource_server.issuer_keys import ALGORITHMS
from broker.resource_server.refusals import invalid_token

MAX_TOKEN_BYTES = 16 * 1024
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_TYPES = frozenset({"at+jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """The header facts and claims of a token whose signature nobody has checked yet."""

    text: str
    algorithm: str
    kid: str
    claims: dict[str, Any]


def parse_access_token(text: str) -> ParsedToken:
    """Split and decode an access token (RFC 9068 §2.1). Raises TokenRefused (invalid_token)."""
    # Without this: a header of many megabytes would be decoded before anything is known about its sender.
    if len(text) > MAX_TOKEN_BYTES:
        raise invalid_token("too_large", "The token is too large.")
    if not _COMPACT.fullmatch(text):
        raise invalid_token("not_a_jwt", "The token is not a signed JWT.")
    head, payload, _ = text.split(".")
    header, claims = decode_object(head), decode_object(payload)
    _check_header(header)
    return ParsedToken(text, header["alg"], header["kid"], claims)


def _check_header(header: dict[str, Any]) -> None:
    # Without this: an ID token, a logout token or a client assertion of the same issuer would pass as an
    # access token, because all of them carry the same signature (RFC 8725 §3.11).
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise invalid_token("wrong_typ", "The token is not an access token.")
    # Without this: "none", or HS256 with our public key as the secret, would verify.
    if header.get("alg") not in ALGORITHMS:
        raise invalid_token("wrong_alg", "The token's signature algorithm is not accepted.")
    if "crit" in header or "b64" in header:
        raise invalid_token("unknown_critical_header", "The token uses a header that is not understood.")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= 200:
        raise invalid_token("no_kid", "The token does not name its key.")


def decode_object(segment: str) -> dict[str, Any]:
    """The JSON object of one segment of a JWT. Raises TokenRefused (invalid_token)."""
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        value = json.loads(raw, object_pairs_hook=unique_members, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid_token("not_a_jwt", "The token is not a signed JWT.") from error
    if not isinstance(value, dict):
        raise invalid_token("not_a_jwt", "The token is not a signed JWT.")
    return value


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no name occurs twice. Raises ValueError.

    Without this: two parsers could read two different values from the same signed text.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
