"""Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document): an address that is a client.

What stands at the address is read through the egress, which follows no redirect and connects to public
machines only. Nothing here is cached; whoever calls keeps what was good.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from broker.agents.client_metadata import ClientMetadata, Offered, check_link, read_metadata
from broker.kernel.egress import Egress, Fetched
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.tenants.onboarding import OnboardingPolicy

MAX_DOCUMENT_BYTES = 5 * 1024
"""The size that the draft recommends (§6.6)."""
MAX_ID_CHARS = 200
LEAST_SECONDS, MOST_SECONDS = 300, 86_400
"""How long a document holds at least and at most, whatever its headers say."""


@dataclass(frozen=True, slots=True)
class ClientDocument:
    """A document that may be a client of ours; it holds for ``holds_seconds``."""

    client_id: str
    metadata: ClientMetadata
    holds_seconds: int


def is_document_id(client_id: str, *, may_use_loopback: bool = False) -> bool:
    """Whether the id is an address rather than a name that we gave (CIMD-10)."""
    return client_id.startswith("https://") or (may_use_loopback and client_id.startswith("http://"))


def host_of(client_id: str) -> str:
    """Return the host of a document's address, with its port if it names one."""
    return urlsplit(client_id).netloc


def is_admitted(policy: OnboardingPolicy, client_id: str) -> bool:
    """Whether the tenant lets this address in: all do, or the address or its host is listed."""
    if policy.cimd == "listed":
        return client_id in policy.cimd_listed or host_of(client_id) in policy.cimd_listed
    return policy.cimd == "any"


def check_document_id(client_id: str, *, may_use_loopback: bool = False) -> None:
    """Accept an address as the draft spells it (§3), compared as text and never made alike.

    Raises ``Refusal(invalid_client)``.
    """
    try:
        check_link("client_id", client_id, may_use_loopback=may_use_loopback)
    except Refusal as refusal:
        raise _refuse("id", refusal.public) from None
    parts = urlsplit(client_id)
    # Without these: one client could go by many names, and what was agreed for one would hold for others.
    if len(client_id) > MAX_ID_CHARS:
        raise _refuse("id", f"client_id: is longer than {MAX_ID_CHARS} characters")
    if parts.username is not None or "#" in client_id:
        raise _refuse("id", "client_id: must have no user name and no fragment")
    if parts.path in {"", "/"}:
        raise _refuse("id", "client_id: needs a path")
    if any(step in {".", ".."} for step in re.split(r"[/\\;]", unquote(unquote(parts.path)))):
        raise _refuse("id", "client_id: must not climb in its path")
    if parts.netloc != parts.netloc.lower():
        raise _refuse("id", "client_id: needs its host in lower case")


def fetch_document(egress: Egress, client_id: str, offered: Offered) -> ClientDocument:
    """Read the document at ``client_id`` and return what it says, checked.

    Raises ``Refusal(invalid_client)``; its reason is ``cimd_unreachable`` where nothing was answered that
    could be judged.
    """
    check_document_id(client_id, may_use_loopback=offered.may_use_loopback)
    try:
        fetched = egress.get(client_id, max_bytes=MAX_DOCUMENT_BYTES, headers={"Accept": "application/json"})
    except Refusal as refusal:
        public = f"The client's metadata could not be read. {refusal.public}"
        raise _refuse("unreachable", public, refusal.detail) from None
    document = _parse(fetched)
    _check_own(document, client_id)
    try:
        metadata = read_metadata(document, offered, default_method="none", default_name=host_of(client_id))
    except Refusal as refusal:
        public = f"The client's metadata cannot be used. {refusal.public}"
        raise _refuse(refusal.reason.removeprefix("metadata_"), public) from None
    holds = fetched.holds_seconds(least=LEAST_SECONDS, most=MOST_SECONDS)
    return ClientDocument(client_id, metadata, holds)


def _parse(fetched: Fetched) -> Mapping[str, Any]:
    # Without this: a page on which others may write text would speak for its host.
    if not fetched.is_json:
        raise _refuse("content_type", "The client's metadata is not served as JSON.")
    try:
        document = json.loads(fetched.body.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _refuse("not_json", "The client's metadata is not JSON.") from None
    if not isinstance(document, dict):
        raise _refuse("not_json", "The client's metadata is not a JSON object.")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Without this: two readers could take two values from one name that is there twice.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _check_own(document: Mapping[str, Any], client_id: str) -> None:
    # Without this: a copy of somebody's document would pass for that client at another address (CIMD-03).
    if document.get("client_id") != client_id:
        raise _refuse("other_id", "The client's metadata names another client_id than its own address.")
    # Without this: a secret that everybody can read would pass for one (CIMD-04).
    if any(name.startswith("client_secret") for name in document):
        raise _refuse("secret", "The client's metadata is public and must hold no secret.")
    if str(document.get("token_endpoint_auth_method", "")).startswith("client_secret"):
        raise _refuse("secret", "A client of this kind authenticates by key or not at all, never by secret.")


def _refuse(reason: str, public: str, detail: str = "") -> Refusal:
    return Refusal(
        ErrorCode.INVALID_CLIENT,
        public,
        reason=f"cimd_{reason}",
        detail=detail,
        whose_move=WhoseMove.DEVELOPER,
    )
