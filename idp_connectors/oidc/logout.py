"""Signing out together with an OpenID Connect provider."""

from idp_connectors.base import Deps, SignOutMessage, SignOutOrder
from idp_connectors.oidc.config import OidcConfig
from idp_connectors.oidc.discovery import get_provider_metadata
from idp_connectors.oidc.logout_token import read_logout_token


class OidcLogout:
    """Understands the back-channel logout of one OpenID Connect provider."""

    def __init__(self, config: OidcConfig) -> None:
        self._config = config

    def read_order(self, message: SignOutMessage, deps: Deps) -> SignOutOrder:
        """Return whom the provider signed out; raises ConnectorError."""
        metadata = get_provider_metadata(self._config.issuer, deps, self._config.discovery_url)
        return read_logout_token(
            message.form.get("logout_token"),
            metadata,
            deps,
            client_id=self._config.client_id,
            algorithms=self._config.allowed_algorithms,
            tenant_ids=self._config.tenant_ids,
        )
