"""Finds the key for a token: remembered per provider, refreshed for an unknown key id at a bounded rate."""

from idp_connectors.base import Deps
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.oidc.discovery import ProviderMetadata, fetch_object
from idp_connectors.oidc.key_admission import AdmittedKey, AdmittedKeys, admit_keys
from idp_connectors.remembered import get_remembered

MAX_KEY_SET_BYTES = 256 * 1024


def get_key(metadata: ProviderMetadata, kid: str | None, algorithm: str, deps: Deps) -> AdmittedKey:
    """Return the one admitted key that this header can mean; raises ConnectorError."""

    def load() -> AdmittedKeys:
        return admit_keys(fetch_object(metadata.jwks_uri, deps, max_bytes=MAX_KEY_SET_BYTES))

    keys = get_remembered(
        f"oidc-keys:{metadata.issuer}:{metadata.jwks_uri}",
        deps,
        load,
        is_enough=lambda held: kid is None or held.has_kid(kid),
    )
    key = keys.find(kid, algorithm)
    if key is None:
        raise ConnectorError(
            ConnectorErrorCode.SIGNATURE_INVALID,
            "The token is not signed by a known key of the identity provider.",
            detail=f"no single admitted key for kid={kid!r:.80} alg={algorithm}",
        )
    return key
