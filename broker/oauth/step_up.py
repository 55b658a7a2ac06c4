"""Does the session prove what the request asks for? If not: sign in for it, once, or tell the client."""

from collections.abc import Mapping
from typing import Any

from broker.approvals.interactions import InteractionView
from broker.kernel.errors import ErrorCode, Refusal
from broker.oauth.authorization_request import AuthorizationRequest
from broker.policy.step_up import ShownProof, WantedProof, find_unproven
from broker.tokens.sessions import BrowserSessionView

_SENT_WITH = "sent_to_sign_in_with"
"""Holds the session that was there when the person was sent to sign in; a new one is another."""


def needs_sign_in(person: BrowserSessionView, view: InteractionView, request: AuthorizationRequest) -> bool:
    """Say whether the person must sign in first, for the first time in this request.

    After they did, what is still not proven is an error for the client and not a second try. Without this:
    a provider that cannot prove it would send the person round and round. Raises ``Refusal``:
    ``login_required``, ``unmet_authentication_requirements``.
    """
    is_new = view.request.get(_SENT_WITH, person.id) != person.id
    is_expected = request.subject_hint in {"", person.user_id}
    if not is_new and ("select_account" in request.prompts or not is_expected):
        return True
    # Without this: a client that asked for one person would be answered about another.
    if not is_expected:
        raise Refusal(
            ErrorCode.LOGIN_REQUIRED, "Somebody else signed in than was expected.", reason="other_person"
        )
    unproven = find_unproven(_wanted(request), ShownProof(person.proven_at, person.acr, is_new))
    if unproven is None:
        return False
    if not is_new:
        return True
    # A token for less than was asked would send the agent back with the same question (RFC 9470 §5).
    raise Refusal(
        ErrorCode.LOGIN_REQUIRED if unproven == "login" else ErrorCode.UNMET_AUTHENTICATION_REQUIREMENTS,
        "The identity provider did not prove the sign-in that was asked for.",
        reason=f"unproven_{unproven}",
    )


def remember_sign_in(request: Mapping[str, Any], person: BrowserSessionView | None) -> dict[str, Any]:
    """Return the stored request with the session that was there before the person signs in for it."""
    if _SENT_WITH in request:
        return dict(request)
    return {**request, _SENT_WITH: person.id if person else ""}


def _wanted(request: AuthorizationRequest) -> WantedProof:
    return WantedProof(
        asked_at=request.asked_at,
        login="login" in request.prompts,
        max_age=request.max_age,
        acr_values=frozenset(request.acr_values),
    )
