"""Reads what a certificate says of itself, so that people can compare it with the provider's console."""

import base64
import binascii

from idp_connectors.preview import CertificateFacts


def read_certificate(text: str) -> CertificateFacts:
    """Return the facts of a certificate in base64 of DER, line breaks allowed; raises ValueError."""
    # Imported here: it takes longer than all of a page, and a start should not wait for it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    try:
        found = x509.load_der_x509_certificate(base64.b64decode("".join(text.split()), validate=True))
    except binascii.Error as error:
        raise ValueError("the certificate is not base64") from error
    key = found.public_key()
    words = type(key).__name__.strip("_").removesuffix("PublicKey")
    if isinstance(key, rsa.RSAPublicKey):
        words = f"RSA, {key.key_size} bits"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        words = f"elliptic curve {key.curve.name}"
    return CertificateFacts(
        subject=found.subject.rfc4514_string() or "No subject",
        fingerprint=found.fingerprint(hashes.SHA256()).hex(),
        not_before=int(found.not_valid_before_utc.timestamp()),
        expires_at=int(found.not_valid_after_utc.timestamp()),
        key=words,
    )
