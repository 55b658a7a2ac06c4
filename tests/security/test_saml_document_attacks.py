"""Attacks on whatever reads the XML: transforms, entities, comments, sizes, encodings, odd namespaces."""

import base64
import threading
import time
import tracemalloc
import zlib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from lxml import etree

from idp_connectors.base import ConnectorError, LoginRequest
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import make_deps
from tests.builders.saml_idp import ACS_URL, DS, ENTITY_ID, SAML, SamlIdentityProvider, find
from tests.builders.service_keys import make_service_keys

LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)
XSLT_BOMB = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/"><xsl:call-template name="x"><xsl:with-param name="n" select="30"/></xsl:call-template>
</xsl:template><xsl:template name="x"><xsl:param name="n"/><xsl:if test="$n > 0"><xsl:call-template name="x">
<xsl:with-param name="n" select="$n - 1"/></xsl:call-template><xsl:call-template name="x"><xsl:with-param
name="n" select="$n - 1"/></xsl:call-template></xsl:if></xsl:template></xsl:stylesheet>"""


def sign_in(idp: SamlIdentityProvider, **settings: object):
    login, deps = SamlConnector().interactive(idp.config(**settings), {}), make_deps()
    callback = idp.sign_in(
        login.begin(LOGIN, deps), attributes={"groups": ["eng"], "mail": ["a@corp.example"]}
    )
    return login.complete(callback, deps)


def assert_refused(idp: SamlIdentityProvider, *codes: Code) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        sign_in(idp)
    assert caught.value.code in (codes or (Code.DOCUMENT_REFUSED,)), caught.value
    return caught.value


def bent(change) -> SamlIdentityProvider:
    idp = SamlIdentityProvider()
    idp.bend_bytes = change
    return idp


def test_the_valid_twin_signs_in():
    assert sign_in(SamlIdentityProvider()).subject == "u-1"


@pytest.fixture
def no_signature_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a refused document gets as far as python3-saml."""

    def reached(*args: object, **kwargs: object) -> None:
        raise AssertionError("the document reached the signature code")

    monkeypatch.setattr("idp_connectors.saml.connector.verify_signatures", reached)


@pytest.mark.usefixtures("no_signature_code")
@pytest.mark.parametrize(
    "algorithm",
    [
        "http://www.w3.org/TR/1999/REC-xslt-19991116",
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "http://www.w3.org/2002/06/xmldsig-filter2",
        DS + "base64",
        "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
    ],
)
@pytest.mark.parametrize("place", ["first", "last", "instead"])
def test_s24_a_foreign_transform_never_runs(algorithm: str, place: str):
    idp = SamlIdentityProvider()

    def add(root: etree._Element) -> None:
        transforms = find(root, "//ds:Transforms")
        transform = etree.Element(f"{{{DS}}}Transform", {"Algorithm": algorithm})
        if "xslt" in algorithm:
            transform.append(etree.fromstring(XSLT_BOMB))
        if place == "instead":
            transforms.remove(transforms[0])
        transforms.insert(9 if place == "last" else 0, transform)

    idp.bend_signed = add
    started = time.process_time()
    assert_refused(idp)
    # At this depth the transform itself would run for an hour.
    assert time.process_time() - started < 5


@pytest.mark.usefixtures("no_signature_code")
@pytest.mark.parametrize(
    "insert",
    [
        pytest.param(b"<!--x-->", id="S27-comment"),
        pytest.param(b"<?x y?>", id="S27-processing-instruction"),
        pytest.param(b"&x;", id="S27-entity"),
    ],
)
@pytest.mark.parametrize(
    "place", [b"u-1<", b"eng<", b"a@corp.example<", b"</ds:DigestValue>", b"</samlp:Response>"]
)
def test_s15_s27_comments_and_the_like_are_refused_wherever_they_are(insert: bytes, place: bytes):
    middle = place[:1] + insert + place[1:] if place[:1] != b"<" else insert + place
    assert_refused(bent(lambda document: document.replace(place, middle, 1)))


def test_s27_cdata_is_text_for_every_reader():
    """CDATA is no comment: canonical XML has its text, so the signature still covers the whole value."""
    idp = bent(lambda document: document.replace(b">u-1<", b"><![CDATA[u-1]]><", 1))
    assert sign_in(idp).subject == "u-1"
    evil = bent(lambda document: document.replace(b">u-1<", b">u-1<![CDATA[x]]><", 1))
    assert_refused(evil, Code.SIGNATURE_INVALID)


def test_s27_a_nested_element_in_the_name_is_refused():
    idp = SamlIdentityProvider()
    idp.bend = lambda root: etree.SubElement(find(root, "//saml:NameID"), f"{{{SAML}}}Audience")
    assert_refused(idp, Code.SIGNATURE_INVALID, Code.CLAIM_INVALID)


@pytest.mark.usefixtures("no_signature_code")
@pytest.mark.parametrize(
    "prologue",
    [
        pytest.param(b"<!DOCTYPE x>", id="S19-doctype"),
        pytest.param(b'<!DOCTYPE x [<!ENTITY e "v">]>', id="S30-entity"),
        pytest.param(b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', id="S29-file"),
        pytest.param(b"<!DOCTYPE x [<!ATTLIST y z ID #IMPLIED>]>", id="S23-attlist"),
        pytest.param(b'<?xml version="1.0"?><!DOCTYPE x SYSTEM "http://127.0.0.1:9/x">', id="S29-dtd"),
        pytest.param(b'<?xml version="1.0" encoding="UTF-16"?>', id="declared-utf-16"),
        pytest.param(b'<?xml version="1.0" encoding="UTF-7"?>', id="declared-utf-7"),
        pytest.param(b"<!--x-->", id="leading-comment"),
        pytest.param(b"text", id="S26-leading-text"),
    ],
)
def test_s19_s29_s30_documents_with_such_a_beginning_are_refused(prologue: bytes):
    assert_refused(bent(lambda document: prologue + document))


def test_an_xml_declaration_in_utf_8_is_fine():
    idp = bent(lambda document: b"<?xml version='1.0' encoding='utf-8'?>\n" + document)
    assert sign_in(idp).subject == "u-1"


@pytest.mark.usefixtures("no_signature_code")
def test_s29_an_external_entity_is_never_fetched():
    hits: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/x".encode()
        dtd = b'<!DOCTYPE x [<!ENTITY % p SYSTEM "' + address + b'"> %p;]>'
        assert_refused(bent(lambda document: dtd + document))
    finally:
        server.shutdown()
        server.server_close()
    assert hits == []


@pytest.mark.usefixtures("no_signature_code")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d + d, id="S26-two-roots"),
        pytest.param(lambda d: d + b"x", id="S26-trailing-text"),
        pytest.param(lambda d: d.decode().encode("utf-16"), id="utf-16"),
        pytest.param(lambda d: d.replace(b"u-1", b"u\xff1"), id="not-utf-8"),
        pytest.param(lambda d: d.replace(b"u-1", b"u\x001"), id="S28-nul"),
        pytest.param(lambda d: b" ", id="empty"),
        pytest.param(lambda d: b"<x/>", id="another-root"),
        pytest.param(
            lambda d: d.replace(b"<samlp:Status>", b'<samlp:Status xmlns:q="rel/ative">'), id="S22-relative"
        ),
        pytest.param(
            lambda d: d.replace(b"<samlp:Status>", b'<samlp:Status xmlns:q="&#114;el">'), id="S22-escaped"
        ),
        pytest.param(
            lambda d: d.replace(b"<samlp:Status>", b'<samlp:Status><x:Assertion xmlns:x="urn:x"/>'),
            id="S21-foreign-assertion",
        ),
        pytest.param(
            lambda d: d.replace(b"<samlp:Status>", b"<samlp:Status><saml:EncryptedAssertion/>"),
            id="S43-encrypted-assertion",
        ),
        pytest.param(
            lambda d: d.replace(b"<samlp:Status>", b"<samlp:Status>" + b"<a>" * 60 + b"</a>" * 60),
            id="S30-depth-60",
        ),
        pytest.param(
            lambda d: d.replace(b"<samlp:Status>", b"<samlp:Status>" + b"<a/>" * 10_001),
            id="S30-10001-elements",
        ),
        pytest.param(
            lambda d: d.replace(
                b"<samlp:Status>",
                b"<samlp:Status " + b" ".join(b'a%d="1"' % n for n in range(10_001)) + b">",
            ),
            id="S30-10001-attributes",
        ),
        pytest.param(lambda d: d.replace(b"u-1", b"u" * 300_000), id="S30-300-kB"),
    ],
)
def test_documents_of_such_a_shape_are_refused(change):
    assert_refused(bent(change))


def test_s30_a_refusal_costs_little():
    """Quadratic and exponential shapes: well below a second of CPU where they would take minutes."""
    many = b"<a xmlns:a='urn:a' " + b" ".join(b'xmlns:n%d="urn:n"' % n for n in range(5000)) + b">"
    shapes = [
        many + b"<a/>" * 20_000 + b"</a>",
        b"<a>" * 60_000,
        b"<a " + b"x" * 200_000,
        b"<a>" + b"&lt;" * 60_000 + b"</a>",
        b"xmlns" * 50_000,
        b"xmlns: = " * 25_000,
        b"<?xml " * 40_000,
    ]
    started = time.process_time()
    for shape in shapes:
        assert_refused(bent(lambda document, shape=shape: shape))
    assert time.process_time() - started < 5


def test_s31_a_deflate_bomb_on_the_redirect_binding_is_not_inflated():
    idp, deps = SamlIdentityProvider(), make_deps()
    login = SamlConnector().interactive(idp.config(), {})
    good = idp.sign_in(login.begin(LOGIN, deps))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(300)) + packer.flush()
    query = {"SAMLResponse": base64.b64encode(bomb).decode(), "RelayState": good.form["RelayState"]}
    tracemalloc.start()
    try:
        with pytest.raises(ConnectorError) as caught:
            login.complete(replace(good, method="GET", query=query, form={}), deps)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.code == Code.CALLBACK_MALFORMED
    assert login.complete(good, deps).subject == "u-1"


def test_s31_a_bomb_in_the_form_is_refused_at_the_cap():
    idp, deps = SamlIdentityProvider(), make_deps()
    login = SamlConnector().interactive(idp.config(), {})
    good = idp.sign_in(login.begin(LOGIN, deps))
    huge = replace(good, form={**good.form, "SAMLResponse": "A" * (8 << 20)})
    tracemalloc.start()
    try:
        with pytest.raises(ConnectorError) as caught:
            login.complete(huge, deps)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.code == Code.DOCUMENT_REFUSED


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("", Code.CALLBACK_MALFORMED, id="S52-empty"),
        pytest.param("%%%", Code.DOCUMENT_REFUSED, id="S52-not-base64"),
        pytest.param("PHg-_w==", Code.DOCUMENT_REFUSED, id="S52-url-safe"),
        pytest.param("PHgvPg", Code.DOCUMENT_REFUSED, id="S52-no-padding"),
    ],
)
def test_s52_odd_encodings_are_refused(text: str, code: Code):
    idp, deps = SamlIdentityProvider(), make_deps()
    login = SamlConnector().interactive(idp.config(), {})
    good = idp.sign_in(login.begin(LOGIN, deps))
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(good, form={**good.form, "SAMLResponse": text}), deps)
    assert caught.value.code == code


def test_s52_line_breaks_in_base64_are_fine():
    idp, deps = SamlIdentityProvider(), make_deps()
    login = SamlConnector().interactive(idp.config(), {})
    good = idp.sign_in(login.begin(LOGIN, deps))
    wrapped = "\r\n".join(good.form["SAMLResponse"][n : n + 76] for n in range(0, 9999, 76)).strip()
    assert login.complete(replace(good, form={**good.form, "SAMLResponse": wrapped}), deps).subject == "u-1"


@pytest.mark.parametrize("value", ['"/><x', "&amp;", "]]>", "'><!--"])
def test_s53_configured_texts_cannot_become_markup(value: str):
    document = SamlConnector().service_metadata(
        SamlIdentityProvider().config(),
        entity_id=f"urn:{value}",
        callback_url=ACS_URL + value,
        keys=make_service_keys(),
    )
    root = etree.fromstring(document)
    assert root.get("entityID") == f"urn:{value}"
    assert [etree.QName(child).localname for child in root[0]] == [
        "KeyDescriptor",
        "NameIDFormat",
        "AssertionConsumerService",
    ]
    login = SamlConnector().interactive(SamlIdentityProvider().config(), {})
    begun = login.begin(replace(LOGIN, entity_id=f"urn:{value}", flow_id=value), make_deps())
    from tests.builders.saml_idp import read_authn_request

    request = read_authn_request(begun.redirect_url)
    assert [child.text for child in request] == [f"urn:{value}"]


def test_what_a_refusal_says_repeats_nothing_of_the_message():
    idp = SamlIdentityProvider()
    idp.bend_signed = lambda root: setattr(find(root, "//saml:NameID"), "text", "<script>alert(1)</script>")
    assert "script" not in assert_refused(idp, Code.SIGNATURE_INVALID).public
