"""What every interactive connector must do; a new connector inherits the suite and gives it a provider."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import pydantic
import pytest

from idp_connectors.base import (
    Begun,
    Callback,
    ConnectorError,
    Deps,
    HttpClient,
    LoginRequest,
    VerifiedIdentity,
    secret_fields,
)
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.registry import CONNECTORS
from tests.builders import oidc_op, saml_idp
from tests.builders.connector_deps import NOW, NoNetwork, SpentKeys, make_deps


class Upstream(Protocol):
    """A provider that a connector can be pointed at."""

    kind: str
    http: HttpClient
    callback_url: str
    entity_id: str

    def settings(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Return configuration and secrets."""

    def sign_in(self, begun: Begun, subject: str, groups: list[str] | None) -> Callback:
        """Act as browser and person."""

    def set_audience(self, audience: str) -> None:
        """Make the next answers for another application."""

    def set_issuer(self, issuer: str) -> None:
        """Make the next answers in another provider's name."""

    def set_time(self, now: int) -> None:
        """Let the provider's clock say `now`."""


class OidcUpstream:
    kind = "oidc"
    callback_url = oidc_op.CALLBACK_URL
    entity_id = ""

    def __init__(self) -> None:
        self.provider = oidc_op.OpenIdProvider()
        self.http = self.provider
        self.changes: dict[str, Any] = {}
        self.provider.bend_claims = lambda claims: claims.update(self.changes)

    def settings(self) -> tuple[dict[str, Any], dict[str, str]]:
        config = {"issuer": oidc_op.ISSUER, "client_id": oidc_op.CLIENT_ID}
        return config, {"client_secret": oidc_op.CLIENT_SECRET}

    def sign_in(self, begun: Begun, subject: str, groups: list[str] | None) -> Callback:
        return self.provider.sign_in(begun, sub=subject, **({} if groups is None else {"groups": groups}))

    def set_audience(self, audience: str) -> None:
        self.changes["aud"] = audience

    def set_issuer(self, issuer: str) -> None:
        self.changes["iss"] = issuer

    def set_time(self, now: int) -> None:
        self.provider.now = now


class SamlUpstream:
    kind = "saml"
    callback_url = saml_idp.ACS_URL
    entity_id = saml_idp.ENTITY_ID

    def __init__(self) -> None:
        self.provider = saml_idp.SamlIdentityProvider()
        self.http = NoNetwork()

    def settings(self) -> tuple[dict[str, Any], dict[str, str]]:
        return self.provider.config(), {}

    def sign_in(self, begun: Begun, subject: str, groups: list[str] | None) -> Callback:
        attributes = {} if groups is None else {"groups": groups}
        return self.provider.sign_in(begun, name_id=subject, attributes=attributes)

    def set_audience(self, audience: str) -> None:
        self.provider.bend = lambda root: setattr(saml_idp.find(root, "//saml:Audience"), "text", audience)

    def set_issuer(self, issuer: str) -> None:
        self.provider.bend = lambda root: [
            setattr(node, "text", issuer) for node in root.xpath("//saml:Issuer", namespaces=saml_idp.NS)
        ]

    def set_time(self, now: int) -> None:
        self.provider.now = now


@dataclass
class Desk:
    """One connection under test, with dependencies that last."""

    upstream: Upstream

    def __post_init__(self) -> None:
        self.deps: Deps = make_deps(self.upstream.http, spend=SpentKeys())
        config, secrets = self.upstream.settings()
        self.login = CONNECTORS[self.upstream.kind].interactive(config, secrets)
        self.request = LoginRequest(
            base_url="https://broker.example",
            callback_url=self.upstream.callback_url,
            entity_id=self.upstream.entity_id,
            flow_id="flow-handle-1",
        )

    def begin(self) -> Begun:
        return self.login.begin(self.request, self.deps)

    def sign_in(self, subject: str = "u-1", groups: list[str] | None = None) -> VerifiedIdentity:
        return self.login.complete(self.upstream.sign_in(self.begin(), subject, groups), self.deps)

    def refusal(self, callback: Callback, deps: Deps | None = None) -> ConnectorError:
        with pytest.raises(ConnectorError) as caught:
            self.login.complete(callback, deps or self.deps)
        return caught.value


class InteractiveConnectorContract:
    """Inherit, and give a fixture `desk`."""

    def test_begin_sends_the_browser_out_with_the_handle_and_keeps_the_rest(self, desk: Desk):
        begun = desk.begin()
        query = parse_qs(urlsplit(begun.redirect_url).query)
        assert urlsplit(begun.redirect_url).scheme == "https"
        assert query.get("state", query.get("RelayState")) == ["flow-handle-1"]
        assert all(isinstance(value, str) for value in begun.private.values())

    def test_two_sign_ins_share_no_secret(self, desk: Desk):
        first, second = desk.begin(), desk.begin()
        fresh = {name for name in first.private if first.private[name] != second.private[name]}
        assert fresh >= set(first.private) - {"state", "relay_state"}

    def test_complete_says_who_signed_in(self, desk: Desk):
        identity = desk.sign_in("u-7", ["eng", "ops"])
        assert (identity.subject, identity.groups_state) == ("u-7", "complete")
        assert [(group.kind, group.value) for group in identity.groups] == [("name", "eng"), ("name", "ops")]

    def test_a_group_that_was_removed_is_gone(self, desk: Desk):
        assert [group.value for group in desk.sign_in(groups=["eng", "ops"]).groups] == ["eng", "ops"]
        assert [group.value for group in desk.sign_in(groups=["eng"]).groups] == ["eng"]

    def test_no_groups_at_all_is_not_a_complete_list(self, desk: Desk):
        identity = desk.sign_in(groups=None)
        assert (identity.groups, identity.groups_state) == ((), "absent")

    def test_a_callback_works_once(self, desk: Desk):
        callback = desk.upstream.sign_in(desk.begin(), "u-1", None)
        assert desk.login.complete(callback, desk.deps).subject == "u-1"
        assert desk.refusal(callback).code in (Code.REPLAYED, Code.UPSTREAM_REFUSED)

    def test_an_answer_for_another_application_is_refused(self, desk: Desk):
        desk.upstream.set_audience("other")
        refusal = desk.refusal(desk.upstream.sign_in(desk.begin(), "u-1", None))
        assert refusal.code in (Code.AUDIENCE_MISMATCH, Code.SIGNATURE_INVALID)

    def test_an_answer_in_another_providers_name_is_refused(self, desk: Desk):
        desk.upstream.set_issuer("https://other.example")
        assert desk.refusal(desk.upstream.sign_in(desk.begin(), "u-1", None)).code == Code.ISSUER_MISMATCH

    @pytest.mark.parametrize("offset", [-86_400, 86_400], ids=["yesterday", "tomorrow"])
    def test_an_answer_of_another_day_is_refused(self, desk: Desk, offset: int):
        desk.upstream.set_time(NOW + offset)
        refusal = desk.refusal(desk.upstream.sign_in(desk.begin(), "u-1", None))
        assert refusal.code in (Code.EXPIRED, Code.NOT_YET_VALID, Code.SIGNATURE_INVALID)

    def test_an_answer_to_another_browser_is_refused(self, desk: Desk):
        callback = desk.upstream.sign_in(desk.begin(), "u-1", None)
        assert isinstance(desk.refusal(replace(callback, private=desk.begin().private)), ConnectorError)

    def test_an_answer_without_anything_kept_is_refused(self, desk: Desk):
        callback = desk.upstream.sign_in(desk.begin(), "u-1", None)
        assert desk.refusal(replace(callback, private={})).code == Code.STATE_MISMATCH

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_an_empty_answer_is_refused(self, desk: Desk, method: str):
        empty = Callback(
            method=method,
            private=desk.begin().private,
            callback_url=desk.upstream.callback_url,
            entity_id=desk.upstream.entity_id,
        )
        assert desk.refusal(empty).code in (Code.STATE_MISMATCH, Code.CALLBACK_MALFORMED)

    @pytest.mark.parametrize("subject", ["u\u200b", " ", "x" * 256], ids=["invisible", "blank", "long"])
    def test_an_unclean_subject_is_refused(self, desk: Desk, subject: str):
        refusal = desk.refusal(desk.upstream.sign_in(desk.begin(), subject, None))
        assert refusal.code in (Code.CLAIM_INVALID, Code.CLAIM_MISSING, Code.SIGNATURE_INVALID)

    def test_every_setting_has_words_for_people(self, desk: Desk):
        fields = CONNECTORS[desk.upstream.kind].config_model.model_fields
        assert [name for name, info in fields.items() if not (info.title and info.description)] == []

    def test_secrets_are_marked_and_never_repeated(self, desk: Desk):
        model: type[pydantic.BaseModel] = CONNECTORS[desk.upstream.kind].config_model
        config, secrets = desk.upstream.settings()
        hidden = {name for name, info in model.model_fields.items() if "Secret" in str(info.annotation)}
        assert secret_fields(model) == hidden
        assert set(secrets) <= hidden
        shown = repr(model.model_validate({**config, **secrets}))
        assert [secret for secret in secrets.values() if secret in shown] == []

    @pytest.mark.parametrize("change", [{"unknown_setting": 1}, "empty"], ids=["unknown", "empty"])
    def test_faulty_settings_name_their_field(self, desk: Desk, change: Any):
        config, secrets = desk.upstream.settings()
        faulty: Mapping[str, Any] = {} if change == "empty" else {**config, **change}
        with pytest.raises(ConnectorError) as caught:
            CONNECTORS[desk.upstream.kind].interactive(faulty, secrets)
        assert caught.value.code == Code.CONFIG_INVALID
        assert caught.value.field


class TestOidc(InteractiveConnectorContract):
    @pytest.fixture
    def desk(self) -> Desk:
        return Desk(OidcUpstream())


class TestSaml(InteractiveConnectorContract):
    @pytest.fixture
    def desk(self) -> Desk:
        return Desk(SamlUpstream())
