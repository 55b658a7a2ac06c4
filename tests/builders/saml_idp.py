"""A SAML identity provider in this process that signs real responses and can be told to bend them."""

import base64
import datetime
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import parse_qs, urlsplit

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree

from idp_connectors.base import Begun, Callback
from tests.builders.connector_deps import NOW

SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
DS = "http://www.w3.org/2000/09/xmldsig#"
XS = "http://www.w3.org/2001/XMLSchema"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
NS = {"samlp": SAMLP, "saml": SAML, "ds": DS}

IDP_ENTITY_ID = "https://idp.example/metadata"
SSO_URL = "https://idp.example/sso"
ENTITY_ID = "https://broker.example/t/acme/saml/con_1/metadata"
ACS_URL = "https://broker.example/t/acme/saml/con_1/acs"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"


@cache
def key_and_certificate(name: str = "idp", bits: int = 2048) -> tuple[bytes, bytes]:
    """Return a private key and a self-made certificate, both PEM; made once per process and name."""
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, certificate.public_bytes(serialization.Encoding.PEM)


def instant(moment: int) -> str:
    """Return epoch seconds as a SAML time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def find(root: etree._Element, path: str) -> etree._Element:
    """Return the one element at an XPath with the usual prefixes."""
    found = root.xpath(path, namespaces=NS)
    assert len(found) == 1, (path, len(found))
    return found[0]


def read_authn_request(redirect_url: str) -> etree._Element:
    """Return the AuthnRequest inside a redirect address."""
    packed = parse_qs(urlsplit(redirect_url).query)["SAMLRequest"][0]
    return etree.fromstring(zlib.decompress(base64.b64decode(packed), -15))


@dataclass
class SamlIdentityProvider:
    """Answers sign-in requests; `bend` runs before signing, `bend_signed` after it.

    `encrypt` runs when the assertion is signed and the response is not.
    """

    key_name: str = "idp"
    sign_assertion: bool = True
    sign_response: bool = False
    signature_method: str = "RSA_SHA256"
    digest_method: str = "SHA256"
    now: int = NOW
    bend: Callable[[etree._Element], object] = lambda root: None
    encrypt: Callable[[etree._Element], object] = lambda root: None
    bend_signed: Callable[[etree._Element], object] = lambda root: None
    bend_bytes: Callable[[bytes], bytes] = lambda document: document
    count: int = field(default=0, init=False)

    def config(self, **settings: object) -> dict[str, object]:
        """Return the connection settings that fit this provider."""
        certificate = key_and_certificate(self.key_name)[1].decode()
        return {"idp_entity_id": IDP_ENTITY_ID, "sso_url": SSO_URL, "certificates": [certificate], **settings}

    def sign_in(
        self,
        begun: Begun,
        *,
        name_id: str = "u-1",
        attributes: Mapping[str, Sequence[str]] | None = None,
    ) -> Callback:
        """Act as browser and person: return the callback that the provider's form would cause."""
        request = read_authn_request(begun.redirect_url)
        document = self.respond(
            request_id=request.get("ID", ""),
            acs_url=request.get("AssertionConsumerServiceURL", ""),
            audience=request.findtext("saml:Issuer", "", NS),
            name_id=name_id,
            attributes=attributes or {},
        )
        relay_state = parse_qs(urlsplit(begun.redirect_url).query)["RelayState"][0]
        return self.deliver(document, begun, relay_state)

    def deliver(self, document: bytes, begun: Begun, relay_state: str) -> Callback:
        """Return the callback that brings `document` by HTTP-POST."""
        form = {"SAMLResponse": base64.b64encode(document).decode(), "RelayState": relay_state}
        return Callback(
            method="POST", form=form, private=begun.private, callback_url=ACS_URL, entity_id=ENTITY_ID
        )

    def respond(
        self,
        *,
        request_id: str,
        acs_url: str = ACS_URL,
        audience: str = ENTITY_ID,
        name_id: str = "u-1",
        attributes: Mapping[str, Sequence[str]],
    ) -> bytes:
        """Return a signed response, bent as told."""
        self.count += 1
        root = self._response(request_id, acs_url)
        root.append(self._assertion(request_id, acs_url, audience, name_id, attributes))
        self.bend(root)
        if self.sign_assertion:
            self.sign(root.find("saml:Assertion", NS))
        self.encrypt(root)
        if self.sign_response:
            self.sign(root)
        self.bend_signed(root)
        return self.bend_bytes(etree.tostring(root))

    def sign(self, element: etree._Element, key_name: str = "", *, at: int = 1) -> None:
        """Put an enveloped signature into `element`, behind its Issuer or `at` another place."""
        transform = xmlsec.constants
        method = getattr(transform, f"Transform{_camel(self.signature_method)}")
        template = xmlsec.template.create(element, transform.TransformExclC14N, method, ns="ds")
        element.insert(at, template)
        reference = xmlsec.template.add_reference(
            template,
            getattr(transform, f"Transform{_camel(self.digest_method)}"),
            uri="#" + element.get("ID", ""),
        )
        xmlsec.template.add_transform(reference, transform.TransformEnveloped)
        xmlsec.template.add_transform(reference, transform.TransformExclC14N)
        xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(template))
        pem, certificate = key_and_certificate(key_name or self.key_name)
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_memory(pem, transform.KeyDataFormatPem)
        context.key.load_cert_from_memory(certificate, transform.KeyDataFormatPem)
        context.register_id(element, "ID")
        context.sign(template)

    def _response(self, request_id: str, acs_url: str) -> etree._Element:
        root = etree.Element(
            f"{{{SAMLP}}}Response",
            {
                "ID": f"_response{self.count}",
                "Version": "2.0",
                "IssueInstant": instant(self.now),
                "Destination": acs_url,
                "InResponseTo": request_id,
            },
            nsmap={"samlp": SAMLP, "saml": SAML, "xs": XS, "xsi": XSI},
        )
        etree.SubElement(root, f"{{{SAML}}}Issuer").text = IDP_ENTITY_ID
        status = etree.SubElement(root, f"{{{SAMLP}}}Status")
        etree.SubElement(
            status, f"{{{SAMLP}}}StatusCode", {"Value": "urn:oasis:names:tc:SAML:2.0:status:Success"}
        )
        return root

    def _assertion(
        self,
        request_id: str,
        acs_url: str,
        audience: str,
        name_id: str,
        attributes: Mapping[str, Sequence[str]],
    ) -> etree._Element:
        assertion = etree.Element(
            f"{{{SAML}}}Assertion",
            {"ID": f"_assertion{self.count}", "Version": "2.0", "IssueInstant": instant(self.now)},
            nsmap={"saml": SAML},
        )
        etree.SubElement(assertion, f"{{{SAML}}}Issuer").text = IDP_ENTITY_ID
        subject = etree.SubElement(assertion, f"{{{SAML}}}Subject")
        etree.SubElement(subject, f"{{{SAML}}}NameID", {"Format": PERSISTENT}).text = name_id
        confirmation = etree.SubElement(
            subject,
            f"{{{SAML}}}SubjectConfirmation",
            {"Method": "urn:oasis:names:tc:SAML:2.0:cm:bearer"},
        )
        etree.SubElement(
            confirmation,
            f"{{{SAML}}}SubjectConfirmationData",
            {"InResponseTo": request_id, "Recipient": acs_url, "NotOnOrAfter": instant(self.now + 300)},
        )
        conditions = etree.SubElement(
            assertion,
            f"{{{SAML}}}Conditions",
            {"NotBefore": instant(self.now - 30), "NotOnOrAfter": instant(self.now + 300)},
        )
        restriction = etree.SubElement(conditions, f"{{{SAML}}}AudienceRestriction")
        etree.SubElement(restriction, f"{{{SAML}}}Audience").text = audience
        statement = etree.SubElement(
            assertion,
            f"{{{SAML}}}AuthnStatement",
            {"AuthnInstant": instant(self.now - 5), "SessionIndex": "_session1"},
        )
        context = etree.SubElement(statement, f"{{{SAML}}}AuthnContext")
        etree.SubElement(
            context, f"{{{SAML}}}AuthnContextClassRef"
        ).text = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
        self._add_attributes(assertion, attributes)
        return assertion

    def _add_attributes(self, assertion: etree._Element, attributes: Mapping[str, Sequence[str]]) -> None:
        if not attributes:
            return
        statement = etree.SubElement(assertion, f"{{{SAML}}}AttributeStatement")
        for name, values in attributes.items():
            attribute = etree.SubElement(statement, f"{{{SAML}}}Attribute", {"Name": name})
            for value in values:
                node = etree.SubElement(
                    attribute, f"{{{SAML}}}AttributeValue", {f"{{{XSI}}}type": "xs:string"}
                )
                node.text = value


def _camel(name: str) -> str:
    """Return xmlsec's spelling of an algorithm: RSA_SHA256 becomes RsaSha256."""
    return "".join(part.capitalize() for part in name.split("_"))
