"""Turns an accepted assertion into a `VerifiedIdentity`."""

from lxml import etree

from idp_connectors.base import Group, GroupsState, VerifiedIdentity
from idp_connectors.claim_mapping import pick
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.groups.plan import may_be_cut
from idp_connectors.identity_rules import email_verified_by, is_clean_text, require_subject
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.names import NAMEID_PERSISTENT, NAMEID_TRANSIENT, assertion
from idp_connectors.saml.policy import read_time

MAX_GROUPS = 2000
GROUPS_LINK = "http://schemas.microsoft.com/claims/groups.link"

Attributes = dict[str, list[str | None]]
"""Attribute name to its values; None stands for a value that is not plain text."""


def to_identity(found: etree._Element, config: SamlConfig) -> VerifiedIdentity:
    """Return the identity that this accepted, signed assertion describes; raises ConnectorError."""
    attributes = read_attributes(found)
    texts = {name: [value for value in values if value] for name, values in attributes.items()}
    name_id, name_format = _read_name_id(found)
    groups, state = read_groups(attributes, config)
    email = pick("email", texts, config.email_attribute)
    if not is_clean_text(email):
        email = ""
    statement = found.find(assertion("AuthnStatement"))
    context = found.findtext(f"{assertion('AuthnStatement')}//{assertion('AuthnContextClassRef')}")
    return VerifiedIdentity(
        issuer=config.idp_entity_id,
        subject=_subject(name_id, name_format, attributes, config),
        subject_kind="nameid" if config.subject.startswith("nameid") else config.subject,
        email=email or None,
        # SAML has no word for "unverified": the provider asserts what it sends.
        email_verified_by=email_verified_by(email, config.email_domains, asserted=True),
        display_name=pick("display_name", texts, config.name_attribute),
        given_name=pick("given_name", texts),
        family_name=pick("family_name", texts),
        groups=groups,
        groups_state=state,
        groups_source="assertion",
        auth_time=read_time(statement, "AuthnInstant", required=False) if statement is not None else None,
        acr=(context or "").strip(),
        session_index=statement.get("SessionIndex", "") if statement is not None else "",
        session_ends_at=_session_end(found),
        name_id=name_id or "",
        private={"name_id_format": name_format, **_read_qualifiers(found)},
        raw_claims=texts,
    )


def read_attributes(found: etree._Element) -> Attributes:
    """Return all attributes by name; raises ConnectorError if a name occurs twice."""
    attributes: Attributes = {}
    for attribute in found.iterfind(f"{assertion('AttributeStatement')}/{assertion('Attribute')}"):
        name = attribute.get("Name", "")
        # Without this: two readers of one assertion may take different values for one name.
        if not name or name in attributes:
            raise ConnectorError(
                ConnectorErrorCode.CLAIM_INVALID,
                "The identity provider sent an attribute twice or without a name.",
                detail=f"attribute {name!r:.120}",
                field="Attribute",
            )
        values = attribute.findall(assertion("AttributeValue"))
        attributes[name] = [None if len(value) else (value.text or "") for value in values]
    return attributes


def read_groups(attributes: Attributes, config: SamlConfig) -> tuple[tuple[Group, ...], GroupsState]:
    """Return the groups and how far they can be trusted to be all; only "complete" may grant roles.

    Microsoft Entra replaces a list of more than 150 groups by a link: that is "overage".
    """
    if not config.groups_attribute:
        return (), "absent"
    # Entra's own documents show the name with a blank before it. The link itself is never followed.
    if any(name.strip() == GROUPS_LINK for name in attributes):
        return (), "overage"
    if config.groups_attribute not in attributes:
        return (), "absent"
    values = attributes[config.groups_attribute]
    usable = list(dict.fromkeys(value for value in values if value and is_clean_text(value)))
    state: GroupsState = "complete"
    if any(value is None or not is_clean_text(value) for value in values):
        state = "error"
    elif len(usable) > MAX_GROUPS or may_be_cut(len(values), config):
        state = "truncated"
    return tuple(Group(config.group_kind, value) for value in usable[:MAX_GROUPS]), state


def _session_end(found: etree._Element) -> int | None:
    """Return when the provider's own session ends (Core 2.7.2), the earliest if it says so twice."""
    statements = found.findall(assertion("AuthnStatement"))
    ends = [read_time(one, "SessionNotOnOrAfter", required=False) for one in statements]
    return min((end for end in ends if end is not None), default=None)


def _read_name_id(found: etree._Element) -> tuple[str | None, str]:
    """Return the NameID's text (None if there is none) and its format."""
    names = found.findall(f"{assertion('Subject')}/{assertion('NameID')}")
    if not names:
        return None, ""
    # Without this: a nested element ends the text for one reader and not for another.
    if len(names) != 1 or len(names[0]):
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID,
            "The identity provider sent an unusable name for the person who signed in.",
            detail="NameID occurs twice or holds elements",
            field="NameID",
        )
    return names[0].text or "", names[0].get("Format", "")


def _read_qualifiers(found: etree._Element) -> dict[str, str]:
    """Return the NameID's qualifiers: a sign-out must name the person in exactly the same way."""
    name = found.find(f"{assertion('Subject')}/{assertion('NameID')}")
    qualifiers = {"name_qualifier": "NameQualifier", "sp_name_qualifier": "SPNameQualifier"}
    return {kept: name.get(sent, "") for kept, sent in qualifiers.items()} if name is not None else {}


def _subject(name_id: str | None, name_format: str, attributes: Attributes, config: SamlConfig) -> str:
    if config.subject.startswith("attribute:"):
        name = config.subject.removeprefix("attribute:")
        values = attributes.get(name, [])
        if len(values) > 1:
            raise ConnectorError(
                ConnectorErrorCode.CLAIM_INVALID,
                "The identity provider sent more than one stable identifier.",
                detail=f"attribute {name!r} has {len(values)} values",
                field=name,
            )
        return require_subject(values[0] if values else None, name)
    subject = require_subject(name_id, "NameID")
    # Without this: a transient name is a new account at every sign-in, and an e-mail address that the
    # provider gives to a new colleague brings the old one's rights along.
    if name_format == NAMEID_TRANSIENT or (config.subject == "nameid" and name_format != NAMEID_PERSISTENT):
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID,
            "The identity provider's NameID is not persistent. Choose another stable identifier.",
            detail=f"NameID format {name_format!r:.120}",
            field="subject",
        )
    return subject
