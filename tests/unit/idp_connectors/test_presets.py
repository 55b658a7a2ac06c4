"""Presets are data: each fills its connector's settings, names its console's fields, and explains errors."""

import re
from dataclasses import replace
from importlib import import_module
from typing import Any

import httpx2
import pytest
from lxml import etree

from idp_connectors.base import ConnectorError, secret_fields
from idp_connectors.claim_mapping import CLAIMS, pick
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.presets import PRESETS
from idp_connectors.presets.preset import Mishap, Preset, Side, explain, fill
from idp_connectors.registry import CONNECTORS
from tests.builders import google_directory, graph, saml_idp
from tests.builders.connector_deps import make_deps
from tests.builders.google_directory import ACCOUNT, GoogleDirectory, key_file
from tests.builders.graph import PERSON, MicrosoftCloud, entra_claims, overage
from tests.builders.oidc_op import CLIENT_ID, CLIENT_SECRET, OpenIdProvider
from tests.builders.oidc_rp import LOGIN
from tests.builders.source_tree import ROOT

SIDES = [
    pytest.param(side, kind, id=f"{name}-{kind}")
    for name, preset in PRESETS.items()
    for kind, side in preset.sides.items()
]
ANSWERS = {
    "certificate": saml_idp.key_and_certificate("idp")[1].decode(),
    "client_secret": CLIENT_SECRET,
    "google_service_account": key_file(),
    "google_admin": google_directory.ADMIN,
    "domain": "corp.example",
    "tenant_id": graph.TENANT,
}


def answers_for(side: Side, **changes: str) -> dict[str, str]:
    return {take.name: ANSWERS.get(take.name, take.example) for take in side.takes} | changes


def split(side: Side, kind: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return filled settings as they are stored: what is open, and what is sealed."""
    hidden = secret_fields(CONNECTORS[kind].config_model)
    settings = fill(side, answers_for(side))
    return (
        {name: value for name, value in settings.items() if name not in hidden},
        {name: value for name, value in settings.items() if name in hidden},
    )


# --- the table --------------------------------------------------------------------------------------


SAML_ONLY = {"adfs"}
"""Its OpenID Connect puts a Windows SID where the protocol names a session."""


def test_every_module_with_a_preset_is_in_the_table_and_offers_both_protocols():
    modules = [
        path.stem for path in (ROOT / "idp_connectors/presets").glob("*.py") if path.stem != "__init__"
    ]
    found = {name: import_module(f"idp_connectors.presets.{name}") for name in modules}
    presets = {name: module.PRESET for name, module in found.items() if hasattr(module, "PRESET")}
    assert presets == dict(PRESETS)
    assert all(isinstance(preset, Preset) and preset.title for preset in presets.values())
    others = {name: set(preset.sides) for name, preset in PRESETS.items() if name not in SAML_ONLY}
    assert [name for name, kinds in others.items() if kinds != {"oidc", "saml"}] == []
    assert [name for name in SAML_ONLY if set(PRESETS[name].sides) != {"saml"}] == []


def test_the_guide_shows_the_line_that_a_new_preset_adds():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    shown = guide.partition("## Adding a preset")[2].partition("\n## ")[0]
    table = (ROOT / "idp_connectors/presets/__init__.py").read_text()
    added = re.findall(r'^\+    ("[a-z]+",)$', shown, re.MULTILINE)
    assert len(added) == 1
    assert f"    {added[0]}\n" in table


# --- each side --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "kind"), SIDES)
def test_the_settings_are_accepted_by_the_connector(side: Side, kind: str):
    config, secrets = split(side, kind)
    CONNECTORS[kind].interactive(config, secrets)


@pytest.mark.parametrize(("side", "kind"), SIDES)
def test_what_is_brought_is_used_and_secrets_are_marked(side: Side, kind: str):
    used = set(re.findall(r"\$\{([a-z_]+)\}", repr(side.settings)))
    assert used == {take.name for take in side.takes}
    assert set(side.settings) <= set(CONNECTORS[kind].config_model.model_fields)
    hidden = secret_fields(CONNECTORS[kind].config_model)
    assert {take.name for take in side.takes if take.is_secret} == hidden & set(side.settings)


@pytest.mark.parametrize(("side", "kind"), SIDES)
def test_each_example_has_the_shape_that_is_asked_for(side: Side, kind: str):
    odd = [
        take.name
        for take in side.takes
        if not take.is_secret and take.name != "certificate" and not re.fullmatch(take.pattern, take.example)
    ]
    assert odd == []


@pytest.mark.parametrize(("side", "kind"), SIDES)
def test_each_claim_of_the_table_is_read_into_its_field(side: Side, kind: str):
    assert set(side.claims) <= set(CLAIMS)
    assert {field: pick(field, {name: "x"}) for field, name in side.claims.items()} == dict.fromkeys(
        side.claims, "x"
    )


@pytest.mark.parametrize(("side", "kind"), SIDES)
def test_our_addresses_are_all_offered_for_copying(side: Side, kind: str):
    wanted = {"oidc": {"callback_url"}, "saml": {"callback_url", "entity_id"}}[kind]
    assert wanted <= {give.value for give in side.gives if give.is_required}


@pytest.mark.parametrize(("side", "kind"), SIDES)
def test_it_is_said_where_groups_are_decided(side: Side, kind: str):
    assert side.groups.console


@pytest.mark.parametrize(("side", "kind"), SIDES)
def test_everything_that_people_read_is_a_sentence(side: Side, kind: str):
    texts = [*side.steps, side.subject_why, side.groups.advice]
    texts += [text for mishap in side.mishaps for text in (mishap.cause, mishap.fix)]
    assert [text for text in texts if not re.match(r"[A-Z`].*\.$", text)] == []
    assert len(side.steps) >= 4
    assert [mishap for mishap in side.mishaps if not mishap.console] == []
    assert side.groups.kind == side.settings["group_kind"]


def test_weak_identifiers_are_marked_and_only_they():
    weak = {
        (name, kind)
        for name, preset in PRESETS.items()
        for kind, side in preset.sides.items()
        if side.subject_is_weak
    }
    by_address = {
        (name, kind)
        for name, preset in PRESETS.items()
        for kind, side in preset.sides.items()
        if side.settings["subject"] == "nameid-any-format"
    }
    assert weak == by_address == {("google", "saml")}


# --- filling ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "kind", "name", "value"),
    [
        ("entra", "oidc", "tenant_id", "common"),
        ("entra", "oidc", "tenant_id", f"{graph.TENANT}/../evil"),
        ("entra", "oidc", "tenant_id", graph.TENANT + "\n" + graph.TENANT),
        ("entra", "saml", "tenant_id", "${certificate}"),
        ("okta", "oidc", "issuer", "https://acme.okta.com/oauth2/default?x=1"),
        ("okta", "oidc", "issuer", "https://user@acme.okta.com"),
        ("okta", "oidc", "issuer", "http://acme.okta.com"),
        ("google", "oidc", "client_id", "1234.apps.googleusercontent.com.evil.example"),
        ("google", "saml", "idp_id", "C01&x=1"),
        ("generic", "oidc", "issuer", "https://"),
        ("generic", "saml", "certificate", "none"),
        ("generic", "oidc", "client_secret", ""),
        ("generic", "oidc", "client_secret", "x" * 40_000),
    ],
)
def test_an_answer_of_another_shape_is_refused_by_name_and_not_repeated(
    preset: str, kind: str, name: str, value: str
):
    side = PRESETS[preset].sides[kind]
    assert fill(side, answers_for(side))
    with pytest.raises(ConnectorError) as caught:
        fill(side, answers_for(side, **{name: value}))
    assert (caught.value.code, caught.value.field) == (Code.CONFIG_INVALID, name)
    assert not value or value not in str(caught.value)


def test_an_absent_or_unknown_answer_is_refused_by_name():
    side = PRESETS["okta"].sides["oidc"]
    for answers, name in (({}, "issuer"), ({**answers_for(side), "scopes": "x"}, "scopes")):
        with pytest.raises(ConnectorError) as caught:
            fill(side, answers)
        assert caught.value.field == name


def test_blanks_around_a_pasted_value_do_not_count():
    side = PRESETS["entra"].sides["oidc"]
    assert fill(side, answers_for(side, tenant_id=f" {graph.TENANT}\n")) == fill(side, answers_for(side))


# --- explaining -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "kind", "detail", "console"),
    [
        ("entra", "oidc", "AADSTS50011: The redirect URI ...", "Authentication > Web > Redirect URIs"),
        ("entra", "oidc", "AADSTS7000222", "Certificates & secrets > Client secrets"),
        ("entra", "saml", "AADSTS750054", "Basic SAML Configuration > Sign on URL"),
        ("okta", "oidc", "User is not assigned to the client application.", "Assignments"),
        ("google", "saml", "403 app_not_configured_for_user", "Service provider details > Entity ID"),
        ("google", "saml", "403 app_not_enabled_for_user", "User access"),
        ("generic", "oidc", "token endpoint: 'invalid_client'", "Client secret"),
    ],
)
def test_a_sign_in_the_providers_words_names_the_field_to_change(
    preset: str, kind: str, detail: str, console: str
):
    found = explain(PRESETS[preset].sides[kind], Code.UPSTREAM_REFUSED, detail)
    assert [mishap.console for mishap in found] == [console]


def test_a_longer_sign_is_not_taken_for_the_shorter_one_within():
    google = PRESETS["google"].sides["saml"]
    (found,) = explain(google, Code.UPSTREAM_REFUSED, "app_not_configured_for_user")
    (other,) = explain(google, Code.UPSTREAM_REFUSED, "app_not_configured")
    assert (found.sign, other.sign) == ("app_not_configured_for_user", "app_not_configured")


def test_without_a_sign_everything_of_that_code_is_offered():
    side = PRESETS["entra"].sides["oidc"]
    found: tuple[Mishap, ...] = explain(side, Code.SIGNATURE_INVALID)
    assert [mishap.console for mishap in found] == ["Discovery address"]
    assert explain(side, Code.REPLAYED) == ()


# --- signing in with a preset -----------------------------------------------------------------------


def sign_in_with(preset: str, provider: OpenIdProvider, **claims: Any):
    config, secrets = split(PRESETS[preset].sides["oidc"], "oidc")
    login = CONNECTORS["oidc"].interactive({**config, "client_id": CLIENT_ID}, secrets)
    deps = make_deps(provider)
    return login.complete(provider.sign_in(login.begin(LOGIN, deps), **claims), deps)


def test_entra_people_are_known_by_object_and_directory_and_keep_1500_groups():
    cloud = MicrosoftCloud()
    cloud.graph.members[PERSON] = list(range(1500))
    identity = sign_in_with("entra", cloud, **entra_claims(**overage()))
    assert (identity.subject_kind, identity.subject) == ("oid+tid", f"{graph.TENANT}/{PERSON}")
    assert (len(identity.groups), identity.groups_state, identity.groups_source) == (
        1500,
        "complete",
        "graph",
    )


class GoogleCloud(OpenIdProvider):
    """Google's sign-in together with the Directory API."""

    def __init__(self) -> None:
        super().__init__("https://accounts.google.com")
        self.directory = GoogleDirectory()

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.host != "accounts.google.com":
            return self.directory.serve(request)
        return super()._answer(request)


def test_google_people_are_known_by_account_and_their_groups_are_looked_up_always():
    identity = sign_in_with(
        "google", GoogleCloud(), sub=ACCOUNT, hd="corp.example", email="ada@corp.example", email_verified=True
    )
    assert (identity.subject_kind, identity.subject) == ("sub", ACCOUNT)
    assert identity.email_verified_by == "idp_verified_domain"
    assert [group.value for group in identity.groups] == ["team@corp.example", "office@corp.example"]
    assert (identity.groups_state, identity.groups_source) == ("complete", "directory_api")
    with pytest.raises(ConnectorError) as caught:
        sign_in_with("google", GoogleCloud(), sub=ACCOUNT, hd="evil.example")
    side = PRESETS["google"].sides["oidc"]
    assert [mishap.console for mishap in explain(side, caught.value.code, caught.value.detail)] == [
        "Account > Domains"
    ]


@pytest.mark.parametrize(
    ("preset", "issuer", "group"),
    [
        ("okta", "https://acme.okta.com", "agents-finance"),
        ("keycloak", "https://sso.corp.example/realms/corp", "/staff/finance"),
        ("generic", "https://id.corp.example", "finance"),
    ],
)
def test_others_bring_their_groups_in_the_token(preset: str, issuer: str, group: str):
    class Provider(OpenIdProvider):
        def _answer(self, request: httpx2.Request) -> httpx2.Response:
            place = httpx2.URL(str(request.url).replace(self.issuer, "https://op.example"))
            inner = httpx2.Request(request.method, place, headers=request.headers, content=request.read())
            return super()._answer(inner)

    identity = sign_in_with(preset, Provider(issuer), sub="00u1", groups=[group])
    assert (identity.issuer, identity.subject) == (issuer, "00u1")
    assert [found.value for found in identity.groups] == [group]
    assert identity.groups[0].kind == PRESETS[preset].sides["oidc"].groups.kind


def test_adfs_tells_people_and_groups_by_their_sids_and_issues_no_name_id():
    def as_adfs(root: etree._Element) -> None:
        for issuer in root.iter(f"{{{saml_idp.SAML}}}Issuer"):
            issuer.text = "http://fs.corp.example/adfs/services/trust"
        for name_id in list(root.iter(f"{{{saml_idp.SAML}}}NameID")):
            saml_idp.find(root, ".//saml:Subject").remove(name_id)

    filled, _ = split(PRESETS["adfs"].sides["saml"], "saml")
    # As it is stored: a certificate in one line.
    config = CONNECTORS["saml"].config_model.model_validate(filled).model_dump(mode="json")
    request = replace(LOGIN, callback_url=saml_idp.ACS_URL, entity_id=saml_idp.ENTITY_ID)
    deps, login = make_deps(), CONNECTORS["saml"].interactive(config, {})
    told = {
        "http://schemas.microsoft.com/ws/2008/06/identity/claims/primarysid": ["S-1-5-21-1-2-3-1104"],
        "http://schemas.microsoft.com/ws/2008/06/identity/claims/groupsid": ["S-1-5-21-1-2-3-513"],
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name": ["Ada Example"],
    }
    idp = saml_idp.SamlIdentityProvider(bend=as_adfs)
    ada = login.complete(idp.sign_in(login.begin(request, deps), attributes=told), deps)
    assert (ada.subject, ada.display_name) == ("S-1-5-21-1-2-3-1104", "Ada Example")
    assert [(group.kind, group.value) for group in ada.groups] == [("id", "S-1-5-21-1-2-3-513")]


def test_the_page_of_presets_names_every_one_with_its_protocols():
    page = (ROOT / "deploy/docs/identity-providers.md").read_text()
    rows = re.findall(r"^\| `([a-z]+)` \| [^|]+ \| ([a-z, ]+) \|", page, re.MULTILINE)
    told = {(name, kind) for name, kinds in rows for kind in kinds.split(", ")}
    assert told == {(name, kind) for name, preset in PRESETS.items() for kind in preset.sides}
