"""The demo's identity providers keep their protocols: codes, PKCE, keys, a SAML assertion that verifies."""

import base64
import hashlib
import zlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import xmlsec
from joserfc import jwt
from joserfc.jwk import KeySet
from lxml import etree

from broker.demo.idps.entra_like import EntraLike
from broker.demo.idps.google_like import GoogleLike
from broker.demo.idps.oidc_idp import OidcIdp, RelyingParty
from broker.demo.idps.okta_like import OktaLike
from broker.demo.people import ENTRA_SUPPORT_GROUP, ENTRA_TENANT_ID

ORIGIN = "http://localhost:7001"
CALLBACK = "http://127.0.0.1:8080/t/acme/oidc/okta/callback"
ACS = "http://127.0.0.1:8080/t/acme/saml/google/acs"
ENTITY = "http://127.0.0.1:8080/t/acme/saml/google/metadata"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def path(url: str) -> str:
    return urlsplit(url).path


def authorize(idp: OidcIdp, party: RelyingParty, person: str, **changes: str) -> Any:
    form = {
        "client_id": party.client_id,
        "redirect_uri": party.redirect_uri,
        "scope": "openid profile email groups",
        "state": "s1",
        "nonce": "n1",
        "code_challenge": CHALLENGE,
        "person": person,
        **changes,
    }
    client = idp.create_app().test_client()
    return client.post(path(idp.discovery()["authorization_endpoint"]), data=form)


def code_of(answer: Any) -> str:
    assert answer.status_code == 303
    query = parse_qs(urlsplit(answer.location).query)
    assert query["state"] == ["s1"]
    return query["code"][0]


def redeem(idp: OidcIdp, party: RelyingParty, code: str, **changes: str) -> Any:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": party.redirect_uri,
        "code_verifier": VERIFIER,
        **changes,
    }
    client = idp.create_app().test_client()
    endpoint = path(idp.discovery()["token_endpoint"])
    return client.post(endpoint, data=form, auth=(party.client_id, party.client_secret))


def claims_for(idp: OidcIdp, person: str) -> dict[str, Any]:
    party = idp.register(CALLBACK)
    answer = redeem(idp, party, code_of(authorize(idp, party, person)))
    client = idp.create_app().test_client()
    keys = KeySet.import_key_set(client.get(path(idp.discovery()["jwks_uri"])).json)
    claims = jwt.decode(answer.json["id_token"], keys, algorithms=["ES256", "RS256"]).claims
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (idp.issuer, party.client_id, "n1")
    return claims


def test_okta_like_tells_group_names_and_how_somebody_signed_in() -> None:
    idp = OktaLike(ORIGIN)
    claims = claims_for(idp, "maya")
    assert claims["groups"] == ["Everyone", "agents-support"]
    assert (claims["sub"], claims["amr"], claims["ver"]) == ("00u1maya7QH3ijk0h7Ab", ["pwd", "mfa", "swk"], 1)
    idp.people["maya"].groups.remove("agents-support")
    assert claims_for(idp, "maya")["groups"] == ["Everyone"]


def test_entra_like_tells_guids_and_nothing_about_the_sign_in() -> None:
    idp = EntraLike(ORIGIN)
    claims = claims_for(idp, "jonas")
    assert ENTRA_SUPPORT_GROUP in claims["groups"]
    assert (claims["tid"], claims["ver"]) == (ENTRA_TENANT_ID, "2.0")
    assert claims["sub"] != claims["oid"]
    assert not {"amr", "acr", "auth_time", "email_verified"} & claims.keys()


def test_entra_like_sends_no_groups_when_there_are_too_many() -> None:
    claims = claims_for(EntraLike(ORIGIN), "tomek")
    assert "groups" not in claims
    assert claims["_claim_names"] == {"groups": "src1"}


def test_a_discovery_document_names_its_own_issuer() -> None:
    for idp in (OktaLike(ORIGIN), EntraLike(ORIGIN)):
        document = (
            idp.create_app().test_client().get(path(idp.issuer) + "/.well-known/openid-configuration").json
        )
        assert document["issuer"] == idp.issuer


def test_a_key_is_published_before_and_after_rotation() -> None:
    idp = OktaLike(ORIGIN)
    old = idp.key_set()["keys"][0]["kid"]
    idp.rotate_key()
    assert [key["kid"] for key in idp.key_set()["keys"]][1] == old
    assert claims_for(idp, "maya")["name"] == "Maya Lindqvist"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_verifier": "w" * 43}, id="stolen-code-without-verifier"),
        pytest.param({"redirect_uri": "http://127.0.0.1:9/x"}, id="other-redirect"),
    ],
)
def test_a_code_needs_its_own_request(changes: dict[str, str]) -> None:
    idp = OktaLike(ORIGIN)
    party = idp.register(CALLBACK)
    refused = redeem(idp, party, code_of(authorize(idp, party, "maya")), **changes)
    assert (refused.status_code, refused.json["error"]) == (400, "invalid_grant")
    assert redeem(idp, party, code_of(authorize(idp, party, "maya"))).status_code == 200


def test_a_code_works_once() -> None:
    idp = OktaLike(ORIGIN)
    party = idp.register(CALLBACK)
    code = code_of(authorize(idp, party, "maya"))
    assert [redeem(idp, party, code).status_code for _ in range(2)] == [200, 400]


def test_the_broker_must_be_registered_and_authenticated() -> None:
    idp = OktaLike(ORIGIN)
    party = idp.register(CALLBACK)
    assert authorize(idp, party, "maya", client_id="other").status_code == 400
    assert authorize(idp, party, "maya", redirect_uri="http://evil.test/").status_code == 400
    thief = RelyingParty(party.client_id, "guess", party.redirect_uri)
    assert redeem(idp, thief, code_of(authorize(idp, party, "maya"))).status_code == 401


def test_the_login_page_shows_everybody_and_says_that_it_is_a_demo() -> None:
    idp = OktaLike(ORIGIN)
    party = idp.register(CALLBACK)
    page = authorize(idp, party, "").text
    assert "demo IdP, no real vendor" in page
    assert all(person.name in page for person in idp.people.values())


def saml_request(issuer: str = ENTITY, acs: str = ACS) -> str:
    text = (
        '<p:AuthnRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r1" Version="2.0" '
        f'AssertionConsumerServiceURL="{acs}"><a:Issuer xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">'
        f"{issuer}</a:Issuer></p:AuthnRequest>"
    )
    packer = zlib.compressobj(wbits=-15)
    return base64.b64encode(packer.compress(text.encode()) + packer.flush()).decode()


@pytest.fixture
def google() -> GoogleLike:
    idp = GoogleLike(ORIGIN)
    idp.register(ENTITY, ACS)
    return idp


def sso(idp: GoogleLike, **form: str) -> Any:
    return idp.create_app().test_client().post("/o/saml2/idp", data=form)


def test_google_like_signs_the_assertion_and_not_the_response(google: GoogleLike) -> None:
    page = sso(google, SAMLRequest=saml_request(), RelayState="flow", person="aiko").text
    form = etree.HTML(page).find(".//form")
    fields = {field.get("name"): field.get("value") for field in form.iter("input")}
    assert (form.get("action"), fields["RelayState"]) == (ACS, "flow")
    root = etree.fromstring(base64.b64decode(fields["SAMLResponse"]))
    assertion = root.find("{urn:oasis:names:tc:SAML:2.0:assertion}Assertion")
    signatures = root.findall(".//{http://www.w3.org/2000/09/xmldsig#}Signature")
    assert [signature.getparent() for signature in signatures] == [assertion]
    xmlsec.tree.add_ids(root, ["ID"])
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(google.certificate_pem.encode(), xmlsec.KeyFormat.CERT_PEM)
    context.verify(signatures[0])
    values = [value.text for value in assertion.iter("{urn:oasis:names:tc:SAML:2.0:assertion}AttributeValue")]
    assert values == ["aiko@acme-labs.test", "Aiko", "Tanaka", "Agents Support"]
    assertion.find(".//{urn:oasis:names:tc:SAML:2.0:assertion}NameID").text = "boss@acme-labs.test"
    again = xmlsec.SignatureContext()
    again.key = xmlsec.Key.from_memory(google.certificate_pem.encode(), xmlsec.KeyFormat.CERT_PEM)
    with pytest.raises(xmlsec.Error):
        again.verify(signatures[0])


@pytest.mark.parametrize(
    "request_text",
    [
        pytest.param(saml_request(issuer="http://other.test"), id="unknown-application"),
        pytest.param(saml_request(acs="http://evil.test/acs"), id="foreign-acs"),
        pytest.param("bm90IHhtbA==", id="not-a-request"),
        pytest.param("", id="nothing"),
    ],
)
def test_google_like_answers_only_to_its_own_application(google: GoogleLike, request_text: str) -> None:
    assert sso(google, SAMLRequest=request_text, person="aiko").status_code == 400
    assert sso(google, SAMLRequest=saml_request(), person="aiko").status_code == 200


def test_google_like_describes_itself(google: GoogleLike) -> None:
    answer = google.create_app().test_client().get("/metadata")
    root = etree.fromstring(answer.data)
    assert root.get("entityID") == google.entity_id
    assert root.findtext(".//{http://www.w3.org/2000/09/xmldsig#}X509Certificate") in (
        google.certificate_pem.replace("\n", "")
    )
