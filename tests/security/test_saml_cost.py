"""What a stranger's document may cost: well below 50 ms of CPU, whatever would happen if it were believed."""

import base64
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from lxml import etree

from idp_connectors.base import Callback, ConnectorError, LoginRequest
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import make_deps
from tests.builders.cost import cpu_seconds
from tests.builders.saml_encryption import XENC, Encryption
from tests.builders.saml_idp import ACS_URL, DS, ENTITY_ID, NS, SamlIdentityProvider, find
from tests.builders.service_keys import make_service_keys

LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)
MOST_SECONDS = 0.05
XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"
STYLESHEET = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/"><xsl:call-template name="x"><xsl:with-param name="n" select="30"/></xsl:call-template>
</xsl:template><xsl:template name="x"><xsl:param name="n"/><xsl:if test="$n > 0"><xsl:call-template name="x">
<xsl:with-param name="n" select="$n - 1"/></xsl:call-template><xsl:call-template name="x"><xsl:with-param
name="n" select="$n - 1"/></xsl:call-template></xsl:if></xsl:template></xsl:stylesheet>"""


def deflate_bomb(good: Callback) -> Callback:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(100)) + packer.flush()
    packed = base64.b64encode(bomb).decode()
    return replace(good, method="GET", form={}, query={"SAMLResponse": packed, **_state(good)})


def deflate_bomb_in_the_form(good: Callback) -> Callback:
    return replace(good, form={**good.form, "SAMLResponse": deflate_bomb(good).query["SAMLResponse"]})


def xslt(good: Callback) -> Callback:
    def change(root: etree._Element) -> None:
        transforms = find(root, "//ds:Transforms")
        transform = etree.SubElement(transforms, f"{{{DS}}}Transform", {"Algorithm": XSLT})
        transform.append(etree.fromstring(STYLESHEET))

    return _with(good, change)


def megabyte_of_text(good: Callback) -> Callback:
    return _with(good, lambda root: setattr(find(root, "//saml:NameID"), "text", "u" * (1 << 20)))


def megabyte_of_elements(good: Callback) -> Callback:
    def change(root: etree._Element) -> None:
        status = find(root, "./samlp:Status")
        for _ in range(70_000):
            etree.SubElement(status, "a")

    return _with(good, change)


def megabyte_of_base64(good: Callback) -> Callback:
    return replace(good, form={**good.form, "SAMLResponse": "A" * (1 << 20)})


def entities(good: Callback) -> Callback:
    document = base64.b64decode(good.form["SAMLResponse"])
    laughs = b"".join(b'<!ENTITY e%d "&e%d;&e%d;">' % (n + 1, n, n) for n in range(40))
    return _bring(
        good, b'<!DOCTYPE x [<!ENTITY e0 "ha">' + laughs + b"]>" + document.replace(b"u-1", b"&e40;")
    )


def most_elements_that_are_looked_at(good: Callback) -> Callback:
    document = base64.b64decode(good.form["SAMLResponse"])
    return _bring(good, document.replace(b"<samlp:Status>", b"<samlp:Status>" + b"<a/>" * 9_900))


def many_wrapped_keys(good: Callback) -> Callback:
    def change(root: etree._Element) -> None:
        Encryption()(root)
        info = root.xpath("//xenc:EncryptedData/ds:KeyInfo", namespaces={**NS, "xenc": XENC})[0]
        for _ in range(500):
            etree.SubElement(info, f"{{{XENC}}}EncryptedKey")

    return _with(good, change)


def _with(good: Callback, change: Callable[[etree._Element], object]) -> Callback:
    root = etree.fromstring(base64.b64decode(good.form["SAMLResponse"]))
    change(root)
    return _bring(good, etree.tostring(root))


def _bring(good: Callback, document: bytes) -> Callback:
    return replace(good, form={"SAMLResponse": base64.b64encode(document).decode(), **_state(good)})


def _state(good: Callback) -> dict[str, str]:
    return {"RelayState": good.form["RelayState"]}


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(deflate_bomb, id="S31-deflate-bomb"),
        pytest.param(deflate_bomb_in_the_form, id="S31-deflate-bomb-in-the-form"),
        pytest.param(xslt, id="S24-xslt"),
        pytest.param(megabyte_of_text, id="S30-megabyte-of-text"),
        pytest.param(megabyte_of_elements, id="S30-megabyte-of-elements"),
        pytest.param(megabyte_of_base64, id="S30-megabyte-of-base64"),
        pytest.param(entities, id="S30-billion-laughs"),
        pytest.param(most_elements_that_are_looked_at, id="S30-most-elements"),
        pytest.param(many_wrapped_keys, id="S45-many-keys"),
    ],
)
def test_a_refusal_takes_less_than_50_ms(attack: Callable[[Callback], Callback]):
    idp = SamlIdentityProvider()
    login = SamlConnector().interactive(idp.config(encryption="accepted"), {})
    deps = make_deps(keys=make_service_keys())
    good = idp.sign_in(login.begin(LOGIN, deps))
    bad = attack(good)

    def refuse() -> None:
        with pytest.raises(ConnectorError):
            login.complete(bad, deps)

    # The best of three: the first one loads code, and a collection of garbage may fall into any.
    assert min(cpu_seconds(refuse) for _ in range(3)) < MOST_SECONDS
    assert login.complete(good, deps).subject == "u-1"
