"""Asks the Okta Management API for a person's groups, which have no nesting there.

The organisation's host comes from the connection's issuer; next pages are taken from that host only.
"""

import json
import re
import secrets as random_secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from idp_connectors.base import Deps, Group, GroupAnswer
from idp_connectors.groups.calls import Calls, Pace, Reply, name_credential
from idp_connectors.groups.gathering import (
    Gathered,
    LookupFailed,
    PersonUnknown,
    display_of,
    gather,
    require_username,
)

SOURCE = "okta_api"
SCOPES = "okta.groups.read okta.users.read"
PAGE_SIZE = 200
ASSERTION_SECONDS = 300

_USER_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_NEXT = re.compile(r'<([^<>\s"]{1,2000})>\s*;\s*rel="next"')


@dataclass(frozen=True, slots=True)
class OktaAccess:
    """The API service application of one organisation, which proves itself by a private key."""

    host: str
    client_id: str
    private_key: str = field(repr=False)
    kind: Literal["id", "name"]


class OktaApiLookup:
    """Tells the groups of people of one Okta organisation."""

    def __init__(self, access: OktaAccess, pace: Pace) -> None:
        self._access = access
        self._pace = pace

    def lookup(self, key: str, deps: Deps, *, by: Literal["subject", "username"] = "subject") -> GroupAnswer:
        """Return the groups of the user id or login `key`; a failure is state "error"."""

        def work(gathered: Gathered) -> None:
            self._read(_require_key(key, by), deps, gathered)

        return gather(SOURCE, deps, work)

    def _read(self, person: str, deps: Deps, gathered: Gathered) -> None:
        access = self._access
        who = name_credential(SOURCE, access.host, access.client_id, access.private_key)
        calls = Calls(deps, (access.host,), who, self._pace)
        token_url = f"https://{access.host}/oauth2/v1/token"
        token = calls.get_token(token_url, lambda: _credentials(access, token_url, deps.now))
        url = f"https://{access.host}/api/v1/users/{quote(person, safe='@')}/groups?limit={PAGE_SIZE}"
        seen: set[str] = set()
        while url:
            seen.add(url)
            reply = calls.get(url, token)
            self._take_page(reply, gathered)
            url = _next_page(reply, access.host, seen)

    def _take_page(self, reply: Reply, gathered: Gathered) -> None:
        if reply.status == 404:
            raise PersonUnknown
        if reply.status != 200:
            raise LookupFailed(_explain(reply))
        if not isinstance(reply.body, list):
            raise LookupFailed("The Okta API sent something unreadable.")
        for entry in reply.body:
            profile = entry.get("profile") if isinstance(entry, dict) else None
            found = entry.get("id") if isinstance(entry, dict) else None
            name = profile.get("name") if isinstance(profile, dict) else None
            if not isinstance(found, str) or not isinstance(name, str):
                raise LookupFailed("The Okta API named a group in an unusable way.")
            if self._access.kind == "id":
                gathered.add(Group("id", found, display_of(name)))
            else:
                gathered.add(Group("name", name))


def _next_page(reply: Reply, host: str, seen: Collection[str]) -> str:
    """Return the address of the next page (RFC 8288), "" if this was the last one."""
    found = _NEXT.search(reply.headers.get("link", ""))
    if found is None:
        return ""
    url = found.group(1)
    # Without this: a link to another host is sent the token, and one in a circle never ends.
    if not url.startswith(f"https://{host}/api/v1/users/") or url in seen:
        raise LookupFailed("The Okta API pointed to a next page that is not its own.")
    return url


def _credentials(access: OktaAccess, token_url: str, now: int) -> Mapping[str, str]:
    """Return the token request with a client assertion (RFC 7523 section 2.2)."""
    try:
        is_jwk = access.private_key.lstrip().startswith("{")
        key = RSAKey.import_key(json.loads(access.private_key) if is_jwk else access.private_key)
        claims = {
            "iss": access.client_id,
            "sub": access.client_id,
            "aud": token_url,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
            "jti": random_secrets.token_urlsafe(24),
        }
        header = {"alg": "RS256", **({"kid": key.kid} if key.kid else {})}
        assertion = jwt.encode(header, claims, key, algorithms=["RS256"])
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        # The text of the error may repeat the key.
        raise LookupFailed(f"The API service's key cannot be used: {type(error).__name__}.") from None
    return {
        "grant_type": "client_credentials",
        "scope": SCOPES,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }


def _require_key(key: str, by: str) -> str:
    if by == "username":
        return require_username(key)
    if not _USER_ID.fullmatch(key):
        raise LookupFailed("The stable identifier is not an Okta user id.")
    return key


def _explain(reply: Reply) -> str:
    code = reply.member("errorCode")
    if reply.status == 403:
        return (
            f"The Okta API refused ({code!r:.80}): grant okta.groups.read and okta.users.read to the API "
            "service and give it an administrator role that may view groups."
        )
    return f"The Okta API answered {reply.status} ({code!r:.80})."
