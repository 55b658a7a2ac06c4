"""Looks at a SAML connection without a person: its certificates, and whether its sign-in address answers."""

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cryptography import x509

from idp_connectors.base import Deps
from idp_connectors.saml.config import SamlConfig
from idp_connectors.self_check import Finding, find_reach, probe

SOON_SECONDS = 30 * 86_400
_MAX_PAGE_BYTES = 1 << 20


def check_provider(config: SamlConfig, deps: Deps) -> Iterator[Finding]:
    """Yield what was found; nothing of it ends a test, because it is browsers that go to the address."""
    yield _check_certificates(config, deps.now)
    found = probe(config.sso_url, deps.http, max_bytes=_MAX_PAGE_BYTES)
    for one in find_reach(found):
        # Behind a firewall, people may reach what the broker does not.
        yield replace(one, state="warning") if one.state == "failed" else one


@dataclass(frozen=True, slots=True)
class _Validity:
    subject: str
    starts_at: int
    ends_at: int

    @property
    def words(self) -> str:
        return f"{self.subject or 'no subject'}, {_day(self.starts_at)} to {_day(self.ends_at)}"


def _check_certificates(config: SamlConfig, now: int) -> Finding:
    held = [_read(text) for text in config.certificates]
    expected = f"A signing certificate that is valid on {_day(now)}"
    received = "; ".join(one.words for one in held)
    good = [one for one in held if one.starts_at <= now < one.ends_at]
    # Sign-ins go by the key and not by its dates, so that an end is a warning and no refusal.
    is_well = len(good) == len(held) and max(one.ends_at for one in good) >= now + SOON_SECONDS
    return Finding(
        check="certificate",
        state="passed" if is_well else "warning",
        expected=expected,
        received=received,
    )


def _read(text: str) -> _Validity:
    certificate = x509.load_der_x509_certificate(base64.b64decode(text))
    return _Validity(
        certificate.subject.rfc4514_string(),
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
    )


def _day(moment: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
