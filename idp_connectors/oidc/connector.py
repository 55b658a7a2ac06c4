"""The relying party: sends the browser out with PKCE, state and nonce, and checks what comes back."""

import base64
import hmac
import secrets as random_secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2ClientAuth
from authlib.oauth2.client import OAuth2Client

from idp_connectors.base import (
    Begun,
    Callback,
    Deps,
    Finding,
    GroupLookup,
    GroupPlan,
    LoginRequest,
    ProviderPreview,
    SubjectToken,
    VerifiedIdentity,
    check_settings,
    load_config,
)
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.groups.calls import Pace
from idp_connectors.groups.plan import read_plan
from idp_connectors.oidc.config import OidcConfig
from idp_connectors.oidc.discovery import ProviderMetadata, fetch_object, get_provider_metadata
from idp_connectors.oidc.id_token import Expectation, verify_id_token
from idp_connectors.oidc.identity import to_identity
from idp_connectors.oidc.issuer_rule import is_answers_issuer
from idp_connectors.oidc.logout import OidcLogout
from idp_connectors.oidc.preview import discover
from idp_connectors.oidc.self_check import check_provider
from idp_connectors.oidc.step_up import proof_parameters
from idp_connectors.oidc.subject_token import verify_subject_token

MAX_CODE_CHARS = 4096
MAX_USERINFO_BYTES = 256 * 1024


class _CodeFlowClient(OAuth2Client):  # type: ignore[misc]
    """Authlib's OAuth client over a given session, so that every request takes the guarded way out."""

    client_auth_class = OAuth2ClientAuth


class OidcLogin:
    """Signs people in at one OpenID Connect provider by the authorization code flow."""

    def __init__(self, config: OidcConfig) -> None:
        self._config = config

    def begin(self, request: LoginRequest, deps: Deps) -> Begun:
        """Return the provider's sign-in address and what `complete` will need; raises ConnectorError."""
        metadata = self._metadata(deps)
        nonce = random_secrets.token_urlsafe(32)
        verifier = random_secrets.token_urlsafe(48)
        extras = dict(self._config.extra_authorize_params)
        if request.login_hint:
            extras["login_hint"] = request.login_hint
        extras |= proof_parameters(request.proof, self._config)
        url, state = self._client(deps, request.callback_url).create_authorization_url(
            metadata.authorization_endpoint,
            state=request.flow_id,
            code_verifier=verifier,
            nonce=nonce,
            **extras,
        )
        return Begun(url, {"state": state, "nonce": nonce, "code_verifier": verifier})

    def complete(self, callback: Callback, deps: Deps) -> VerifiedIdentity:
        """Return who signed in, after every check of answer, ID token and userinfo; raises ConnectorError."""
        metadata = self._metadata(deps)
        code = _read_answer(callback, metadata, self._config)
        tokens = self._redeem(code, callback, metadata, deps)
        access_token = tokens.get("access_token")
        claims = verify_id_token(
            tokens.get("id_token"),
            metadata,
            Expectation(
                client_id=self._config.client_id,
                nonce=callback.private.get("nonce", ""),
                algorithms=self._config.allowed_algorithms,
                access_token=access_token if isinstance(access_token, str) else "",
                tenant_ids=self._config.tenant_ids,
                hosted_domains=self._config.hosted_domains,
            ),
            deps,
        )
        if self._config.use_userinfo:
            claims = _userinfo(metadata, access_token, claims["sub"], deps) | claims
        identity = to_identity(claims, self._config, tokens["id_token"], metadata.end_session_endpoint)
        return self._with_all_groups(identity, deps)

    def _with_all_groups(self, identity: VerifiedIdentity, deps: Deps) -> VerifiedIdentity:
        """Return the identity with looked-up groups where the token's are not all, or are not to count.

        A lookup that fails leaves the sign-in as it is: its state says that the groups grant nothing new.
        """
        lookup = self._config.find_group_lookup(Pace())
        is_wanted = self._config.group_lookup_when == "always" or identity.groups_state == "overage"
        if lookup is None or not is_wanted:
            return identity
        found = lookup.lookup(identity.subject, deps)
        return replace(
            identity,
            groups=found.groups,
            groups_state=found.state,
            groups_source=found.source,
            groups_problem=found.problem,
        )

    def _metadata(self, deps: Deps) -> ProviderMetadata:
        return get_provider_metadata(self._config.issuer, deps, self._config.discovery_url)

    def _client(self, deps: Deps, callback_url: str) -> Any:
        client = _CodeFlowClient(
            session=deps.http.client(),
            client_id=self._config.client_id,
            client_secret=self._config.client_secret.get_secret_value(),
            token_endpoint_auth_method=self._config.client_auth,
            scope=" ".join(self._config.scopes),
            redirect_uri=callback_url,
            code_challenge_method="S256",
        )
        client.register_client_auth_method(("client_secret_basic", _sign_with_basic))
        return client

    def _redeem(
        self, code: str, callback: Callback, metadata: ProviderMetadata, deps: Deps
    ) -> dict[str, Any]:
        try:
            tokens = self._client(deps, callback.callback_url).fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=callback.private.get("code_verifier", ""),
            )
        except AuthlibBaseError as error:
            raise ConnectorError(
                ConnectorErrorCode.UPSTREAM_REFUSED,
                "The identity provider did not accept the code. Check client ID, secret and callback.",
                detail=f"token endpoint: {error.error!r:.80} {error.description!r:.300}",
            ) from error
        except Exception as error:
            # The way out is injected and has its own kinds of failure; for a sign-in they are all one.
            raise ConnectorError(
                ConnectorErrorCode.UPSTREAM_UNREACHABLE,
                "The identity provider's token endpoint could not be used.",
                detail=f"{type(error).__name__}: {error}",
            ) from error
        return dict(tokens)


def _sign_with_basic(client: Any, method: str, uri: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
    """Authenticate with id and secret form-encoded (RFC 6749 section 2.3.1); Authlib does not encode.

    Without the encoding a secret that contains a colon, percent or plus sign is refused by strict providers.
    """
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return uri, headers, body


class OidcConnector:
    """Any standard OpenID Connect provider."""

    kind = "oidc"
    config_model = OidcConfig

    def interactive(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> OidcLogin:
        """Return the sign-in for stored `config` and opened `secrets`; raises ConnectorError."""
        return OidcLogin(load_config(OidcConfig, config, secrets))

    def check_itself(
        self, config: Mapping[str, Any], secrets: Mapping[str, str], deps: Deps
    ) -> tuple[Finding, ...]:
        """Return what settings, discovery document and keys look like now."""
        return check_settings(OidcConfig, config, secrets, lambda checked: check_provider(checked, deps))

    def upstream_logout(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> OidcLogout:
        """Return the sign-out for stored `config` and opened `secrets`; raises ConnectorError."""
        return OidcLogout(load_config(OidcConfig, config, secrets))

    def discover(self, given: Mapping[str, Any], deps: Deps) -> ProviderPreview:
        """Return what the provider at `given["issuer"]` says of itself; raises ConnectorError."""
        return discover(given, deps)

    def group_lookup(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> GroupLookup:
        """Return the group lookup for stored `config` and opened `secrets`; raises ConnectorError."""
        lookup = load_config(OidcConfig, config, secrets).find_group_lookup(Pace())
        if lookup is None:
            raise ConnectorError(
                ConnectorErrorCode.CONFIG_INVALID,
                "This connection has no group lookup: its groups come with the sign-in only.",
                field="group_lookup",
            )
        return lookup

    def verify_subject_token(
        self, config: Mapping[str, Any], secrets: Mapping[str, str], given: SubjectToken, deps: Deps
    ) -> VerifiedIdentity:
        """Return whom an ID token names that the provider made for another client; raises ConnectorError."""
        return verify_subject_token(load_config(OidcConfig, config, secrets), given, deps)

    def group_plan(self, config: Mapping[str, Any]) -> GroupPlan | None:
        """Return where this connection's groups are asked for; None if they come with the sign-in only."""
        return read_plan(config, has_lookup=config.get("group_lookup", "none") != "none")


def _read_answer(callback: Callback, metadata: ProviderMetadata, config: OidcConfig) -> str:
    """Return the authorization code of an answer that belongs to this sign-in and to this provider."""
    answer = callback.query
    state = callback.private.get("state", "")
    # Without this: an attacker's answer is accepted in the victim's browser (RFC 6749 section 10.12).
    if not state or not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
        raise ConnectorError(
            ConnectorErrorCode.STATE_MISMATCH, "This answer does not belong to your sign-in. Start again."
        )
    # Without this: a code of one provider is redeemed at another (mix-up; RFC 9207 section 2.4).
    is_ours = is_answers_issuer(answer.get("iss"), metadata.issuer, config.tenant_ids)
    if ("iss" in answer or metadata.sends_iss_in_response) and not is_ours:
        raise ConnectorError(
            ConnectorErrorCode.ISSUER_MISMATCH,
            "This answer comes from another identity provider than the one asked.",
            detail=f"expected {metadata.issuer!r}, found {answer.get('iss')!r:.200}",
            field="iss",
        )
    if "error" in answer:
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_REFUSED,
            "The identity provider did not sign you in.",
            detail=f"{answer['error']!r:.80} {answer.get('error_description', '')!r:.300}",
        )
    code = answer.get("code", "")
    if not code or len(code) > MAX_CODE_CHARS:
        raise ConnectorError(
            ConnectorErrorCode.CALLBACK_MALFORMED,
            "The identity provider's answer is incomplete.",
            detail="no code, or an oversized one",
            field="code",
        )
    return code


def _userinfo(metadata: ProviderMetadata, access_token: object, subject: str, deps: Deps) -> dict[str, Any]:
    """Return claims about `subject` from the userinfo endpoint; raises ConnectorError."""
    if not metadata.userinfo_endpoint or not isinstance(access_token, str):
        raise ConnectorError(
            ConnectorErrorCode.DISCOVERY_INVALID,
            "The identity provider offers no userinfo endpoint.",
            field="use_userinfo",
        )
    claims = fetch_object(metadata.userinfo_endpoint, deps, max_bytes=MAX_USERINFO_BYTES, bearer=access_token)
    # Without this: the access token of one person can decorate the identity of another (Core 5.3.2).
    if claims.get("sub") != subject:
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID,
            "The userinfo endpoint answered about another person.",
            detail="sub of userinfo and ID token differ",
            field="sub",
        )
    return claims
