"""Single logout with a SAML provider by HTTP-Redirect, in both directions (SAML 2.0 Profiles 4.4)."""

import hmac
import secrets as random_secrets
from collections.abc import Mapping

from idp_connectors.base import Begun, Deps, ServiceKey, SignOutMessage, SignOutOrder, SignOutRequest
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.logout_messages import (
    build_logout_request,
    build_logout_response,
    check_logout_response,
    read_logout_request,
)
from idp_connectors.saml.redirect import build_redirect_url
from idp_connectors.saml.redirect_reading import read_redirect, read_relay_state

MAX_RELAY_STATE_CHARS = 200
"""The binding allows 80 bytes; what is longer by much is not sent back."""


class SamlLogout:
    """Signs people out together with one SAML provider."""

    def __init__(self, config: SamlConfig) -> None:
        self._config = config

    def read_order(self, message: SignOutMessage, deps: Deps) -> SignOutOrder:
        """Return whom the provider signed out; raises ConnectorError."""
        root = read_redirect(message.query_string, "SAMLRequest", self._config.certificates)
        return read_logout_request(root, self._config, our_url=message.our_url, now=deps.now)

    def answer_order(self, order: SignOutOrder, message: SignOutMessage, deps: Deps) -> str:
        """Return the address that brings our signed LogoutResponse, "" if the provider takes none."""
        if not self._config.slo_url:
            return ""
        document = build_logout_response(
            in_response_to=order.message_id,
            slo_url=self._config.slo_url,
            entity_id=message.entity_id,
            now=deps.now,
        )
        relay_state = read_relay_state(message.query_string)
        return build_redirect_url(
            self._config.slo_url,
            document,
            parameter="SAMLResponse",
            relay_state=relay_state if len(relay_state) <= MAX_RELAY_STATE_CHARS else "",
            key=_signing_key(deps),
        )

    def begin_sign_out(self, request: SignOutRequest, deps: Deps) -> Begun | None:
        """Return the address that brings our signed LogoutRequest, None if the provider takes none."""
        if not self._config.slo_url or not request.upstream.get("name_id"):
            return None
        request_id = "_" + random_secrets.token_hex(20)
        document = build_logout_request(
            request.upstream,
            request_id=request_id,
            slo_url=self._config.slo_url,
            entity_id=request.entity_id,
            now=deps.now,
        )
        url = build_redirect_url(
            self._config.slo_url, document, relay_state=request.flow_id, key=_signing_key(deps)
        )
        return Begun(url, {"request_id": request_id, "relay_state": request.flow_id})

    def complete_sign_out(self, message: SignOutMessage, private: Mapping[str, str], deps: Deps) -> None:
        """Return if the provider's signed answer says that it is done; raises ConnectorError."""
        root = read_redirect(message.query_string, "SAMLResponse", self._config.certificates)
        state, found = private.get("relay_state", ""), read_relay_state(message.query_string)
        if not state or not hmac.compare_digest(found.encode(), state.encode()):
            raise ConnectorError(
                ConnectorErrorCode.STATE_MISMATCH, "This answer does not belong to your sign-out."
            )
        check_logout_response(
            root,
            self._config,
            our_url=message.our_url,
            request_id=private.get("request_id", ""),
            now=deps.now,
        )


def _signing_key(deps: Deps) -> ServiceKey:
    # Without a signature, whoever can send a browser somewhere signs people out at their provider.
    if deps.service_keys is None:
        raise ConnectorError(
            ConnectorErrorCode.KEYS_INVALID,
            "This connection has no key of its own to sign with.",
            detail="the caller passed no service_keys",
        )
    return deps.service_keys().signing
