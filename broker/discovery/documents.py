"""Answers for every well-known address of a tenant, from one table; unknown tenants and names are alike."""

import hashlib
from collections.abc import Callable
from typing import Any

import orjson

from broker.discovery.agent_document import MAX_AGE_SECONDS, agent_document
from broker.discovery.agent_view import TYP, agent_view
from broker.discovery.metadata import AGENT_DOCUMENT, server_metadata
from broker.discovery.signed import with_signature
from broker.kernel.errors import Refusal
from broker.kernel.plain import PlainReply, PlainRequest
from broker.kernel.runtime import Runtime
from broker.oauth.replies import error_reply
from broker.tenants.snapshot import TenantSnapshot, require_tenant

METADATA_TYP = "as-metadata+jwt"
Build = Callable[[Runtime, TenantSnapshot, int], dict[str, Any]]

DOCUMENTS: dict[str, Build] = {
    "oauth-authorization-server": lambda rt, tenant, now: server_metadata(rt, tenant),
    "openid-configuration": lambda rt, tenant, now: server_metadata(rt, tenant),
    # The date is that of the five minutes at hand, so that a copy keeps its ETag while it is fresh.
    AGENT_DOCUMENT: lambda rt, tenant, now: agent_document(rt, tenant, now=now - now % MAX_AGE_SECONDS),
}
_PREFIX = "/.well-known/"
_OPEN = [("Access-Control-Allow-Origin", "*"), ("Cache-Control", f"public, max-age={MAX_AGE_SECONDS}")]


def well_known(rt: Runtime, request: PlainRequest) -> PlainReply | None:
    """Return the document at the request's path, or None when the path is none of ours.

    Both placements are served: inserted before the issuer's path (RFC 8414 §3.1) and appended to it
    (OpenID Connect Discovery §4).
    """
    found = _parse(request.path)
    if found is None:
        return None
    slug, name = found
    if request.method not in {"GET", "HEAD"}:
        return PlainReply(405, b"", [("Allow", "GET, HEAD")])
    try:
        tenant = require_tenant(rt, slug)
    except Refusal as refusal:
        return error_reply(refusal, request.ctx)
    if name == AGENT_DOCUMENT and "authorization" in request.headers:
        return agent_view(rt, tenant, DOCUMENTS[name](rt, tenant, request.ctx.now), request)
    body, etag = _rendered(rt, tenant, name, request.ctx.now)
    headers = [*_OPEN, ("ETag", etag), *_pointer(rt, tenant, name)]
    if request.headers.get("if-none-match") == etag:
        return PlainReply(304, b"", headers)
    return PlainReply(200, body, [("Content-Type", "application/json"), *headers])


def _parse(path: str) -> tuple[str, str] | None:
    """Return (tenant, document) of ``/.well-known/NAME/t/SLUG`` or ``/t/SLUG/.well-known/NAME``."""
    if path.startswith(_PREFIX):
        name, _, place = path[len(_PREFIX) :].partition("/")
        root, _, slug = place.partition("/")
        is_ours = root == "t"
    else:
        place, _, name = path.partition(_PREFIX)
        root, _, slug = place.removeprefix("/").partition("/")
        # RFC 8414 metadata stands at the inserted place only; a second address would be a second truth.
        is_ours = root == "t" and name != "oauth-authorization-server"
    if not is_ours or name not in DOCUMENTS or not slug or "/" in slug:
        return None
    return slug, name


def _rendered(rt: Runtime, tenant: TenantSnapshot, name: str, now: int) -> tuple[bytes, str]:
    """Return a document's bytes and ETag, made once per version of the tenant and period."""
    period = now - now % MAX_AGE_SECONDS

    def render(_: str) -> tuple[int, bytes, str]:
        document = DOCUMENTS[name](rt, tenant, now)
        # Of what is said, not of the signature: that differs at every node, and a copy stays fresh at all.
        etag = hashlib.sha256(orjson.dumps(document)).hexdigest()[:32]
        return period, orjson.dumps(with_signature(rt, tenant, document, typ)), f'"{etag}"'

    # Both names of the metadata are one document, byte for byte (ASM-04).
    kind, typ = ("agent", TYP) if name == AGENT_DOCUMENT else ("metadata", METADATA_TYP)
    kind = f"document:{kind}"
    made_for, body, etag = rt.caches.get(tenant.id, kind, render)
    if made_for != period:
        made_for, body, etag = rt.caches.renew(tenant.id, kind, render)
    return body, etag


def _pointer(rt: Runtime, tenant: TenantSnapshot, name: str) -> list[tuple[str, str]]:
    """Return the header by which metadata leads to the agent document, which itself varies by who asks."""
    if name == AGENT_DOCUMENT:
        return [("Vary", "Authorization")]
    target = f"{tenant.issuer}/.well-known/{AGENT_DOCUMENT}"
    return [("Link", f'<{target}>; rel="{rt.settings.public_url}/rel/agent-broker"')]


def schema_reply(schema: bytes) -> PlainReply:
    """Return the JSON Schema of the agent discovery document."""
    return PlainReply(200, schema, [("Content-Type", "application/schema+json"), *_OPEN])
