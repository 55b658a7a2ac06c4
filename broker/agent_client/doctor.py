"""Looks at an MCP server or API as a client would, and says what would keep a client from getting in.

Each check is one function of what was found before; a check whose ground is missing is not run. Nothing
but public documents is asked for, and one request with a token that cannot be valid.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2

from broker.agent_client.finding import metadata_address, metadata_link

State = Literal["good", "bad", "note", "skipped"]
MAX_DOCUMENT_BYTES = 262_144
NO_TOKEN = "not-a-token"  # noqa: S105 (that is the point of it)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw; ``advice`` says whose move it is and what to do, empty when all is well."""

    check: str
    state: State
    seen: str
    advice: str = ""


@dataclass(slots=True)
class Examination:
    """What was found so far; a check reads it and adds to it."""

    http: httpx2.Client
    url: str
    challenge: str = ""
    described: dict[str, Any] = field(default_factory=dict)
    issuer: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


Seen = tuple[State, str, str]
"""State, what was seen, advice: a finding without the name of its check."""

Check = Callable[[Examination], Seen]


def examine(http: httpx2.Client, url: str) -> Iterator[Finding]:
    """Yield a finding for every check of the server at ``url``, in the order in which a client goes."""
    seen = Examination(http, url)
    for name, check, needs in CHECKS:
        if needs and not getattr(seen, needs):
            yield Finding(name, "skipped", "nothing to look at: see above")
            continue
        try:
            yield Finding(name, *check(seen))
        except (httpx2.HTTPError, ValueError) as fault:
            advice = "Make it reachable from here, as JSON."
            yield Finding(name, "bad", f"{type(fault).__name__}: {fault}"[:200], advice)


def _challenge(seen: Examination) -> Seen:
    answer = seen.http.post(seen.url, json={})
    seen.challenge = answer.headers.get("www-authenticate", "")
    told = f"HTTP {answer.status_code}"
    if answer.status_code != 401:
        return _bad(told, "The server must answer a call without a token with 401.")
    if 'resource_metadata="' not in seen.challenge:
        seen.challenge = seen.challenge or " "
        advice = "Name the metadata in WWW-Authenticate: Bearer resource_metadata=… (RFC 9728 §5.1)."
        return _note(f"{told}, without resource_metadata", advice)
    return _good(f"{told}, and says where its metadata is")


def _resource_metadata(seen: Examination) -> Seen:
    told = metadata_link(seen.challenge)
    parts = urlsplit(seen.url)
    inserted = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path.rstrip('/')}"
    where = told or inserted
    described = _document(seen.http, where)
    if described.get("resource") != seen.url:
        advice = f"`resource` must be {seen.url}, letter by letter, or clients refuse it (RFC 9728 §3.3)."
        return _bad(f"{where} describes {described.get('resource')!r}", advice)
    seen.described = described
    return _good(where)


def _servers(seen: Examination) -> Seen:
    servers = seen.described.get("authorization_servers")
    if not isinstance(servers, list) or not servers or not isinstance(servers[0], str):
        advice = "List the broker's tenant address in `authorization_servers`."
        return _bad(repr(servers), advice)
    seen.issuer = servers[0]
    if urlsplit(seen.issuer).scheme != "https" and urlsplit(seen.issuer).hostname not in {
        "127.0.0.1",
        "localhost",
    }:
        return _bad(seen.issuer, "An issuer is an https address outside of a developer's machine.")
    return _good(seen.issuer)


def _listed_scopes(seen: Examination) -> Seen:
    listed = seen.described.get("scopes_supported", [])
    if "offline_access" in listed or "offline_access" in seen.challenge:
        advice = "Leave offline_access out: it is between client and issuer."
        return _bad(" ".join(listed), advice)
    if not listed:
        advice = "Without scopes_supported clients ask for nothing, or for everything."
        return _note("none", advice)
    return _good(" ".join(listed))


def _server_metadata(seen: Examination) -> Seen:
    where = metadata_address(seen.issuer)
    metadata = _document(seen.http, where)
    if metadata.get("issuer") != seen.issuer:
        advice = f"The document must name {seen.issuer}, letter by letter (RFC 8414 §3.3)."
        return _bad(f"{where} names {metadata.get('issuer')!r}", advice)
    seen.metadata = metadata
    return _good(where)


def _code_flow(seen: Examination) -> Seen:
    wants = {
        "code_challenge_methods_supported": "S256",
        "response_types_supported": "code",
        "grant_types_supported": "authorization_code",
    }
    missing = [
        f"{key} without {value}" for key, value in wants.items() if value not in seen.metadata.get(key, [])
    ]
    if missing:
        return _bad("; ".join(missing), "MCP clients refuse a server without PKCE and code.")
    return _good("authorization code with PKCE S256")


def _mix_up(seen: Examination) -> Seen:
    if seen.metadata.get("authorization_response_iss_parameter_supported") is not True:
        advice = "Clients of the 2026-07-28 revision want `iss` in every answer (RFC 9207)."
        return _bad("not offered", advice)
    return _good("iss in every answer")


def _ways_in(seen: Examination) -> Seen:
    ways = []
    if seen.metadata.get("client_id_metadata_document_supported"):
        ways.append("by its metadata document")
    if seen.metadata.get("registration_endpoint"):
        ways.append("by registering itself")
    if not ways:
        advice = "An administrator of the tenant admits clients one by one, or sets a policy that does."
        return _note("registered beforehand only", advice)
    return _good(", ".join([*ways, "registered beforehand"]))


def _keys(seen: Examination) -> Seen:
    keys = _document(seen.http, str(seen.metadata.get("jwks_uri", ""))).get("keys", [])
    kinds = sorted({str(key.get("alg", key.get("kty"))) for key in keys if isinstance(key, dict)})
    if not kinds or any("d" in key or key.get("kty") == "oct" for key in keys):
        return _bad(", ".join(kinds) or "no key", "Publish the public keys, and nothing but those.")
    return _good(", ".join(kinds))


def _bad_token(seen: Examination) -> Seen:
    answer = seen.http.post(seen.url, json={}, headers={"Authorization": f"Bearer {NO_TOKEN}"})
    challenge = answer.headers.get("www-authenticate", "")
    if answer.status_code != 401 or 'error="invalid_token"' not in challenge:
        advice = 'Answer 401 with error="invalid_token" (RFC 6750 §3.1); clients then refresh.'
        return _bad(f"HTTP {answer.status_code} {challenge}"[:160], advice)
    return _good("HTTP 401 invalid_token")


def _token_in_address(seen: Examination) -> Seen:
    methods = seen.described.get("bearer_methods_supported", ["header"])
    if methods != ["header"]:
        advice = "Tokens in addresses and forms end up in logs: list and take the header only."
        return _bad(", ".join(map(str, methods)), advice)
    return _good("header")


CHECKS: tuple[tuple[str, Check, str], ...] = (
    ("asks for a token", _challenge, ""),
    ("describes itself", _resource_metadata, "challenge"),
    ("lists its scopes", _listed_scopes, "described"),
    ("takes tokens from the header only", _token_in_address, "described"),
    ("refuses what is no token", _bad_token, "challenge"),
    ("names its issuer", _servers, "described"),
    ("its issuer answers", _server_metadata, "issuer"),
    ("people can agree", _code_flow, "metadata"),
    ("answers say who they are from", _mix_up, "metadata"),
    ("a new client can get in", _ways_in, "metadata"),
    ("tokens can be verified", _keys, "metadata"),
)
"""Name, check, and what must have been found before it makes sense."""


def _document(http: httpx2.Client, address: str) -> dict[str, Any]:
    answer = http.get(address).raise_for_status()
    if len(answer.content) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"{address} is larger than any such document")
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError(f"{address} is not a JSON object")
    return found


def _good(seen: str) -> Seen:
    return "good", seen, ""


def _note(seen: str, advice: str) -> Seen:
    return "note", seen, advice


def _bad(seen: str, advice: str) -> Seen:
    return "bad", seen, advice
