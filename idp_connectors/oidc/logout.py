"""Signing out together with an OpenID Connect provider: by its word (back-channel), or by ours."""

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode

from idp_connectors.base import Begun, Deps, SignOutMessage, SignOutOrder, SignOutRequest
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.oidc.config import OidcConfig
from idp_connectors.oidc.discovery import get_provider_metadata
from idp_connectors.oidc.logout_token import read_logout_token

MAX_HINT_CHARS = 4096
"""A longer ID token makes an address that servers refuse; the provider then asks the person."""


class OidcLogout:
    """Signs people out together with one OpenID Connect provider."""

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

    def answer_order(self, order: SignOutOrder, message: SignOutMessage, deps: Deps) -> str:
        """Return an empty string: what came from server to server is answered there."""
        return ""

    def begin_sign_out(self, request: SignOutRequest, deps: Deps) -> Begun | None:
        """Return the provider's sign-out address (RP-Initiated Logout 1.0 section 2), None if it has none.

        The address was read when the person signed in. The ID token of that sign-in goes along as the
        hint: without it, providers ask whether and whom to sign out, or do not send the browser back.
        """
        address = request.upstream.get("end_session_endpoint", "")
        if not address:
            return None
        values = {
            "client_id": self._config.client_id,
            "post_logout_redirect_uri": request.return_url,
            "state": request.flow_id,
        }
        hint = request.upstream.get("id_token_hint", "")
        if 0 < len(hint) <= MAX_HINT_CHARS:
            values["id_token_hint"] = hint
        # Microsoft Entra takes the person from here, so that it need not ask which account is meant.
        if request.upstream.get("logout_hint"):
            values["logout_hint"] = request.upstream["logout_hint"]
        url = f"{address}{'&' if '?' in address else '?'}{urlencode(values)}"
        return Begun(url, {"state": request.flow_id})

    def complete_sign_out(self, message: SignOutMessage, private: Mapping[str, str], deps: Deps) -> None:
        """Return if the browser came back from this sign-out; raises ConnectorError.

        The answer is not signed: it says that the provider is done, and no more is made of it.
        """
        found = parse_qs(message.query_string).get("state", [])
        state = private.get("state", "")
        # Without this: a link of anybody could tell people that they are signed out.
        if not state or len(found) != 1 or not hmac.compare_digest(found[0].encode(), state.encode()):
            raise ConnectorError(
                ConnectorErrorCode.STATE_MISMATCH, "This answer does not belong to your sign-out."
            )
