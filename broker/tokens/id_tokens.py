"""ID tokens and the claims of userinfo: who the person is, for one client (OpenID Connect Core §2, §5.1)."""

from typing import Any

import orjson
from sqlalchemy import Connection, select

from broker.directory.models import User
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import encoding
from broker.tokens.keys import SigningKey, find_signing_key, public_jwks, signing_key
from broker.tokens.profiles import MAX_TOKEN_CHARS, AdmittedKey, JwtProfile, admit_keys, verify_jwt
from broker.tokens.signing import ID_TOKEN_TYP, sign_jwt

ID_TOKEN_TTL_SECONDS = 600


def issue_id_token(
    connection: Connection,
    rt: Runtime,
    tenant: TenantSnapshot,
    *,
    user_id: str,
    client_id: str,
    nonce: str,
    scopes: frozenset[str],
    sign_in: dict[str, Any],
    now: int,
    algorithm: str | None = None,
) -> str:
    """Return a signed ID token for ``client_id``; ``sign_in`` holds auth_time, acr, amr and sid as they were.

    Its ``typ`` is ``JWT``, so that it is never taken for an access token (O35). ``algorithm`` is the one
    that the client is registered with. Raises ``Refusal(temporarily_unavailable)`` while no key has it.
    """
    claims = {
        "iss": tenant.issuer,
        "aud": client_id,
        "iat": now,
        "exp": now + ID_TOKEN_TTL_SECONDS,
        **person_claims(connection, tenant.id, user_id, scopes),
        **sign_in,
    }
    if nonce:
        claims["nonce"] = nonce
    return sign_jwt(id_token_key(rt, tenant, algorithm), ID_TOKEN_TYP, claims)


def id_token_key(rt: Runtime, tenant: TenantSnapshot, algorithm: str | None) -> SigningKey:
    """Return the key for ID and logout tokens of a client that is registered with ``algorithm``, or none.

    Raises ``Refusal(temporarily_unavailable)`` while no key has that algorithm.
    """
    if algorithm is None:
        first = tenant.settings.id_token_algorithms[0]
        return find_signing_key(rt, tenant.id, "id", first) or signing_key(rt, tenant.id, "id")
    found = find_signing_key(rt, tenant.id, "id", algorithm)
    # Without this: a client that verifies one algorithm only would be sent a token that it must refuse,
    # or be talked into another algorithm.
    if found is None:
        raise Refusal(
            ErrorCode.TEMPORARILY_UNAVAILABLE,
            f"There is no key yet that signs ID tokens with {algorithm}.",
            reason="no_key_for_algorithm",
            whose_move=WhoseMove.ADMIN,
        )
    return found


def verify_id_token(
    rt: Runtime, tenant: TenantSnapshot, token: str, *, client_id: str, now: int, grace_seconds: int = 0
) -> dict[str, Any]:
    """Return the claims of an ID token that we issued to ``client_id`` alone and that has not ended.

    With ``grace_seconds`` it may have ended so long ago: for hints, which prove nothing. Raises
    ``Refusal(invalid_token)`` with a reason.
    """
    keys = _keys_named(rt, tenant, token)
    profile = JwtProfile(
        typ=frozenset({ID_TOKEN_TYP}),
        algorithms=frozenset().union(*(key.algorithms for key in keys.values())),
        issuer=tenant.issuer,
        audience=frozenset({client_id}),
        max_age_seconds=ID_TOKEN_TTL_SECONDS,
        required=frozenset({"iss", "sub", "aud", "iat", "exp"}),
    )
    claims = verify_jwt(token, profile, keys, now=now, skew=grace_seconds)
    # Without this: what was issued before the tenant was switched off would count again afterwards.
    if claims["iat"] <= tenant.cutoff_at:
        raise Refusal(ErrorCode.INVALID_TOKEN, "The token is not valid.", reason="tenant_cutoff")
    return claims


def _keys_named(rt: Runtime, tenant: TenantSnapshot, token: str) -> dict[str, AdmittedKey]:
    """Return the one key of ours that the token says it is signed with; a tenant may have many."""
    try:
        kid = orjson.loads(encoding.decode(token[:MAX_TOKEN_CHARS].partition(".")[0]))["kid"]
    except (ValueError, KeyError, TypeError):
        kid = None
    named = [jwk for jwk in public_jwks(rt, tenant.id)["keys"] if jwk["kid"] == kid]
    if not named:
        raise Refusal(ErrorCode.INVALID_TOKEN, "The token is not valid.", reason="unknown_key")
    return admit_keys({"keys": named})


def person_claims(
    connection: Connection, tenant_id: str, user_id: str, scopes: frozenset[str]
) -> dict[str, Any]:
    """Return ``sub`` and what the ``profile`` and ``email`` scopes open of the person."""
    claims: dict[str, Any] = {"sub": user_id}
    if not scopes & {"profile", "email"}:
        return claims
    person = connection.execute(
        select(User.display_name, User.email, User.email_verified_by).where(
            User.tenant_id == tenant_id, User.id == user_id
        )
    ).one()
    if "profile" in scopes and person.display_name:
        claims["name"] = person.display_name
    if "email" in scopes and person.email:
        claims["email"] = person.email
        claims["email_verified"] = person.email_verified_by == "idp_verified_domain"
    return claims
