"""The service provider: sends an AuthnRequest out and turns the signed answer into an identity."""

import hmac
import json
import secrets as random_secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lxml import etree

from idp_connectors.base import (
    AskedProof,
    Begun,
    Callback,
    Deps,
    Finding,
    FollowedMetadata,
    GroupPlan,
    LoginRequest,
    ProviderPreview,
    ServiceKeys,
    SubjectToken,
    VerifiedIdentity,
    check_settings,
    load_config,
)
from idp_connectors.errors import ConnectorError, ConnectorErrorCode, answer_replayed
from idp_connectors.groups.plan import read_plan
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.decryption import decrypt_assertion
from idp_connectors.saml.engine import verify_signatures
from idp_connectors.saml.identity import to_identity
from idp_connectors.saml.logout import SamlLogout
from idp_connectors.saml.metadata_following import follow_metadata
from idp_connectors.saml.names import assertion
from idp_connectors.saml.opening import put_in_clear
from idp_connectors.saml.policy import SKEW_SECONDS, Expected, check_assertion, check_response
from idp_connectors.saml.prescreen import ScreenedResponse, decode_response, screen_response
from idp_connectors.saml.provider_metadata import read_metadata
from idp_connectors.saml.redirect import build_redirect_url
from idp_connectors.saml.request import build_authn_request
from idp_connectors.saml.second_opinion import read_verified
from idp_connectors.saml.self_check import check_provider
from idp_connectors.saml.service_metadata import build_service_metadata
from idp_connectors.saml.subject_token import as_answer, read_alone

REPLAY_KIND = "saml_assertion"


class SamlLogin:
    """Signs people in at one SAML provider by the Web Browser SSO profile."""

    def __init__(self, config: SamlConfig) -> None:
        self._config = config

    def begin(self, request: LoginRequest, deps: Deps) -> Begun:
        """Return the provider's sign-in address and what `complete` will need."""
        # An XML id must not start with a digit.
        request_id = "_" + random_secrets.token_hex(20)
        proof = request.proof or AskedProof()
        document = build_authn_request(
            request_id=request_id,
            sso_url=self._config.sso_url,
            entity_id=request.entity_id,
            callback_url=request.callback_url,
            now=deps.now,
            # SAML cannot say how old a sign-in may be; a new one is never too old.
            force_authn=proof.login or proof.max_age is not None,
            contexts=[one for one in proof.acr_values if one in self._config.step_up_values],
        )
        key = service_keys(deps).signing if self._config.sign_requests else None
        url = build_redirect_url(self._config.sso_url, document, relay_state=request.flow_id, key=key)
        return Begun(url, {"request_id": request_id, "relay_state": request.flow_id})

    def complete(self, callback: Callback, deps: Deps) -> VerifiedIdentity:
        """Return who signed in, after screening, signature, policy and single use; raises ConnectorError."""
        received = screen_response(
            decode_response(_read_answer(callback)), may_be_encrypted=self._config.encryption != "off"
        )
        expected = Expected(
            entity_id=callback.entity_id,
            callback_url=callback.callback_url,
            request_id=callback.private.get("request_id", ""),
            now=deps.now,
        )
        clear = self._open(received, deps)
        self._require_signatures(received, clear)
        check_response(received.root, self._config, expected, signed=received.response_signature is not None)
        self._verify(received, clear, expected)
        accepted = check_assertion(self._prove(received, clear, expected), self._config, expected)
        identity = to_identity(accepted.assertion, self._config)
        # With our own name for the connection, because a provider may give two of them the same assertion
        # id. That opens nothing: the audience, checked above, is that name, so what is good for one
        # connection is refused by every other before this.
        key = f"{expected.entity_id}|{self._config.idp_entity_id}|{accepted.assertion_id}"
        # Last, so that a refused answer is not used up. Without this: whoever sees an assertion signs in
        # with it again.
        if not deps.spend(REPLAY_KIND, key, accepted.acceptable_until):
            raise answer_replayed(key)
        return identity

    def _verify(self, received: ScreenedResponse, clear: ScreenedResponse, expected: Expected) -> None:
        try:
            verify_signatures(
                received,
                clear,
                self._config,
                entity_id=expected.entity_id,
                callback_url=expected.callback_url,
                request_id=expected.request_id,
                # The library allows no clock difference for confirmations; the policy judges them exactly.
                now=expected.now - SKEW_SECONDS,
            )
        except ConnectorError:
            # A look at what is not proven, only to refuse in better words: the library reports a wrong
            # audience as it reports a forgery, and an administrator must tell them apart.
            check_assertion(clear.assertion, self._config, expected)
            raise

    def _open(self, received: ScreenedResponse, deps: Deps) -> ScreenedResponse:
        """Return the answer with its assertion in the clear: itself, if nothing was encrypted."""
        if not received.is_encrypted:
            if self._config.encryption == "required":
                raise ConnectorError(
                    ConnectorErrorCode.DECRYPTION_FAILED,
                    "The identity provider's answer is not encrypted, which this connection requires.",
                    detail="a plain assertion",
                )
            return received
        sealed: etree._Element | None = received.assertion
        if received.response_signature is not None:
            # Without this: anybody could have us decrypt whatever they like, under a broken signature.
            proven = read_verified(received.document, received.response_signature, self._config.certificates)
            sealed = proven.find(assertion("EncryptedAssertion"))
        if sealed is None:
            raise _unsigned("the signature covers no assertion")
        plain = decrypt_assertion(sealed, service_keys(deps).decrypting)
        return screen_response(put_in_clear(received, plain))

    def _require_signatures(self, received: ScreenedResponse, clear: ScreenedResponse) -> None:
        has_response = received.response_signature is not None
        has_assertion = clear.assertion_signature is not None
        if (
            not (has_response or has_assertion)
            or (self._config.assertion_signed and not has_assertion)
            or (self._config.response_signed and not has_response)
        ):
            raise _unsigned(f"response signed: {has_response}, assertion signed: {has_assertion}")

    def _prove(
        self, received: ScreenedResponse, clear: ScreenedResponse, expected: Expected
    ) -> etree._Element:
        """Return the assertion, parsed from bytes whose signature the second verification proved."""
        within: etree._Element | None = None
        if received.response_signature is not None:
            response = read_verified(
                received.document, received.response_signature, self._config.certificates
            )
            check_response(response, self._config, expected, signed=True)
            # What was encrypted was opened out of the very bytes that this signature covers.
            within = clear.assertion if received.is_encrypted else response.find(assertion("Assertion"))
        if clear.assertion_signature is not None:
            return read_verified(clear.document, clear.assertion_signature, self._config.certificates)
        if within is None:
            raise _unsigned("no signature covers an assertion")
        return within


class SamlConnector:
    """Any standard SAML 2.0 identity provider."""

    kind = "saml"
    config_model = SamlConfig

    def interactive(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> SamlLogin:
        """Return the sign-in for stored `config`, which holds no secrets; raises ConnectorError."""
        return SamlLogin(_read_config(json.dumps(dict(config), sort_keys=True)))

    def upstream_logout(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> SamlLogout:
        """Return the sign-out for stored `config`; raises ConnectorError."""
        return SamlLogout(load_config(SamlConfig, config, secrets))

    def verify_subject_token(
        self, config: Mapping[str, Any], secrets: Mapping[str, str], given: SubjectToken, deps: Deps
    ) -> VerifiedIdentity:
        """Return whom an assertion of another service names; raises ConnectorError."""
        checked = read_alone(load_config(SamlConfig, config, secrets))
        return SamlLogin(checked).complete(as_answer(given), deps)

    def group_plan(self, config: Mapping[str, Any]) -> GroupPlan | None:
        """Return the tenant's second source of groups; None if they come with the assertion."""
        return read_plan(config, has_lookup=False)

    def check_itself(
        self, config: Mapping[str, Any], secrets: Mapping[str, str], deps: Deps
    ) -> tuple[Finding, ...]:
        """Return what settings, certificates and sign-in address look like now."""
        return check_settings(SamlConfig, config, secrets, lambda checked: check_provider(checked, deps))

    def read_metadata(self, document: bytes, now: int) -> ProviderPreview:
        """Return what a provider's metadata says (epoch seconds `now`); raises ConnectorError."""
        return read_metadata(document, now)

    def metadata_url(self, config: Mapping[str, Any]) -> str:
        """Return where the provider's metadata is read again and again; empty if it is not."""
        return load_config(SamlConfig, config, {}).metadata_url

    def follow_metadata(self, config: Mapping[str, Any], document: bytes, now: int) -> FollowedMetadata:
        """Return what the provider's metadata changes for this connection; raises ConnectorError."""
        return follow_metadata(load_config(SamlConfig, config, {}), document, now)

    def service_metadata(
        self,
        config: Mapping[str, Any],
        *,
        entity_id: str,
        callback_url: str,
        keys: ServiceKeys,
        sign_out_url: str = "",
    ) -> bytes:
        """Return the metadata that an administrator gives to the provider; raises ConnectorError."""
        settings = load_config(SamlConfig, config, {})
        return build_service_metadata(
            settings,
            entity_id=entity_id,
            callback_url=callback_url,
            sign_out_url=sign_out_url,
            keys=keys,
        )


@lru_cache(maxsize=256)
def _read_config(told: str) -> SamlConfig:
    """Return the settings told in JSON; each connection's are checked once, not at every sign-in."""
    return load_config(SamlConfig, json.loads(told), {})


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
