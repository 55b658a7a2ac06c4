"""Verifies with signxml what python3-saml and xmlsec have verified, and hands out the bytes that it proved.

Two libraries with nothing in common but libxml2's parser look at the same document: one drives libxmlsec, the
other canonicalises and checks by itself. Claims are read from the bytes that signxml returns and from
nothing else; if either says no, nobody is signed in.
"""

import base64
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.names import DIGESTS, METADATA, SIGNATURE_METHODS, assertion, protocol
from idp_connectors.saml.prescreen import parse_strictly
from idp_connectors.saml.signature_shape import ScreenedSignature

_PLACES = {
    protocol("Response"): "./",
    assertion("Assertion"): f"./{assertion('Assertion')}/",
    f"{{{METADATA}}}EntityDescriptor": "./",
    f"{{{METADATA}}}EntitiesDescriptor": "./",
}
_METHODS = frozenset(SignatureMethod(name) for name in SIGNATURE_METHODS)
_DIGESTS = frozenset(DigestAlgorithm(name) for name in DIGESTS)


def read_verified(document: bytes, found: ScreenedSignature, certificates: Iterable[str]) -> etree._Element:
    """Return the element that `found` signs, parsed from the bytes whose signature signxml verified.

    `document` is the whole that `found` was screened in. Raises ConnectorError (signature_invalid) unless
    the key of one of the `certificates` made the signature.
    """
    faults: list[str] = []
    for certificate in certificates:
        try:
            result = _verify(document, found, _load(certificate))
        except Exception as error:  # noqa: BLE001 (signxml lets other libraries' faults through: all mean "no")
            faults.append(f"{type(error).__name__}: {error}")
            continue
        return _read(result, found)
    raise _refuse("; ".join(faults))


def _verify(document: bytes, found: ScreenedSignature, certificate: x509.Certificate) -> VerifyResult:
    expected = SignatureConfiguration(
        location=_PLACES[found.parent.tag],
        expect_references=1,
        signature_methods=_METHODS,
        digest_algorithms=_DIGESTS,
        # Nothing in KeyInfo is believed, so it cannot contradict the certificate either.
        ignore_ambiguous_key_info=True,
        # A certificate is only how the administrator hands over a key (SAML V2.0 Metadata Interoperability
        # Profile 2.6.1). Without this: everybody is locked out in the second in which it expires.
        verification_time=certificate.not_valid_before_utc,
    )
    # The shape was screened more strictly than the schema of XML Signature would.
    result = XMLVerifier().verify(
        document, x509_cert=certificate, id_attribute="ID", expect_config=expected, validate_schema=False
    )
    if not isinstance(result, VerifyResult):
        raise TypeError("more than one reference")
    return result


def _read(result: VerifyResult, found: ScreenedSignature) -> etree._Element:
    # Without this: identity is read from something else than what was signed (CVE-2025-54419, void
    # canonicalisation in CVE-2025-66568).
    if not result.signed_data:
        raise _refuse("nothing was digested")
    proven = parse_strictly(result.signed_data)
    if proven.tag != found.parent.tag or proven.get("ID") != found.parent.get("ID"):
        raise _refuse("another element is signed than the one that was screened")
    return proven


@lru_cache(maxsize=1024)
def _load(certificate: str) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(certificate))


def _refuse(detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.SIGNATURE_INVALID,
        "The identity provider's answer was not accepted.",
        detail=f"second verification: {detail}"[:1000],
    )
