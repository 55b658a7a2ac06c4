"""Looks at a provider as a sign-in would, without a person: discovery document, endpoints, keys."""

import json
from collections.abc import Iterator
from typing import Any

from idp_connectors.base import Deps
from idp_connectors.errors import ConnectorError
from idp_connectors.oidc.config import OidcConfig
from idp_connectors.oidc.discovery import MAX_DOCUMENT_BYTES, ProviderMetadata, read_metadata
from idp_connectors.oidc.issuer_rule import discovery_address
from idp_connectors.oidc.key_admission import admit_keys
from idp_connectors.oidc.key_source import MAX_KEY_SET_BYTES
from idp_connectors.self_check import Finding, Probe, find_reach, probe, words_of


def check_provider(config: OidcConfig, deps: Deps) -> Iterator[Finding]:
    """Yield what was found, up to the first failure."""
    found = probe(
        discovery_address(config.issuer, config.discovery_url), deps.http, max_bytes=MAX_DOCUMENT_BYTES
    )
    reach = find_reach(found)
    yield from reach
    if any(one.state == "failed" for one in reach):
        return
    expected = f"A JSON document of at most {MAX_DOCUMENT_BYTES // 1024} KiB, of the issuer {config.issuer}"
    document = _object_of(found)
    if document is None:
        yield _fail("metadata", expected, found)
        return
    try:
        metadata = read_metadata(config.issuer, document)
    except ConnectorError as error:
        yield Finding(
            check="metadata", state="failed", expected=expected, received=error.detail, code=error.code
        )
        return
    yield Finding(check="metadata", state="passed", expected=expected, received=f"Issuer {metadata.issuer}")
    yield _check_keys(metadata, deps)


def _check_keys(metadata: ProviderMetadata, deps: Deps) -> Finding:
    found = probe(metadata.jwks_uri, deps.http, max_bytes=MAX_KEY_SET_BYTES)
    expected = f"At least one public signing key of sufficient strength at {metadata.jwks_uri}"
    document = _object_of(found)
    if document is None:
        return _fail("keys", expected, found)
    try:
        keys = admit_keys(document).keys
    except ConnectorError as error:
        return Finding(
            check="keys", state="failed", expected=expected, received=error.detail, code=error.code
        )
    names = ", ".join(f"{key.kid or 'no id'} ({'/'.join(sorted(key.algorithms))})" for key in keys[:5])
    return Finding(check="keys", state="passed", expected=expected, received=f"{len(keys)}: {names}")


def _object_of(found: Probe) -> dict[str, Any] | None:
    if found.problem:
        return None
    try:
        document = json.loads(found.body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _fail(check: str, expected: str, found: Probe) -> Finding:
    problem = found.problem or "garbled"
    received = words_of(found) if found.problem else "Something that is not a JSON object"
    return Finding(check=check, state="failed", expected=expected, received=received, problem=problem)
