"""Asks the Google Directory API for a person's groups and, group by group, for the groups of those.

A service account acts in the name of an administrator (domain-wide delegation). Both addresses are
constants: what the key file says about where to go is not read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

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

SOURCE = "directory_api"
API_HOST, TOKEN_HOST = "admin.googleapis.com", "oauth2.googleapis.com"
TOKEN_URL = f"https://{TOKEN_HOST}/token"
SCOPE = "https://www.googleapis.com/auth/admin.directory.group.readonly"
MAX_DEPTH = 10
ASSERTION_SECONDS = 300


@dataclass(frozen=True, slots=True)
class GoogleAccess:
    """A service account's key file and the administrator in whose name it asks."""

    key_file: str = field(repr=False)
    admin: str
    kind: Literal["id", "email"]


class GoogleDirectoryLookup:
    """Tells the groups of people of one Google Workspace, nested ones included."""

    def __init__(self, access: GoogleAccess, pace: Pace) -> None:
        self._access = access
        self._pace = pace

    def lookup(self, key: str, deps: Deps, *, by: Literal["subject", "username"] = "subject") -> GroupAnswer:
        """Return the groups of the account id or address `key`; a failure is state "error"."""

        def work(gathered: Gathered) -> None:
            self._read(_require_key(key, by), deps, gathered)

        return gather(SOURCE, deps, work)

    def _read(self, person: str, deps: Deps, gathered: Gathered) -> None:
        access = self._access
        calls = Calls(
            deps, (API_HOST, TOKEN_HOST), name_credential(SOURCE, access.admin, access.key_file), self._pace
        )
        token = calls.get_token(TOKEN_URL, lambda: _delegation(access, deps.now))
        level, asked = [person], {person}
        for _ in range(MAX_DEPTH):
            parents: list[str] = []
            for member in level:
                for group in _groups_of(member, calls, token, is_person=member is person):
                    address = str(group["email"])
                    gathered.add(Group(access.kind, str(group[access.kind]), display_of(group.get("name"))))
                    if address not in asked:
                        asked.add(address)
                        parents.append(address)
            level = parents
            if not level:
                return
        raise LookupFailed(f"The groups are nested in more than {MAX_DEPTH} levels.", is_cut=True)


def _groups_of(member: str, calls: Calls, token: str, *, is_person: bool) -> list[dict[str, Any]]:
    """Return the groups that `member` (an account, or a group by its address) is directly in."""
    found: list[dict[str, Any]] = []
    page, pages = "", {""}
    while True:
        query = {"userKey": member, "maxResults": "200", **({"pageToken": page} if page else {})}
        reply = calls.get(f"https://{API_HOST}/admin/directory/v1/groups?{urlencode(query)}", token)
        if reply.status == 404 and is_person:
            raise PersonUnknown
        if reply.status != 200:
            raise LookupFailed(_explain(reply))
        # The member is left out, not empty, where somebody is in no group.
        listed = reply.member("groups") if reply.member("groups") is not None else []
        if not isinstance(reply.body, dict) or not isinstance(listed, list):
            raise LookupFailed("The Directory API sent something unreadable.")
        for group in listed:
            if not isinstance(group, dict) or not all(
                isinstance(group.get(name), str) for name in ("id", "email")
            ):
                raise LookupFailed("The Directory API named a group in an unusable way.")
            found.append(group)
        page = reply.member("nextPageToken") or ""
        if not page:
            return found
        # Without this: pages in a circle never end.
        if not isinstance(page, str) or page in pages:
            raise LookupFailed("The Directory API pointed to a page that it had sent already.")
        pages.add(page)


def _delegation(access: GoogleAccess, now: int) -> Mapping[str, str]:
    """Return the token request of the service account for its administrator (RFC 7523 section 2.1)."""
    try:
        file = json.loads(access.key_file)
        key = RSAKey.import_key(file["private_key"])
        claims = {
            "iss": file["client_email"],
            "sub": access.admin,
            "scope": SCOPE,
            "aud": TOKEN_URL,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        header = {"alg": "RS256", "kid": file["private_key_id"]}
        assertion = jwt.encode(header, claims, key, algorithms=["RS256"])
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        # The text of the error may repeat the key.
        raise LookupFailed(f"The service account's key cannot be used: {type(error).__name__}.") from None
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}


def _require_key(key: str, by: str) -> str:
    if by == "username":
        return require_username(key)
    # The account id is all digits; an address here could have been given to somebody else since.
    if not key.isascii() or not key.isdigit() or len(key) > 64:
        raise LookupFailed("The stable identifier is not a Google account id.")
    return key


def _explain(reply: Reply) -> str:
    error = reply.member("error")
    message = error.get("message") if isinstance(error, dict) else None
    if reply.status == 403:
        return (
            f"The Directory API refused ({message!r:.120}): check the scopes of the domain-wide delegation, "
            "letter by letter, and that the administrator may read groups."
        )
    return f"The Directory API answered {reply.status} ({message!r:.120})."
