"""Issuers that speak for many organisations: Entra's template and Google's two spellings, and nobody else."""

from typing import Any

import pytest

from idp_connectors.base import ConnectorError, MemoryCache
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.oidc.issuer_rule import CONSUMER_TENANT
from tests.builders.graph import (
    ISSUER,
    LOGIN,
    OTHER_TENANT,
    PERSON,
    TEMPLATE,
    TENANT,
    MicrosoftCloud,
    entra_claims,
)
from tests.builders.oidc_op import OpenIdProvider
from tests.builders.oidc_rp import assert_refused, make_login, sign_in

MANY = {"issuer": TEMPLATE, "tenant_ids": [TENANT], "subject": "oid+tid", "client_auth": "client_secret_post"}
GOOGLE = "https://accounts.google.com"


def issuer_of(tenant: str) -> str:
    return f"https://{LOGIN}/{tenant}/v2.0"


def make_google() -> OpenIdProvider:
    return OpenIdProvider(GOOGLE)


def test_a_person_of_an_allowed_directory_signs_in_under_its_own_issuer():
    identity = sign_in(MicrosoftCloud(TEMPLATE), settings=MANY, **entra_claims())
    assert (identity.issuer, identity.subject) == (ISSUER, f"{TENANT}/{PERSON}")


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": issuer_of(OTHER_TENANT), "tid": OTHER_TENANT}, id="foreign-directory"),
        pytest.param({"iss": issuer_of(OTHER_TENANT)}, id="tid-of-ours-iss-of-theirs"),
        pytest.param({"tid": OTHER_TENANT}, id="iss-of-ours-tid-of-theirs"),
        pytest.param({"iss": TEMPLATE}, id="template-itself"),
        pytest.param({"iss": TEMPLATE, "tid": "{tenantid}"}, id="template-in-both"),
        pytest.param({"iss": issuer_of(CONSUMER_TENANT), "tid": CONSUMER_TENANT}, id="private-accounts"),
        pytest.param({"tid": None}, id="no-tid"),
        pytest.param({"tid": [TENANT]}, id="tid-list"),
        pytest.param({"iss": ISSUER + "/"}, id="trailing-slash"),
        pytest.param({"iss": f"https://sts.windows.net/{TENANT}/"}, id="version-1"),
    ],
)
def test_a_validly_signed_token_of_another_directory_is_refused(claims: dict[str, Any]):
    refusal = assert_refused(
        MicrosoftCloud(TEMPLATE), Code.ISSUER_MISMATCH, settings=MANY, **entra_claims(**claims)
    )
    assert refusal.field in ("iss", "tid")


@pytest.mark.parametrize("key_issuer", [TEMPLATE, ISSUER], ids=["for-all", "for-this-directory"])
def test_a_key_that_signs_for_the_directory_is_taken(key_issuer: str):
    cloud = MicrosoftCloud(TEMPLATE)
    cloud.published[0]["issuer"] = key_issuer
    assert sign_in(cloud, settings=MANY, **entra_claims()).issuer == ISSUER


@pytest.mark.parametrize(
    "key_issuer", [issuer_of(CONSUMER_TENANT), issuer_of(OTHER_TENANT), "", 5, None], ids=str
)
def test_a_key_that_signs_for_somebody_else_or_does_not_say_is_refused(key_issuer: object):
    cloud = MicrosoftCloud(TEMPLATE)
    cloud.published[0]["issuer"] = key_issuer
    assert_refused(cloud, Code.SIGNATURE_INVALID, settings=MANY, **entra_claims())


def test_a_fixed_issuer_is_narrowed_by_the_directories_as_well():
    settings = {**MANY, "issuer": ISSUER}
    assert sign_in(MicrosoftCloud(ISSUER), settings=settings, **entra_claims()).issuer == ISSUER
    assert_refused(
        MicrosoftCloud(ISSUER), Code.ISSUER_MISMATCH, settings=settings, **entra_claims(tid=OTHER_TENANT)
    )


def test_the_answers_issuer_may_be_that_of_an_allowed_directory_only():
    cloud = MicrosoftCloud(TEMPLATE)
    cloud.answer_issuer = ISSUER
    assert sign_in(cloud, settings=MANY, **entra_claims()).issuer == ISSUER
    for other in (issuer_of(OTHER_TENANT), TEMPLATE):
        cloud.answer_issuer = other
        assert_refused(cloud, Code.ISSUER_MISMATCH, settings=MANY, **entra_claims())


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"tenant_ids": []}, id="template-without-directories"),
        pytest.param({"tenant_ids": ["corp.example"]}, id="directory-by-name"),
        pytest.param({"tenant_ids": [CONSUMER_TENANT]}, id="private-accounts"),
        pytest.param({"tenant_ids": [CONSUMER_TENANT.upper()]}, id="private-accounts-in-capitals"),
        pytest.param({"issuer": "https://{tenantid}.example/v2.0"}, id="template-in-the-host"),
        pytest.param({"issuer": "https://login.example/{tenantid}/{tenantid}"}, id="template-twice"),
        pytest.param({"discovery_url": "http://login.example/"}, id="discovery-over-http"),
        pytest.param({"discovery_url": "https://user@login.example/"}, id="discovery-with-user"),
    ],
)
def test_settings_that_would_let_everybody_in_are_refused(settings: dict[str, Any]):
    make_login(**MANY)
    with pytest.raises(ConnectorError) as caught:
        make_login(**{**MANY, **settings})
    assert caught.value.code == Code.CONFIG_INVALID


@pytest.mark.parametrize("spelling", [GOOGLE, "accounts.google.com"])
def test_google_spells_its_issuer_in_two_ways_and_is_one(spelling: str):
    identity = sign_in(make_google(), settings={"issuer": GOOGLE}, sub="107691503500061507151", iss=spelling)
    assert identity.issuer == GOOGLE


@pytest.mark.parametrize(
    "spelling",
    ["http://accounts.google.com", "https://accounts.google.com/", "accounts.google.com.evil.example"],
)
def test_a_third_spelling_is_refused(spelling: str):
    assert_refused(make_google(), Code.ISSUER_MISMATCH, settings={"issuer": GOOGLE}, iss=spelling)


def test_other_issuers_have_one_spelling():
    assert sign_in(OpenIdProvider()).issuer == "https://op.example"
    assert_refused(OpenIdProvider(), Code.ISSUER_MISMATCH, iss="op.example")


def test_only_accounts_of_the_organisations_domains_sign_in():
    settings = {"issuer": GOOGLE, "hosted_domains": ["corp.example", "corp.test"]}
    assert sign_in(make_google(), settings=settings, sub="1", hd="corp.test").subject == "1"
    for claims in ({}, {"hd": "evil.example"}, {"hd": ["corp.example"]}, {"hd": "CORP.example"}):
        assert_refused(make_google(), Code.CLAIM_INVALID, settings=settings, sub="1", **claims)


class TwoDocuments(OpenIdProvider):
    """Serves a second discovery document, which sends codes elsewhere."""

    def fetch_json(self, url: str, *, max_bytes: int = 1 << 20, headers=None) -> dict[str, Any]:
        if url == "https://elsewhere.example/document":
            return {**self.metadata(), "token_endpoint": "https://elsewhere.example/token"}
        return super().fetch_json(url, max_bytes=max_bytes, headers=headers)


def test_a_discovery_address_of_one_connection_chooses_nothing_for_another():
    provider, cache = TwoDocuments(), MemoryCache()
    elsewhere = {"discovery_url": "https://elsewhere.example/document"}
    sign_in(provider, cache=cache, settings=elsewhere)
    assert "https://elsewhere.example/token" in provider.requests
    provider.requests.clear()
    assert sign_in(provider, cache=cache).issuer == "https://op.example"
    assert "https://op.example/token" in provider.requests
    assert "https://elsewhere.example/token" not in provider.requests
