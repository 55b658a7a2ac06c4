"""Our own keys towards a provider, for connectors that are tried without a broker around them."""

from collections.abc import Sequence
from functools import cache

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from idp_connectors.base import ServiceKey, ServiceKeys
from tests.builders.saml_idp import key_and_certificate


@cache
def service_key(name: str = "sp") -> ServiceKey:
    """A key pair; made once per process and name."""
    pem, certificate = key_and_certificate(name)
    text = "".join(certificate.decode().splitlines()[1:-1])
    return ServiceKey(id=name, certificate=text, private=load_pem_private_key(pem, None))


def make_service_keys(
    *, signing: Sequence[str] = ("sp-signing",), encryption: Sequence[str] = ("sp-encryption",)
) -> ServiceKeys:
    """Keys by name, newest first; the last of ``signing`` is the one in use."""
    signing_keys = tuple(service_key(name) for name in signing)
    encryption_keys = tuple(service_key(name) for name in encryption)
    return ServiceKeys(
        signing=signing_keys[-1],
        published_signing=signing_keys,
        published_encryption=encryption_keys,
        decrypting=encryption_keys,
    )
