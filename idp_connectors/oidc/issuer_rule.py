"""Which `iss` a connection accepts: exactly its issuer, with two named exceptions and no others.

Microsoft Entra writes `{tenantid}` where each directory's id belongs; Google spells its issuer in two ways.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from idp_connectors.errors import ConnectorError, ConnectorErrorCode

TENANT_MARK = "{tenantid}"
"""What Entra's discovery document writes for the directory of a multi-tenant application, literally."""
CONSUMER_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The directory of everybody's private Microsoft accounts: nobody administers it, so nobody vouches."""
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_OTHER_SPELLINGS: Mapping[str, frozenset[str]] = {
    "https://accounts.google.com": frozenset({"accounts.google.com"}),
}


def discovery_address(issuer: str, discovery_url: str = "") -> str:
    """Return where the discovery document of `issuer` is, unless the connection names another place."""
    if discovery_url:
        return discovery_url
    return issuer.replace(TENANT_MARK, "organizations").rstrip("/") + "/.well-known/openid-configuration"


def read_issuer(claims: Mapping[str, Any], issuer: str, tenant_ids: Collection[str]) -> str:
    """Return the issuer of these claims in its one canonical spelling; raises ConnectorError.

    With `tenant_ids` the token must come from one of these Entra directories, by `tid` and `iss` alike.
    """
    found, tenant = claims.get("iss"), claims.get("tid")
    # Without this: the same Microsoft keys sign for every directory, so that anybody who makes one signs in
    # here as whoever they like (the valid signature of a foreign tenant).
    if tenant_ids and (not isinstance(tenant, str) or tenant not in tenant_ids):
        raise _mismatch("tid", f"tid {tenant!r:.80} is not one of this connection's directories")
    if TENANT_MARK in issuer:
        if not isinstance(tenant, str) or not GUID.fullmatch(tenant) or not tenant_ids:
            raise _mismatch("tid", f"tid {tenant!r:.80} is not a directory id")
        expected = issuer.replace(TENANT_MARK, tenant)
    else:
        expected = issuer
    if found == expected or (isinstance(found, str) and found in _OTHER_SPELLINGS.get(expected, ())):
        return expected
    raise _mismatch("iss", f"expected {expected!r}, found {found!r:.200}")


def is_answers_issuer(found: str | None, issuer: str, tenant_ids: Collection[str]) -> bool:
    """Return whether the `iss` of an authorization answer (RFC 9207) names this connection's provider."""
    if TENANT_MARK in issuer:
        return any(found == issuer.replace(TENANT_MARK, tenant) for tenant in tenant_ids)
    return found == issuer


def is_key_of(key_issuer: str, issuer: str, canonical: str) -> bool:
    """Return whether a published key may sign for `canonical`, a tenant of the template `issuer`.

    A fixed issuer has a key set of its own. Behind a template the key must say whom it signs for.
    """
    return TENANT_MARK not in issuer or key_issuer in (issuer, canonical)


def _mismatch(field: str, detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.ISSUER_MISMATCH,
        "The token was issued by another provider than the one configured.",
        detail=detail,
        field=field,
    )
