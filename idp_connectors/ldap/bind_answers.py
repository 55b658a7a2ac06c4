"""What a refused bind means, in words: Active Directory hides the reason in a hexadecimal number."""

import re
from collections.abc import Mapping

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.ldap.wire import INVALID_CREDENTIALS, BindAnswer

WRONG_PASSWORD = "The user name or the password is not right."  # noqa: S105 - a sentence

_AD_CODE = re.compile(r"\bdata ([0-9a-f]{3,4})\b", re.IGNORECASE)
_AD_REASONS: Mapping[str, str] = {
    "525": "no such user",
    "52e": "wrong password",
    "530": "not allowed to sign in at this time",
    "531": "not allowed to sign in from this machine",
    "532": "password expired",
    "533": "account disabled",
    "701": "account expired",
    "773": "password must be changed",
    "775": "account locked",
}
_PROVEN: Mapping[str, str] = {
    "532": "password expired",
    "533": "disabled",
    "701": "expired",
    "773": "password must be changed",
}
"""What Active Directory answers only to the right password, as a key of `accounts.SENTENCES`.

A locked account (775) is not among them: that is told to whoever asks.
"""
STRONGER_AUTH_REQUIRED = 8
UNWILLING = 53


def explain_bind(answer: BindAnswer) -> str:
    """Return the reason for a refused bind, for the log."""
    found = _AD_CODE.search(answer.message)
    reason = _AD_REASONS.get(found[1].lower(), f"code {found[1].lower()}") if found else ""
    return reason or ("wrong password" if answer.code == INVALID_CREDENTIALS else f"result {answer.code}")


def proven_obstacle(answer: BindAnswer) -> str:
    """Return why Active Directory refused the right password of an account, or "" if it may be wrong.

    Without this: somebody whose password has expired is told that it is wrong, and tries until locked out.
    """
    found = _AD_CODE.search(answer.message)
    return _PROVEN.get(found[1].lower(), "") if found and answer.code == INVALID_CREDENTIALS else ""


def refuse_person(detail: str) -> ConnectorError:
    """Return the one refusal for every wrong guess.

    Without this: the words tell whether a name exists and whether its account is switched off.
    """
    return ConnectorError(
        ConnectorErrorCode.UPSTREAM_REFUSED, WRONG_PASSWORD, detail=detail, field="password"
    )


def explain_service_bind(answer: BindAnswer, host: str) -> ConnectorError:
    """Return the refusal for a bind account that the directory does not let in.

    It is a fault of the settings. Without this: people would be told to type their password again, and be
    locked out for the bind account's.
    """
    detail = f"{host}: bind account: {explain_bind(answer)}"
    if answer.code == INVALID_CREDENTIALS:
        public = "The directory does not accept the bind account. Check its name, password and state."
        return ConnectorError(ConnectorErrorCode.CONFIG_INVALID, public, detail=detail, field="bind_password")
    if answer.code in (STRONGER_AUTH_REQUIRED, UNWILLING):
        public = "The directory does not let the bind account sign in this way."
        return ConnectorError(ConnectorErrorCode.CONFIG_INVALID, public, detail=detail, field="bind_dn")
    public = "The directory did not take the bind account."
    return ConnectorError(ConnectorErrorCode.UPSTREAM_UNREACHABLE, public, detail=detail, field="urls")
