"""Follows a provider's metadata: what it changes for a connection, and whether anybody vouches for that."""

from typing import Any, NoReturn

from lxml import etree

from idp_connectors.base import FollowedMetadata
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.names import signature
from idp_connectors.saml.policy import SKEW_SECONDS, read_time
from idp_connectors.saml.provider_metadata import find_provider, parse_metadata, read_metadata
from idp_connectors.saml.second_opinion import read_verified
from idp_connectors.saml.signature_shape import screen_signature


def follow_metadata(config: SamlConfig, document: bytes, now: int) -> FollowedMetadata:
    """Return what `document` (Metadata 2.3.2) changes for the connection at `now`; raises ConnectorError.

    A signature must be one of a certificate that the connection trusts already: `metadata_certificates`, or
    else its signing certificates. A document without any is read as hearsay (`is_proven` is False).
    """
    root = parse_metadata(document)
    signatures = root.findall(signature("Signature"))
    if len(signatures) > 1:
        _refuse("malformed", "more than one signature")
    # Without this: whoever answers for the metadata address hands out keys that sign for everybody.
    if signatures:
        trusted = config.metadata_certificates or config.certificates
        root = read_verified(document, screen_signature(signatures[0]), trusted)
    elif config.metadata_certificates:
        _refuse("unsigned", "the metadata carries no signature, and this connection requires one")
    valid_until = _check_subject(root, config, now)
    told = read_metadata(etree.tostring(root), now).settings
    try:
        fitted = SamlConfig.model_validate(
            {**config.model_dump(), "certificates": told["certificates"], "sso_url": told["sso_url"]}
        )
    except ValueError as error:
        _refuse("unusable", f"its keys or addresses cannot be used: {type(error).__name__}")
    return FollowedMetadata(
        changes=_differences(config, fitted),
        is_proven=bool(signatures),
        valid_until=valid_until,
    )


def _check_subject(root: etree._Element, config: SamlConfig, now: int) -> int | None:
    """Return until when the document counts, if it is this connection's provider's and has not ended."""
    entity = find_provider(root)
    # Without this: another provider's document, validly signed in the same federation, replaces this one's.
    if entity.get("entityID") != config.idp_entity_id:
        _refuse("other_entity", f"it is about {entity.get('entityID')!r:.300}")
    ends = [
        end
        for element in {root, entity}
        if (end := read_time(element, "validUntil", required=False)) is not None
    ]
    # Without this: an old document, recorded before a key was withdrawn, brings that key back.
    if ends and now >= min(ends) + SKEW_SECONDS:
        _refuse("expired", f"it ended at {min(ends)}, now is {now}")
    return min(ends, default=None)


def _differences(before: SamlConfig, after: SamlConfig) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # The order of certificates says nothing, and providers change it from answer to answer.
    if set(before.certificates) != set(after.certificates):
        found["certificates"] = list(after.certificates)
    if before.sso_url != after.sso_url:
        found["sso_url"] = after.sso_url
    return found


def _refuse(why: str, detail: str) -> NoReturn:
    raise ConnectorError(
        ConnectorErrorCode.DISCOVERY_INVALID,
        "The identity provider's metadata is not one that this connection may use.",
        detail=detail,
        field=why,
    )
