"""Our own keys towards a provider: what we sign with, and what a provider encrypts for us with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """One RSA key pair of ours; `certificate` (base64 of DER, one line) is what providers are given."""

    id: str
    certificate: str
    private: "RSAPrivateKey" = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKeys:
    """Our keys for one connection at one moment; tuples hold the newest first and are never empty.

    `signing` signs what we send. `published_signing` and `published_encryption` stand in our metadata:
    during a change both the key in use and the next one. Each of `decrypting` may open what arrives.
    """

    signing: ServiceKey
    published_signing: tuple[ServiceKey, ...]
    published_encryption: tuple[ServiceKey, ...]
    decrypting: tuple[ServiceKey, ...]


ServiceKeySource = Callable[[], ServiceKeys]
"""Returns our keys for the connection at hand; asked only by connectors that use them."""
