"""What a signed SAML answer must say before anybody is signed in (SAML 2.0 Profiles 4.1.4.2 and 4.1.4.3).

Everything about the person and the conditions is read from the canonical bytes that the signature covers. The
unsigned rest of the message can only lead to a refusal.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.names import BEARER, ENTITY_FORMAT, STATUS_SUCCESS, assertion, protocol

SKEW_SECONDS = 60
MAX_CONDITIONS_SECONDS = 75 * 60
MAX_ID_CHARS = 256

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z")
_CONDITIONS = frozenset(assertion(name) for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction"))


@dataclass(frozen=True, slots=True)
class Expected:
    """What this sign-in expects: our own names, the request that is pending, and the time."""

    entity_id: str
    callback_url: str
    request_id: str
    now: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A signed assertion that passed; `acceptable_until` bounds how long it could be presented again."""

    assertion: etree._Element
    assertion_id: str
    acceptable_until: int


def check_response(response: etree._Element, config: SamlConfig, expected: Expected, *, signed: bool) -> None:
    """Return if the message around the assertion fits; raises ConnectorError."""
    if response.get("Version") != "2.0":
        raise _invalid("Version", "the response is not SAML 2.0")
    statuses = [code.get("Value") for code in response.iter(protocol("StatusCode"))]
    if statuses != [STATUS_SUCCESS]:
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_REFUSED,
            "The identity provider did not sign you in.",
            detail=f"status {statuses!r:.300}",
        )
    issuers = response.findall(assertion("Issuer"))
    if issuers:
        _check_issuer(issuers, config)
    destination = response.get("Destination")
    # Without this: a message for another service, or for a longer address that starts with ours, is taken.
    if (destination is None and signed) or (destination is not None and destination != expected.callback_url):
        raise _recipient_mismatch("Destination", destination, expected)
    in_response_to = response.get("InResponseTo")
    if in_response_to is not None:
        _check_request(in_response_to, expected)


def check_assertion(found: etree._Element, config: SamlConfig, expected: Expected) -> Accepted:
    """Return the assertion if issuer, audience, times and confirmation all fit; raises ConnectorError."""
    assertion_id = found.get("ID", "")
    if found.get("Version") != "2.0" or not 0 < len(assertion_id) <= MAX_ID_CHARS:
        raise _invalid("ID", "the assertion is not SAML 2.0 or has no usable ID")
    _check_issuer(found.findall(assertion("Issuer")), config)
    conditions = _only(found, "Conditions")
    conditions_end = _check_conditions(conditions, expected)
    confirmation_end = _check_confirmation(_only(found, "Subject"), config, expected)
    for statement in found.findall(assertion("AuthnStatement")):
        _check_authn_statement(statement, expected.now)
    return Accepted(found, assertion_id, max(conditions_end, confirmation_end) + SKEW_SECONDS)


def read_time(element: etree._Element, name: str, *, required: bool) -> int | None:
    """Return a SAML time as epoch seconds; it must be UTC (Core 1.3.3). Raises ConnectorError."""
    text = element.get(name)
    if text is None:
        if required:
            raise _missing(name, f"{etree.QName(element).localname} has no {name}")
        return None
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not a UTC time")
        return int(datetime.fromisoformat(match.group(1)).replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise _invalid(name, f"{name} is {text!r:.60}: {error}") from error


def _check_conditions(conditions: etree._Element, expected: Expected) -> int:
    """Return when the conditions end."""
    _check_not_before(conditions, expected.now)
    ends_at = _check_end(conditions, expected.now, MAX_CONDITIONS_SECONDS)
    for condition in conditions:
        # Core 2.5.1.1: an assertion with a condition that is not understood is not valid.
        if condition.tag not in _CONDITIONS:
            raise _invalid("Conditions", f"unknown condition {condition.tag!r:.120}")
    restrictions = conditions.findall(assertion("AudienceRestriction"))
    audiences = [audience.text for each in restrictions for audience in each.findall(assertion("Audience"))]
    # Without this: an assertion that another service received signs in here.
    if len(restrictions) != 1 or expected.entity_id not in audiences:
        raise ConnectorError(
            ConnectorErrorCode.AUDIENCE_MISMATCH,
            "The identity provider's answer was made for another application.",
            detail=f"{len(restrictions)} restrictions, audiences {audiences!r:.300}",
            field="Audience",
        )
    return ends_at


def _check_confirmation(subject: etree._Element, config: SamlConfig, expected: Expected) -> int:
    """Return when the one bearer confirmation ends."""
    confirmations = subject.findall(assertion("SubjectConfirmation"))
    # Without this: a confirmation that we do not check (holder of key, sender vouches) stands in for one
    # that we do.
    if len(confirmations) != 1 or confirmations[0].get("Method") != BEARER:
        raise _invalid("SubjectConfirmation", "there is not exactly one confirmation, by bearer")
    data = _only(confirmations[0], "SubjectConfirmationData")
    # Without this: an assertion delivered to another address can be brought here (prefix, suffix, query).
    if data.get("Recipient") != expected.callback_url:
        raise _recipient_mismatch("Recipient", data.get("Recipient"), expected)
    # Without this: an unsolicited assertion, or one from another browser's sign-in, is injected here.
    _check_request(data.get("InResponseTo"), expected)
    _check_not_before(data, expected.now)
    return _check_end(data, expected.now, config.confirmation_minutes * 60)


def _check_authn_statement(statement: etree._Element, now: int) -> None:
    authenticated_at = read_time(statement, "AuthnInstant", required=True)
    if authenticated_at is not None and authenticated_at > now + SKEW_SECONDS:
        raise _from_the_future("AuthnInstant", authenticated_at, now)
    session_end = read_time(statement, "SessionNotOnOrAfter", required=False)
    if session_end is not None and now >= session_end + SKEW_SECONDS:
        raise _expired("SessionNotOnOrAfter", session_end, now)


def _check_not_before(element: etree._Element, now: int) -> None:
    not_before = read_time(element, "NotBefore", required=False)
    if not_before is not None and not_before > now + SKEW_SECONDS:
        raise _from_the_future("NotBefore", not_before, now)


def _check_end(element: etree._Element, now: int, longest: int) -> int:
    """Return the element's NotOnOrAfter, which must be there, not passed, and not too far ahead."""
    ends_at = read_time(element, "NotOnOrAfter", required=True)
    if ends_at is None or now >= ends_at + SKEW_SECONDS:
        raise _expired("NotOnOrAfter", ends_at, now)
    # Without this: an assertion that leaked stays usable for as long as its maker likes, and so must our
    # memory of it.
    if ends_at > now + longest + SKEW_SECONDS:
        raise ConnectorError(
            ConnectorErrorCode.NOT_YET_VALID,
            "The identity provider's answer is valid for longer than this connection allows.",
            detail=f"{etree.QName(element).localname} ends {ends_at - now} s ahead, allowed {longest}",
            field="NotOnOrAfter",
        )
    return ends_at


def _check_issuer(issuers: list[etree._Element], config: SamlConfig) -> None:
    found = [issuer.text for issuer in issuers]
    formats = {issuer.get("Format", ENTITY_FORMAT) for issuer in issuers}
    # Without this: one provider speaks for the people of another.
    if found != [config.idp_entity_id] or formats != {ENTITY_FORMAT}:
        raise ConnectorError(
            ConnectorErrorCode.ISSUER_MISMATCH,
            "The answer comes from another identity provider than the one configured.",
            detail=f"expected {config.idp_entity_id!r}, found {found!r:.300}",
            field="Issuer",
        )


def _check_request(in_response_to: str | None, expected: Expected) -> None:
    if not expected.request_id or in_response_to != expected.request_id:
        raise ConnectorError(
            ConnectorErrorCode.REQUEST_MISMATCH,
            "The identity provider's answer does not belong to your sign-in. Start again.",
            detail=f"InResponseTo is {in_response_to!r:.120}",
            field="InResponseTo",
        )


def _only(parent: etree._Element, name: str) -> etree._Element:
    found = parent.findall(assertion(name))
    if len(found) != 1:
        raise _missing(name, f"{len(found)} {name} elements in {etree.QName(parent).localname}")
    return found[0]


def _recipient_mismatch(name: str, found: str | None, expected: Expected) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.RECIPIENT_MISMATCH,
        "The identity provider's answer was made for another address.",
        detail=f"{name} is {found!r:.300}, expected {expected.callback_url!r}",
        field=name,
    )


def _expired(name: str, moment: int | None, now: int) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.EXPIRED,
        "The identity provider's answer has expired. Start again.",
        detail=f"{name} {moment}, now {now}",
        field=name,
    )


def _from_the_future(name: str, moment: int, now: int) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.NOT_YET_VALID,
        "The identity provider's answer is from the future. Compare the clocks of both systems.",
        detail=f"{name} {moment}, now {now}",
        field=name,
    )


def _missing(name: str, detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.CLAIM_MISSING,
        f"The identity provider's answer lacks {name}.",
        detail=detail,
        field=name,
    )


def _invalid(name: str, detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.CLAIM_INVALID,
        f"The identity provider's answer has an unusable {name}.",
        detail=detail,
        field=name,
    )
