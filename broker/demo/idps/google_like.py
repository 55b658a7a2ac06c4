"""Google-like: a SAML 2.0 provider that signs the assertion and leaves the response unsigned."""

import base64
import datetime
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from flask import Flask, Response, render_template, request
from lxml import etree

from broker.demo.idps.faults import SKEW_SECONDS, Fault, FaultSwitch, install_switch, may_fail
from broker.demo.idps.login_page import Look, create_provider_app, render_login, render_refusal
from broker.demo.people import Person, google_people

SSO_PATH = "/o/saml2/idp"
_PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
_ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
_POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_VALID = datetime.timedelta(minutes=5)
_MAX_REQUEST_BYTES = 64 * 1024
GROUP_LIMIT = 75
"""More groups than this are left out, and nothing says so."""
_HUGE_VALUE = "x" * 300_000


@dataclass(frozen=True, slots=True)
class ServiceProvider:
    """The broker's registration: its entity id and the one place to which answers may go."""

    entity_id: str
    acs_url: str


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class GoogleLike:
    """A SAML provider with one service provider.

    `people` may be changed while it runs; `switch` makes it faulty.
    """

    def __init__(
        self,
        origin: str,
        clock: Callable[[], datetime.datetime] = _utc_now,
        fault: Fault | None = None,
    ) -> None:
        self.switch = FaultSwitch(fault=fault)
        self.look = Look("Google-like", "acme-labs.test", "third")
        self.people = {person.key: person for person in google_people()}
        self.entity_id = f"{origin}/o/saml2?idpid=C0demo123"
        self.sso_url = f"{origin}{SSO_PATH}?idpid=C0demo123"
        self._clock = clock
        self._party: ServiceProvider | None = None
        self._identity = _make_identity(clock())

    @property
    def certificate_pem(self) -> str:
        """The signing certificate, which an administrator copies."""
        if self.switch.is_on(Fault.EXPIRED_CERTIFICATE):
            long_ago = self._clock() - datetime.timedelta(days=400)
            return _self_signed(self._identity.key, long_ago)
        return self._identity.certificate_pem

    def register(self, entity_id: str, acs_url: str) -> None:
        """Register the broker as the service provider."""
        self._party = ServiceProvider(entity_id, acs_url)

    def metadata(self) -> str:
        """The provider's metadata document, as an administrator would download it."""
        lines = [line for line in self.certificate_pem.splitlines() if "-----" not in line]
        return render_template("google_metadata.xml", idp=self, certificate="".join(lines))

    def create_app(self) -> Flask:
        """The provider as a Flask application."""
        app = create_provider_app("idp_third")
        app.add_url_rule(SSO_PATH, "sso", self._sso, methods=["GET", "POST"])
        app.add_url_rule(
            "/metadata",
            "metadata",
            may_fail(self.switch, lambda: Response(self.metadata(), mimetype="application/samlmetadata+xml")),
        )
        install_switch(app, self.switch)
        return app

    def _sso(self) -> str | tuple[str, int]:
        wanted = _read_request(request.values.get("SAMLRequest", ""))
        party = self._party
        if wanted is None or party is None or wanted.issuer != party.entity_id:
            return render_refusal(self.look, "403. app_not_configured: no application with this entity ID.")
        if wanted.acs_url not in ("", party.acs_url):
            return render_refusal(self.look, "403. The ACS URL is not the registered one.")
        kept = {
            name: request.values[name] for name in ("SAMLRequest", "RelayState") if name in request.values
        }
        person = self.people.get(request.form.get("person", ""))
        if person is None:
            return render_login(self.look, list(self.people.values()), kept)
        document = self.sign_response(person, wanted.id)
        if self.switch.is_on(Fault.MALFORMED):
            document = document[: len(document) // 2]
        answer = base64.b64encode(document).decode()
        relay_state = kept.get("RelayState", "")
        return render_template(
            "saml_post.html", look=self.look, acs_url=party.acs_url, answer=answer, relay_state=relay_state
        )

    def sign_response(self, person: Person, in_response_to: str) -> bytes:
        """A response whose assertion is signed with RSA-SHA256; the response itself carries no signature."""
        if self._party is None:
            raise LookupError("No service provider is registered.")
        is_on = self.switch.is_on
        now = self._clock() + datetime.timedelta(seconds=SKEW_SECONDS if is_on(Fault.CLOCK_SKEW) else 0)
        text = render_template(
            "google_response.xml",
            issuer=self.entity_id + ("&other=1" if is_on(Fault.WRONG_ISSUER) else ""),
            audience="https://another.example/sp" if is_on(Fault.WRONG_AUDIENCE) else self._party.entity_id,
            party=self._party,
            person=person,
            attributes=self._attributes(person),
            in_response_to=in_response_to,
            response_id=f"_{secrets.token_hex(16)}",
            assertion_id=f"_{secrets.token_hex(16)}",
            now=_stamp(now),
            not_before=_stamp(now - _VALID),
            not_after=_stamp(now + _VALID),
        )
        root = etree.fromstring(text.encode(), _parser())
        if not is_on(Fault.UNSIGNED):
            signer = _make_identity(now) if is_on(Fault.ROTATED_KEY) else self._identity
            for assertion in root.iterchildren(f"{{{_ASSERTION}}}Assertion"):
                _sign(assertion, signer)
        return etree.tostring(root)

    def _attributes(self, person: Person) -> list[tuple[str, list[str]]]:
        """Names as the administrator typed them; an attribute without a value is left out, as Google does."""
        groups = list(person.groups)
        if self.switch.is_on(Fault.OVERAGE):
            groups += [f"Team {number:03d}" for number in range(GROUP_LIMIT)]
        named = [
            ("email", [person.email]),
            ("firstName", [person.given_name]),
            ("lastName", [_HUGE_VALUE if self.switch.is_on(Fault.HUGE) else person.family_name]),
            ("groups", [] if self.switch.is_on(Fault.MISSING_GROUPS) else groups[:GROUP_LIMIT]),
        ]
        return [(name, values) for name, values in named if values]


def _sign(assertion: etree._Element, signer: "_Identity") -> None:
    signature = xmlsec.template.create(
        assertion, xmlsec.constants.TransformExclC14N, xmlsec.constants.TransformRsaSha256
    )
    # The schema wants the signature right after the issuer.
    assertion.insert(1, signature)
    reference = xmlsec.template.add_reference(
        signature, xmlsec.constants.TransformSha256, uri=f"#{assertion.get('ID')}"
    )
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
    xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
    xmlsec.tree.add_ids(assertion, ["ID"])
    context = xmlsec.SignatureContext()
    pem = signer.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem)
    context.key.load_cert_from_memory(signer.certificate_pem.encode(), xmlsec.constants.KeyDataFormatPem)
    context.sign(signature)


@dataclass(frozen=True, slots=True)
class _AuthnRequest:
    id: str
    issuer: str
    acs_url: str


def _read_request(encoded: str) -> _AuthnRequest | None:
    """The parts of a redirect-binding AuthnRequest that matter, or None when it is not one."""
    try:
        packed = base64.b64decode(encoded, validate=True)
        inflater = zlib.decompressobj(-15)
        root = etree.fromstring(inflater.decompress(packed, _MAX_REQUEST_BYTES), _parser())
    except (ValueError, zlib.error, etree.XMLSyntaxError):
        return None
    issuer = root.findtext(f"{{{_ASSERTION}}}Issuer")
    if root.tag != f"{{{_PROTOCOL}}}AuthnRequest" or not issuer or not root.get("ID"):
        return None
    if root.get("ProtocolBinding", _POST) != _POST:
        return None
    return _AuthnRequest(root.get("ID", ""), issuer.strip(), root.get("AssertionConsumerServiceURL", ""))


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)


def _stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@dataclass(frozen=True, slots=True)
class _Identity:
    """A signing key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate_pem: str


def _make_identity(now: datetime.datetime) -> _Identity:
    key = rsa.generate_private_key(65537, 2048)
    return _Identity(key, _self_signed(key, now))


def _self_signed(key: rsa.RSAPrivateKey, now: datetime.datetime) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Google-like demo IdP")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=365))
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
