"""The service provider: sends an AuthnRequest out and turns the signed answer into an identity."""

import hmac
import secrets as random_secrets
from collections.abc import Mapping
from typing import Any

from lxml import etree

from idp_connectors.base import (
    Begun,
    Callback,
    Deps,
    Finding,
    GroupPlan,
    LoginRequest,
    ServiceKeys,
    VerifiedIdentity,
    check_settings,
    load_config,
)
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.groups.plan import read_plan
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.engine import signed_bytes, verify_signatures
from idp_connectors.saml.identity import to_identity
from idp_connectors.saml.names import assertion
from idp_connectors.saml.policy import SKEW_SECONDS, Expected, check_assertion, check_response
from idp_connectors.saml.prescreen import (
    ScreenedResponse,
    decode_response,
    parse_strictly,
    screen_response,
)
from idp_connectors.saml.redirect import build_redirect_url
from idp_connectors.saml.request import build_authn_request
from idp_connectors.saml.self_check import check_provider
from idp_connectors.saml.service_metadata import build_service_metadata

REPLAY_KIND = "saml_assertion"


class SamlLogin:
    """Signs people in at one SAML provider by the Web Browser SSO profile."""

    def __init__(self, config: SamlConfig) -> None:
        self._config = config

    def begin(self, request: LoginRequest, deps: Deps) -> Begun:
        """Return the provider's sign-in address and what `complete` will need."""
        # An XML id must not start with a digit.
        request_id = "_" + random_secrets.token_hex(20)
        document = build_authn_request(
            request_id=request_id,
            sso_url=self._config.sso_url,
            entity_id=request.entity_id,
            callback_url=request.callback_url,
            now=deps.now,
        )
        key = service_keys(deps).signing if self._config.sign_requests else None
        url = build_redirect_url(self._config.sso_url, document, relay_state=request.flow_id, key=key)
        return Begun(url, {"request_id": request_id, "relay_state": request.flow_id})

    def complete(self, callback: Callback, deps: Deps) -> VerifiedIdentity:
        """Return who signed in, after screening, signature, policy and single use; raises ConnectorError."""
        screened = screen_response(decode_response(_read_answer(callback)))
        expected = Expected(
            entity_id=callback.entity_id,
            callback_url=callback.callback_url,
            request_id=callback.private.get("request_id", ""),
            now=deps.now,
        )
        self._require_signatures(screened)
        # A first look at what is not proven yet, only to refuse: the library would report a wrong audience
        # or a failed sign-in with the same words as a forgery, and an administrator must tell them apart.
        check_response(screened.root, self._config, expected, signed=screened.response_signature is not None)
        check_assertion(screened.assertion, self._config, expected)
        verify_signatures(
            screened,
            self._config,
            entity_id=expected.entity_id,
            callback_url=expected.callback_url,
            request_id=expected.request_id,
            # The library allows no clock difference for confirmations; the policy judges them exactly.
            now=deps.now - SKEW_SECONDS,
        )
        accepted = check_assertion(self._signed_assertion(screened, expected), self._config, expected)
        identity = to_identity(accepted.assertion, self._config)
        key = f"{self._config.idp_entity_id}|{accepted.assertion_id}"
        # Last, so that a refused answer is not used up. Without this: whoever sees an assertion signs in
        # with it again.
        if not deps.spend(REPLAY_KIND, key, accepted.acceptable_until):
            raise ConnectorError(
                ConnectorErrorCode.REPLAYED, "This answer was already used once. Start again.", detail=key
            )
        return identity

    def _require_signatures(self, screened: ScreenedResponse) -> None:
        unsigned = screened.response_signature is None and screened.assertion_signature is None
        if (
            unsigned
            or (self._config.assertion_signed and screened.assertion_signature is None)
            or (self._config.response_signed and screened.response_signature is None)
        ):
            raise _unsigned(
                f"response signed: {screened.response_signature is not None}, "
                f"assertion signed: {screened.assertion_signature is not None}"
            )

    def _signed_assertion(self, screened: ScreenedResponse, expected: Expected) -> etree._Element:
        """Return the assertion, parsed anew from bytes that a verified signature covers."""
        within: etree._Element | None = None
        if screened.response_signature is not None:
            response = parse_strictly(signed_bytes(screened.response_signature))
            check_response(response, self._config, expected, signed=True)
            within = response.find(assertion("Assertion"))
        if screened.assertion_signature is not None:
            return parse_strictly(signed_bytes(screened.assertion_signature))
        if within is None:
            raise _unsigned("no signature covers an assertion")
        return within


class SamlConnector:
    """Any standard SAML 2.0 identity provider."""

    kind = "saml"
    config_model = SamlConfig

    def interactive(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> SamlLogin:
        """Return the sign-in for stored `config`; raises ConnectorError."""
        return SamlLogin(load_config(SamlConfig, config, secrets))

    def group_plan(self, config: Mapping[str, Any]) -> GroupPlan | None:
        """Return the tenant's second source of groups; None if they come with the assertion."""
        return read_plan(config, has_lookup=False)

    def check_itself(
        self, config: Mapping[str, Any], secrets: Mapping[str, str], deps: Deps
    ) -> tuple[Finding, ...]:
        """Return what settings, certificates and sign-in address look like now."""
        return check_settings(SamlConfig, config, secrets, lambda checked: check_provider(checked, deps))

    def service_metadata(
        self, config: Mapping[str, Any], *, entity_id: str, callback_url: str, keys: ServiceKeys
    ) -> bytes:
        """Return the metadata that an administrator gives to the provider; raises ConnectorError."""
        settings = load_config(SamlConfig, config, {})
        return build_service_metadata(settings, entity_id=entity_id, callback_url=callback_url, keys=keys)


def service_keys(deps: Deps) -> ServiceKeys:
    """Return our own keys for the connection; raises ConnectorError where there are none."""
    if deps.service_keys is None:
        raise ConnectorError(
            ConnectorErrorCode.KEYS_INVALID,
            "This connection has no keys of its own to sign or decrypt with.",
            detail="the caller passed no service_keys",
        )
    return deps.service_keys()


def _unsigned(detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.SIGNATURE_INVALID,
        "The identity provider's answer lacks a signature that this connection requires.",
        detail=detail,
    )


def _read_answer(callback: Callback) -> str:
    """Return the `SAMLResponse` of an answer that came by HTTP-POST and belongs to this sign-in."""
    answer = callback.form.get("SAMLResponse", "")
    # Answers by redirect are not part of the profile (Profiles 4.1.2). Without this: a deflate bomb in the
    # query is inflated.
    if callback.method != "POST" or not answer:
        raise ConnectorError(
            ConnectorErrorCode.CALLBACK_MALFORMED,
            "The identity provider's answer is incomplete.",
            detail=f"{callback.method} without a SAMLResponse form value",
            field="SAMLResponse",
        )
    state = callback.private.get("relay_state", "")
    if not state or not hmac.compare_digest(callback.form.get("RelayState", "").encode(), state.encode()):
        raise ConnectorError(
            ConnectorErrorCode.STATE_MISMATCH, "This answer does not belong to your sign-in. Start again."
        )
    return answer
