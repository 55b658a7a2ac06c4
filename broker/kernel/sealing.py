"""Secrets at rest: AES-256-GCM envelopes under a key-encryption key, bound to the row they belong to."""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_KEY = 32
_NONCE = 12
_TAG = 16
_KID = 8


class SealBroken(Exception):  # noqa: N818 (names what happened)
    """The blob was altered, moved to another row, or sealed under a key that is gone."""


class Sealer:
    """Seals and opens small secrets; the first key seals, the others may still open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != _KEY for key in keys):
            raise ValueError("a key-encryption key has 32 bytes")
        self._keys = {_key_id(key): key for key in keys}
        self._current = _key_id(keys[0])
        # Fingerprints must survive a change of the sealing key, so they hang on the oldest key.
        # The keyed state is made once: to look the algorithm up again costs more than to hash a secret.
        key = hmac.digest(keys[-1], b"broker fingerprint", "sha256")
        self._fingerprint = hmac.new(key, digestmod="sha256")

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Return ``plaintext`` sealed for ``context`` (``tenant/table/column/row``).

        A fresh data key per value is wrapped by the key-encryption key; both layers authenticate the
        context. Without this: whoever can write the database could swap one row's secret for another's.
        """
        data_key, aad = os.urandom(_KEY), context.encode()
        kid = self._current
        wrapped = _encrypt(self._keys[kid], data_key, kid + aad)
        return _VERSION + kid + wrapped + _encrypt(data_key, plaintext, aad)

    def open(self, blob: bytes, context: str) -> bytes:
        """Return what was sealed for ``context``; raises ``SealBroken``."""
        wrapped_size = _NONCE + _KEY + _TAG
        kid, aad = blob[1 : 1 + _KID], context.encode()
        key = self._keys.get(kid)
        if blob[:1] != _VERSION or key is None:
            raise SealBroken("unknown seal version or key")
        split = 1 + _KID + wrapped_size
        data_key = _decrypt(key, blob[1 + _KID : split], kid + aad)
        return _decrypt(data_key, blob[split:], aad)

    def fingerprint(self, purpose: str, secret: str) -> str:
        """Return a keyed hash of ``secret`` for storage and comparison (HMAC-SHA-256, hexadecimal)."""
        mac = self._fingerprint.copy()
        mac.update(f"{purpose}\0{secret}".encode())
        return mac.hexdigest()


def read_key(path: Path) -> bytes:
    """Return the key-encryption key in ``path``, making it (0600, in a 0700 folder) if there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _create_once(path, os.urandom(_KEY))
    # Without this: a key readable by other accounts would make sealing pointless.
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path} may be read by others; set its mode to 0600")
    return decode_key(path.read_text())


def decode_key(text: str) -> bytes:
    """Return the 32 bytes of a base64url key; raises ``ValueError``."""
    raw = text.strip()
    key = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))
    if len(key) != _KEY:
        raise ValueError("a key-encryption key has 32 bytes in base64url")
    return key


def _create_once(path: Path, key: bytes) -> None:
    """Write the key under a private name and link it into place, so that two first starts agree on one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.urlsafe_b64encode(key).rstrip(b"=") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"broker kek id" + key).digest()[:_KID]


def _encrypt(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def _decrypt(key: bytes, blob: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(blob[:_NONCE], blob[_NONCE:], aad)
    except (InvalidTag, ValueError):
        # A value that was cut short fails in other ways than one that was altered.
        raise SealBroken("the sealed value does not belong here") from None
