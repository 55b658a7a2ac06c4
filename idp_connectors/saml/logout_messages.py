"""LogoutRequest and LogoutResponse (SAML 2.0 Core 3.7): written here, and judged when they come in."""

import re
import time
from collections.abc import Mapping

from lxml import etree

from idp_connectors.base import Mark, SignOutOrder
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.identity_rules import is_clean_text
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.names import ASSERTION, ENTITY_FORMAT, PROTOCOL, STATUS_SUCCESS, assertion, protocol
from idp_connectors.saml.policy import MAX_ID_CHARS, SKEW_SECONDS, read_time

REPLAY_KIND = "saml_logout_request"
MAX_AGE_SECONDS = 600
MAX_SESSIONS = 50
MAX_NAME_CHARS = 512
_ENTRA = re.compile(r"https://sts\.windows\.net/([0-9a-f-]{36})/")


def read_logout_request(root: etree._Element, config: SamlConfig, *, our_url: str, now: int) -> SignOutOrder:
    """Return whom a LogoutRequest signs out, read from a message whose signature was verified.

    Raises ConnectorError.
    """
    _check_message(root, "LogoutRequest", {config.idp_entity_id}, our_url, now)
    not_on_or_after = read_time(root, "NotOnOrAfter", required=False)
    if not_on_or_after is not None and now >= not_on_or_after + SKEW_SECONDS:
        raise _expired("NotOnOrAfter", not_on_or_after, now)
    names = root.findall(assertion("NameID"))
    # Without this: a request that names nobody, or two people, ends the wrong sessions.
    if len(names) != 1:
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_MISSING,
            "The sign-out message does not name one person.",
            detail=f"{len(names)} NameID elements",
            field="NameID",
        )
    indexes = root.findall(protocol("SessionIndex"))
    if len(indexes) > MAX_SESSIONS:
        raise _invalid("SessionIndex", f"{len(indexes)} sessions")
    message_id = root.get("ID", "")
    return SignOutOrder(
        issuer=config.idp_entity_id,
        message_id=message_id,
        person=_read_text(names[0], "NameID"),
        sessions=tuple(_read_text(index, "SessionIndex") for index in indexes),
        mark=Mark(
            REPLAY_KIND, f"{config.idp_entity_id}|{message_id}", now + MAX_AGE_SECONDS + 2 * SKEW_SECONDS
        ),
    )


def check_logout_response(
    root: etree._Element, config: SamlConfig, *, our_url: str, request_id: str, now: int
) -> None:
    """Return if a LogoutResponse (its signature was verified) answers our request; raises ConnectorError."""
    _check_message(root, "LogoutResponse", _response_issuers(config), our_url, now)
    if not request_id or root.get("InResponseTo") != request_id:
        raise ConnectorError(
            ConnectorErrorCode.REQUEST_MISMATCH,
            "This answer does not belong to your sign-out.",
            detail=f"InResponseTo is {root.get('InResponseTo')!r:.120}",
            field="InResponseTo",
        )
    statuses = [code.get("Value") for code in root.iter(protocol("StatusCode"))]
    if statuses != [STATUS_SUCCESS]:
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_REFUSED,
            "You are signed out here, but your identity provider did not sign you out everywhere.",
            detail=f"status {statuses!r:.300}",
        )


def build_logout_request(
    upstream: Mapping[str, str], *, request_id: str, slo_url: str, entity_id: str, now: int
) -> bytes:
    """Return a LogoutRequest (Core 3.7.1) for the session that `upstream` describes."""
    root = _message("LogoutRequest", request_id, slo_url, entity_id, now)
    attributes = {
        name: upstream[kept]
        for name, kept in (
            ("Format", "name_id_format"),
            ("NameQualifier", "name_qualifier"),
            ("SPNameQualifier", "sp_name_qualifier"),
        )
        if upstream.get(kept)
    }
    etree.SubElement(root, assertion("NameID"), attributes).text = upstream["name_id"]
    if upstream.get("session_index"):
        etree.SubElement(root, protocol("SessionIndex")).text = upstream["session_index"]
    return etree.tostring(root)


def build_logout_response(*, in_response_to: str, slo_url: str, entity_id: str, now: int) -> bytes:
    """Return a LogoutResponse (Core 3.7.2) that says that the sessions have ended."""
    # One answer per request, so that the request's own id makes a fit one.
    root = _message("LogoutResponse", f"_r{in_response_to}"[:MAX_ID_CHARS], slo_url, entity_id, now)
    root.set("InResponseTo", in_response_to)
    status = etree.SubElement(root, protocol("Status"))
    etree.SubElement(status, protocol("StatusCode"), {"Value": STATUS_SUCCESS})
    return etree.tostring(root)


def _message(name: str, message_id: str, slo_url: str, entity_id: str, now: int) -> etree._Element:
    root = etree.Element(
        protocol(name),
        {
            "ID": message_id,
            "Version": "2.0",
            "IssueInstant": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "Destination": slo_url,
        },
        nsmap={"samlp": PROTOCOL, "saml": ASSERTION},
    )
    etree.SubElement(root, assertion("Issuer")).text = entity_id
    return root


def _check_message(root: etree._Element, name: str, issuers: set[str], our_url: str, now: int) -> None:
    if root.tag != protocol(name) or root.get("Version") != "2.0":
        raise _invalid(name, f"the message is {root.tag!r:.120}")
    if not 0 < len(root.get("ID", "")) <= MAX_ID_CHARS:
        raise _invalid("ID", "no usable ID")
    found = root.findall(assertion("Issuer"))
    # Without this: one provider signs out the people of another.
    if (
        len(found) != 1
        or found[0].text not in issuers
        or found[0].get("Format", ENTITY_FORMAT) != ENTITY_FORMAT
    ):
        raise ConnectorError(
            ConnectorErrorCode.ISSUER_MISMATCH,
            "The message comes from another identity provider than the one configured.",
            detail=f"found {[one.text for one in found]!r:.300}",
            field="Issuer",
        )
    # Without this: a message for another service of the provider is brought here.
    if root.get("Destination") != our_url:
        raise ConnectorError(
            ConnectorErrorCode.RECIPIENT_MISMATCH,
            "The message was made for another address.",
            detail=f"Destination is {root.get('Destination')!r:.300}, expected {our_url!r}",
            field="Destination",
        )
    _check_age(root, now)


def _check_age(root: etree._Element, now: int) -> None:
    issued_at = read_time(root, "IssueInstant", required=True) or 0
    # Without this: a message caught long ago ends sessions once our memory of its ID is gone.
    if now > issued_at + MAX_AGE_SECONDS + SKEW_SECONDS:
        raise _expired("IssueInstant", issued_at, now)
    if issued_at > now + SKEW_SECONDS:
        raise ConnectorError(
            ConnectorErrorCode.NOT_YET_VALID,
            "The message is from the future. Compare the clocks of both systems.",
            field="IssueInstant",
        )


def _response_issuers(config: SamlConfig) -> set[str]:
    """Return who may answer: Entra signs its LogoutResponse in its other name, of the same directory."""
    entra = _ENTRA.fullmatch(config.idp_entity_id)
    other = {f"https://login.microsoftonline.com/{entra.group(1)}/"} if entra else set()
    return {config.idp_entity_id} | other


def _read_text(element: etree._Element, name: str) -> str:
    text = (element.text or "").strip()
    # Without this: a nested element ends the text for one reader and not for another.
    if len(element) or not 0 < len(text) <= MAX_NAME_CHARS or not is_clean_text(text):
        raise _invalid(name, "not a clean text of acceptable length")
    return text


def _expired(name: str, moment: int, now: int) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.EXPIRED,
        "The message has expired.",
        detail=f"{name} {moment}, now {now}",
        field=name,
    )


def _invalid(name: str, detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.CLAIM_INVALID,
        f"The sign-out message has an unusable {name}.",
        detail=detail,
        field=name,
    )
