"""What a connector finds out about its own settings before anybody signs in, and how an address answers."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from idp_connectors.errors import ConnectorErrorCode

if TYPE_CHECKING:
    import httpx2

    from idp_connectors.base import HttpClient

CheckState = Literal["passed", "warning", "failed"]
Problem = Literal[
    "",
    "blocked",
    "name",
    "closed",
    "untrusted",
    "silent",
    "dripping",
    "busy",
    "status",
    "large",
    "packed",
    "garbled",
]
"""How an address failed to give a document; empty if it gave one."""

UNREACHED: frozenset[Problem] = frozenset({"blocked", "name", "closed", "silent", "dripping", "busy"})
"""With these, nothing is known of what is at the address."""
MAX_DETAIL_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: `check` names it, `problem` says how an address failed.

    `expected` and `received` are words for administrators and hold no secret; `code` is the refusal that a
    sign-in would meet.
    """

    check: str
    state: CheckState
    expected: str = ""
    received: str = ""
    problem: Problem = ""
    code: ConnectorErrorCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How an address answered: `body` is the whole answer only where `problem` is empty."""

    url: str
    status: int = 0
    body: bytes = b""
    problem: Problem = ""
    detail: str = ""
    seconds: float = 0.0


def probe(url: str, http: "HttpClient", *, max_bytes: int) -> Probe:
    """Return how `url` answers a GET; nothing is followed and nothing is remembered."""
    import httpx2

    started, status, body = time.monotonic(), 0, bytearray()
    problem: Problem = ""
    detail = ""
    try:
        with http.client().stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
            status = response.status_code
            problem = _problem_of(response)
            # No answer that says it is packed comes here, so that nothing unfolds.
            for chunk in response.iter_bytes() if not problem else ():
                body += chunk
                if len(body) > max_bytes:
                    problem = "large"
                    break
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        problem, detail = _classify(error, has_begun=status > 0), _cut(str(error))
    return Probe(
        url=url,
        status=status,
        body=bytes(body),
        problem=problem,
        detail=detail,
        seconds=time.monotonic() - started,
    )


def find_reach(found: Probe) -> tuple[Finding, ...]:
    """Return what a probe says about address and encryption: one finding, or two where TLS was tried."""
    host = urlsplit(found.url).netloc
    address = f"An answer from {host} to GET {found.url}"
    tls = f"A certificate that is valid for {urlsplit(found.url).hostname}, by an authority that is trusted"
    if found.problem == "untrusted":
        return (
            Finding(check="address", state="passed", expected=address, received=f"{host} is there."),
            Finding(check="tls", state="failed", expected=tls, received=found.detail, problem="untrusted"),
        )
    if found.problem in UNREACHED:
        received = words_of(found)
        failed = Finding(
            check="address", state="failed", expected=address, received=received, problem=found.problem
        )
        return (failed,)
    answered = f"{found.status} after {found.seconds:.1f} seconds"
    return (
        Finding(check="address", state="passed", expected=address, received=answered),
        _find_encryption(found.url, tls),
    )


def _find_encryption(url: str, expected: str) -> Finding:
    # The way out lets plain http reach this machine only, and only where somebody develops.
    is_plain = urlsplit(url).scheme != "https"
    received = "A plain address of this machine, as development allows" if is_plain else "It is valid."
    return Finding(check="tls", state="passed", expected=expected, received=received)


def _problem_of(response: "httpx2.Response") -> Problem:
    if response.status_code == 429:
        return "busy"
    if response.status_code != 200:
        return "status"
    return "packed" if response.headers.get("content-encoding", "identity") != "identity" else ""


def _classify(error: Exception, *, has_begun: bool) -> Problem:
    """Return what an error of the guarded way out means to the administrator of the address."""
    kind, text = type(error).__name__, str(error)
    if "Timeout" in kind:
        return "dripping" if has_begun else "silent"
    if "CERTIFICATE" in text.upper() or "SSL" in text.upper():
        return "untrusted"
    if "does not resolve" in text or "has no address" in text:
        return "name"
    if "not a public address" in text or kind in ("UnsupportedProtocol", "InvalidURL"):
        return "blocked"
    if "larger than is honest" in text:
        return "large"
    return "closed"


def words_of(found: Probe) -> str:
    """Return what came instead of a document, in words."""
    waited = f"{found.seconds:.1f} seconds"
    return {
        "blocked": f"The broker may not call this address: {found.detail}",
        "name": f"The name has no address: {found.detail}",
        "closed": f"No connection: {found.detail}",
        "silent": f"Nothing within {waited}",
        "dripping": f"An answer that had not ended after {waited}; {len(found.body)} bytes had come",
        "busy": "429 Too Many Requests",
        "status": f"Status {found.status} where 200 was expected",
        "large": "An answer that is larger than any honest one",
        "packed": "A compressed answer, although none was asked for",
        "untrusted": found.detail,
    }.get(found.problem, found.problem)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_DETAIL_CHARS else text[: MAX_DETAIL_CHARS - 1] + "…"
