"""Documents that can be checked without asking: their members again, as a JWS of the tenant's."""

from collections.abc import Mapping
from typing import Any

from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.keys import signing_key
from broker.tokens.signing import sign_jwt


def with_signature(
    rt: Runtime, tenant: TenantSnapshot, document: Mapping[str, Any], typ: str
) -> dict[str, Any]:
    """Return ``document`` with ``signed_metadata`` (RFC 8414 §2.1): the same members and ``iss``, signed.

    Its ``typ`` is its own. Without this: it could be taken for another token of the same key (O35). A tenant
    that has no key yet says the same without a signature.
    """
    try:
        key = signing_key(rt, tenant.id, "id")
    except LookupError:
        return dict(document)
    return {**document, "signed_metadata": sign_jwt(key, typ, {**document, "iss": tenant.issuer})}
