"""ID tokens that the provider issued to another client, which exchanges them (RFC 8693)."""

from idp_connectors.base import Deps, VerifiedIdentity
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.oidc.config import OidcConfig
from idp_connectors.oidc.discovery import get_provider_metadata
from idp_connectors.oidc.id_token import Expectation, verify_issued_id_token
from idp_connectors.oidc.identity import to_identity
from idp_connectors.oidc.signed_claims import SKEW_SECONDS
from idp_connectors.subject_tokens import MAX_AGE_SECONDS, SubjectToken

REPLAY_KIND = "oidc_subject_token"


def verify_subject_token(config: OidcConfig, given: SubjectToken, deps: Deps) -> VerifiedIdentity:
    """Return whom an ID token names that was made for `given.audience` alone; raises ConnectorError.

    It carries a nonce of the other client's sign-in, which only that client can judge: the caller has proven
    to be that client.
    """
    if given.kind != "id_token":
        raise ConnectorError(
            ConnectorErrorCode.DOCUMENT_REFUSED, "This provider issues ID tokens.", field="subject_token_type"
        )
    metadata = get_provider_metadata(config.issuer, deps, config.discovery_url)
    expected = Expectation(
        client_id=given.audience,
        nonce="",
        algorithms=config.allowed_algorithms,
        tenant_ids=config.tenant_ids,
        hosted_domains=config.hosted_domains,
    )
    claims = verify_issued_id_token(given.token, metadata, expected, deps)
    # Without this: an ID token that lay in a log or a browser for hours could be turned into access.
    if claims["iat"] < deps.now - MAX_AGE_SECONDS - SKEW_SECONDS:
        raise ConnectorError(
            ConnectorErrorCode.EXPIRED, "The ID token was issued too long ago.", detail=f"iat {claims['iat']}"
        )
    identity = to_identity(claims, config, given.token)
    # What was signed, not the whole text: some signatures have two spellings.
    key = f"{identity.issuer}|{given.token.rpartition('.')[0]}"
    if not deps.spend(REPLAY_KIND, key, int(claims["exp"]) + 2 * SKEW_SECONDS):
        raise ConnectorError(ConnectorErrorCode.REPLAYED, "This ID token was already used once.")
    return identity
