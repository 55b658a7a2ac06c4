"""Sign-out messages of the SAML provider of the tests, signed in the address and bent as told."""

import base64
import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from lxml import etree

from tests.builders.connector_deps import NOW
from tests.builders.saml_idp import IDP_ENTITY_ID, PERSISTENT, SAML, SAMLP, instant, key_and_certificate

SLO_URL = "https://idp.example/slo"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"


def logout_request(
    our_url: str, *, name_id: str | None = "u-1", sessions: Sequence[str] = (), now: int = NOW, **changes: Any
) -> bytes:
    """Return a LogoutRequest; keyword arguments change its attributes, `issuer` its issuer."""
    issuer = changes.pop("issuer", IDP_ENTITY_ID)
    root = _root("LogoutRequest", our_url, issuer, now, changes)
    if name_id is not None:
        etree.SubElement(root, f"{{{SAML}}}NameID", {"Format": PERSISTENT}).text = name_id
    for session in sessions:
        etree.SubElement(root, f"{{{SAMLP}}}SessionIndex").text = session
    return etree.tostring(root)


def logout_response(our_url: str, in_response_to: str, *, now: int = NOW, **changes: Any) -> bytes:
    """Return a LogoutResponse; `status` changes its status code."""
    status_code = changes.pop("status", "urn:oasis:names:tc:SAML:2.0:status:Success")
    issuer = changes.pop("issuer", IDP_ENTITY_ID)
    root = _root("LogoutResponse", our_url, issuer, now, {"InResponseTo": in_response_to, **changes})
    status = etree.SubElement(root, f"{{{SAMLP}}}Status")
    etree.SubElement(status, f"{{{SAMLP}}}StatusCode", {"Value": status_code})
    return etree.tostring(root)


_count = iter(range(1, 1_000_000))


def _root(name: str, our_url: str, issuer: str | None, now: int, changes: dict[str, Any]) -> etree._Element:
    told = {
        "ID": f"_logout{next(_count)}",
        "Version": "2.0",
        "IssueInstant": instant(now),
        "Destination": our_url,
        **changes,
    }
    attributes = {key: value for key, value in told.items() if value is not None}
    root = etree.Element(f"{{{SAMLP}}}{name}", attributes, nsmap={"samlp": SAMLP, "saml": SAML})
    if issuer is not None:
        etree.SubElement(root, f"{{{SAML}}}Issuer").text = issuer
    return root


def pack(document: bytes) -> str:
    """Return a message as a parameter's decoded value."""
    return base64.b64encode(zlib.compress(document, wbits=-15)).decode()


def signed_query(
    packed: str,
    *,
    parameter: str = "SAMLRequest",
    relay_state: str = "rs-1",
    algorithm: str = RSA_SHA256,
    key_name: str = "idp",
    lower_case: bool = False,
) -> str:
    """Return a query that carries `packed`, signed by the provider's key over the octets as they are sent."""

    def encode(value: str) -> str:
        text = quote_plus(value)
        # Entra and AD FS write percent-encoding in lower case; the signature covers it as it is sent.
        return text.replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d") if lower_case else text

    pairs = [(parameter, packed)]
    if relay_state:
        pairs.append(("RelayState", relay_state))
    pairs.append(("SigAlg", algorithm))
    query = "&".join(f"{name}={encode(value)}" for name, value in pairs)
    key = serialization.load_pem_private_key(key_and_certificate(key_name)[0], None)
    digest = hashes.SHA1() if algorithm.endswith("sha1") else hashes.SHA256()
    signature = key.sign(query.encode(), PKCS1v15(), digest)  # type: ignore[union-attr,call-arg]
    return f"{query}&Signature={encode(base64.b64encode(signature).decode())}"


def read_message(address: str, parameter: str = "SAMLRequest") -> etree._Element:
    """Return the message in an address of ours."""
    packed = parse_qs(urlsplit(address).query)[parameter][0]
    return etree.fromstring(zlib.decompress(base64.b64decode(packed), -15))
