"""Finding exactly one person, by user name or by stable identifier, and describing them."""

from collections.abc import Mapping

from idp_connectors.base import Deps, VerifiedIdentity
from idp_connectors.claim_mapping import pick
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.identity_rules import email_verified_by, is_clean_text, require_subject
from idp_connectors.ldap.accounts import ACCOUNT_ATTRIBUTES
from idp_connectors.ldap.config import LdapConfig
from idp_connectors.ldap.filters import all_of, equals
from idp_connectors.ldap.identifiers import read_subject, subject_value
from idp_connectors.ldap.traits import Traits
from idp_connectors.ldap.wire import Deadline, Entry, Page, Session

MAX_USERNAME_CHARS = 256

_PROFILE = ("mail", "displayName", "cn", "givenName", "sn", "uid", "sAMAccountName", "userPrincipalName")
_KEYS = ("objectSid", "primaryGroupID")
_ANY_PERSON = "(objectClass=person)"
_AD_PERSON = "(&(objectCategory=person)(objectClass=user))"


def is_username(text: str) -> bool:
    """Return whether `text` can be a user name at all: visible, not blank, not endless."""
    return bool(text.strip()) and len(text) <= MAX_USERNAME_CHARS and is_clean_text(text)


def subject_attribute(config: LdapConfig, traits: Traits) -> str:
    """Return the attribute that identifies people of this connection for good."""
    return config.subject_attribute or traits.subject_attribute


def name_filter(config: LdapConfig, traits: Traits, username: str) -> str:
    """Return the filter that finds the person who signs in as `username`."""
    attribute = config.login_attribute
    if not attribute:
        attribute = "uid"
        if traits.is_active_directory:
            attribute = "userPrincipalName" if "@" in username else "sAMAccountName"
    return all_of(any_person(config, traits), equals(attribute, username))


def find_by_username(
    session: Session, config: LdapConfig, traits: Traits, username: str, deadline: Deadline
) -> Entry | None:
    """Return the one person of that name; raises ConnectorError if the name means more than one."""
    filter_text = name_filter(config, traits, username)
    return _only(_search(session, config, traits, filter_text, deadline), "username")


def find_by_subject(
    session: Session, config: LdapConfig, traits: Traits, subject: str, deadline: Deadline
) -> Entry | None:
    """Return the person with that stable identifier; raises ConnectorError, ValueError if it is none."""
    attribute = subject_attribute(config, traits)
    filter_text = all_of(any_person(config, traits), equals(attribute, subject_value(attribute, subject)))
    return _only(_search(session, config, traits, filter_text, deadline), attribute)


def find_some(
    session: Session, config: LdapConfig, traits: Traits, deadline: Deadline, limit: int
) -> tuple[Entry, ...]:
    """Return a few of the people whom this connection is about; raises ConnectorError, OutOfTime."""
    wanted = _attributes(config, traits)
    found = session.search(config.base_dn, any_person(config, traits), wanted, deadline, size_limit=limit)
    return found.entries


def read_again(
    session: Session, config: LdapConfig, traits: Traits, entry: Entry, deadline: Deadline
) -> Entry | None:
    """Return the same person as they are now; None if they are gone or no longer match."""
    people = any_person(config, traits)
    wanted = _attributes(config, traits)
    return _only(session.search(entry.dn, people, wanted, deadline, is_base_only=True), "dn")


def describe(entry: Entry, config: LdapConfig, traits: Traits, deps: Deps) -> VerifiedIdentity:
    """Return the person without groups; the subject is the directory's own identifier.

    Raises ConnectorError.
    """
    attribute = subject_attribute(config, traits)
    try:
        subject = read_subject(attribute, entry.first(attribute)) if entry.first(attribute) else None
    except ValueError:
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID,
            "The directory's identifier for this person cannot be used.",
            detail=f"{attribute} of {entry.dn!r:.200}",
            field="subject_attribute",
        ) from None
    claims = _claims(entry)
    email = pick("email", claims)
    return VerifiedIdentity(
        issuer=f"ldap:{traits.naming_context}",
        subject=require_subject(subject, attribute),
        subject_kind=attribute,
        email=email or None,
        email_verified_by=email_verified_by(email, config.email_domains, asserted=None),
        display_name=pick("display_name", claims),
        given_name=pick("given_name", claims),
        family_name=pick("family_name", claims),
        auth_time=deps.now,
        amr=("pwd",),
        raw_claims={"dn": entry.dn, **claims},
    )


def _claims(entry: Entry) -> Mapping[str, str]:
    found = {name: entry.text(name) for name in _PROFILE}
    return {name: text for name, text in found.items() if text and is_clean_text(text)}


def any_person(config: LdapConfig, traits: Traits) -> str:
    """Return the filter for everybody whom this connection is about."""
    return config.user_filter or (_AD_PERSON if traits.is_active_directory else _ANY_PERSON)


def _attributes(config: LdapConfig, traits: Traits) -> tuple[str, ...]:
    return (*_PROFILE, *_KEYS, *ACCOUNT_ATTRIBUTES, subject_attribute(config, traits))


def _search(
    session: Session, config: LdapConfig, traits: Traits, filter_text: str, deadline: Deadline
) -> Page:
    wanted = _attributes(config, traits)
    return session.search(config.base_dn, filter_text, wanted, deadline, size_limit=2)


def _only(page: Page, field: str) -> Entry | None:
    # Without this: a name that two entries share lets the one sign in as the other (L09).
    if len(page.entries) > 1 or page.is_cut:
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID,
            "The directory knows more than one account of that name.",
            detail=f"{len(page.entries)} entries: {[entry.dn for entry in page.entries]!r:.300}",
            field=field,
        )
    return page.entries[0] if page.entries else None
