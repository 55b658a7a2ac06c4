"""Reads a SAML provider's metadata: one provider, its addresses and keys. Nothing in it is trusted by itself.

A document may come from anybody, so it is bounded before it is parsed and parsed without DTD, entities,
network or size extension.
"""

import calendar
import re
import textwrap
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from lxml import etree

from idp_connectors.certificates import read_certificate
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.preview import CertificateFacts, ProviderPreview
from idp_connectors.saml.names import METADATA, PROTOCOL, signature

MAX_BYTES = 256 * 1024
MAX_ELEMENTS = 10_000
MAX_DEPTH = 30
MAX_CERTIFICATES = 10
SOON_SECONDS = 30 * 86_400

_REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
_BOM = b"\xef\xbb\xbf"
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z")


def read_metadata(document: bytes, now: int) -> ProviderPreview:
    """Return the one provider that the document describes; `now` in epoch seconds; raises ConnectorError."""
    entity = find_provider(parse_metadata(document))
    provider = entity.findall(_md("IDPSSODescriptor"))[0]
    sso_url = _address(provider, "SingleSignOnService")
    if not sso_url:
        raise _refuse("The metadata offers no sign-in address with the HTTP-Redirect binding.")
    texts = list(dict.fromkeys(_signing_certificates(provider)))
    certificates = tuple(_certificate(text) for text in texts)
    if not certificates:
        raise _refuse("The metadata holds no signing certificate.")
    if len(certificates) > MAX_CERTIFICATES:
        raise _refuse(f"The metadata holds more than {MAX_CERTIFICATES} signing certificates.")
    formats = [_text(one) for one in provider.findall(_md("NameIDFormat"))]
    facts = (
        ("Entity ID", entity.get("entityID", "")),
        ("Sign-in address", sso_url),
        ("Sign-out address", _address(provider, "SingleLogoutService") or "none offered"),
        ("NameID formats", ", ".join(one.rpartition(":")[2] for one in formats if one) or "none named"),
        ("Wants signed requests", "yes" if _is_true(provider.get("WantAuthnRequestsSigned")) else "no"),
    )
    return ProviderPreview(
        settings={
            "idp_entity_id": entity.get("entityID", ""),
            "sso_url": sso_url,
            "slo_url": _address(provider, "SingleLogoutService"),
            "certificates": tuple(_pem(text) for text in texts),
        },
        facts=facts,
        certificates=certificates,
        warnings=tuple(_warnings(entity, certificates, now)),
    )


def parse_metadata(document: bytes) -> etree._Element:
    """Return the root of a document that is small, UTF-8 and free of DTDs; raises ConnectorError."""
    if len(document) > MAX_BYTES:
        raise _refuse(f"The document is longer than {MAX_BYTES // 1024} KiB, so not one provider's own.")
    body = document.removeprefix(_BOM).strip()
    if not body.startswith(b"<"):
        raise _refuse("The document is not XML. It may be a page that asks for a sign-in.")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refuse("The document is not UTF-8.") from error
    # Without this: entities multiply a small document to gigabytes, or read files of this machine.
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise _refuse("The document has a document type declaration, which no provider needs.")
    if body.count(b"<") > 2 * MAX_ELEMENTS:
        raise _refuse("The document has more elements than one provider's metadata.")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True,
        remove_pis=True, recover=False, encoding="utf-8",
    )  # fmt: skip
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _refuse("The document is not well-formed XML.", detail=str(error)[:200]) from error
    _require_shallow(root)
    return root


def _require_shallow(root: etree._Element) -> None:
    waiting = [(root, 1)]
    count = 0
    while waiting:
        element, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_ELEMENTS:
            raise _refuse("The document is deeper or larger than one provider's metadata.")
        waiting.extend((child, depth + 1) for child in element)


def find_provider(root: etree._Element) -> etree._Element:
    """Return the description of the one identity provider that the document has; raises ConnectorError."""
    if root.tag not in (_md("EntityDescriptor"), _md("EntitiesDescriptor")):
        raise _refuse("The document is not SAML metadata.", detail=f"root {root.tag!r:.120}")
    entities = [one for one in root.iter(_md("EntityDescriptor")) if _is_provider(one)]
    if not entities:
        raise _refuse("The metadata describes no identity provider that speaks SAML 2.0.")
    # Without this: of a federation's thousand providers, the first would be taken for the one meant.
    if len(entities) > 1:
        raise _refuse("The metadata describes several identity providers. Give that of the one meant.")
    if not 0 < len(entities[0].get("entityID", "")) <= 1024:
        raise _refuse("The metadata names no entity ID.")
    return entities[0]


def _is_provider(entity: etree._Element) -> bool:
    found = entity.findall(_md("IDPSSODescriptor"))
    return len(found) == 1 and PROTOCOL in found[0].get("protocolSupportEnumeration", "").split()


def _address(provider: etree._Element, name: str) -> str:
    for service in provider.findall(_md(name)):
        location = service.get("Location", "")
        if service.get("Binding") == _REDIRECT and urlsplit(location).scheme in ("https", "http"):
            return location
    return ""


def _signing_certificates(provider: etree._Element) -> Iterator[str]:
    for key in provider.findall(_md("KeyDescriptor")):
        # A key without a use serves every use (Metadata 2.4.1.1).
        if key.get("use", "signing") == "signing":
            for found in key.iter(signature("X509Certificate")):
                yield "".join(_text(found).split())


def _certificate(text: str) -> CertificateFacts:
    try:
        return read_certificate(text)
    except ValueError as error:
        raise _refuse("A signing certificate of the metadata cannot be read.") from error


def _pem(text: str) -> str:
    lines = textwrap.wrap(text, 64)
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"])


def _warnings(entity: etree._Element, certificates: tuple[CertificateFacts, ...], now: int) -> Iterator[str]:
    until = _TIME.fullmatch(entity.get("validUntil", ""))
    if until and calendar.timegm(time.strptime(until.group(1), "%Y-%m-%dT%H:%M:%S")) <= now:
        yield "The metadata says of itself that it is no longer valid. Fetch it again from the provider."
    for one in certificates:
        if one.expires_at <= now:
            yield f"The certificate {one.subject} has expired. The provider may have a newer one."
        elif one.expires_at - now < SOON_SECONDS:
            yield f"The certificate {one.subject} expires within 30 days."


def _is_true(text: str | None) -> bool:
    return text in ("true", "1")


def _text(element: etree._Element) -> str:
    return "".join(str(part) for part in element.itertext()).strip()


def _md(name: str) -> str:
    return f"{{{METADATA}}}{name}"


def _refuse(public: str, detail: str = "") -> ConnectorError:
    return ConnectorError(ConnectorErrorCode.DOCUMENT_REFUSED, public, detail=detail, field="metadata")
