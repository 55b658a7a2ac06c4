"""Initial access tokens as administrators see them: made, counted, ended; the secret is shown once."""

from typing import Any

from broker.admin.changes import Desk, bad_form, change, find_done, write_down
from broker.agents.registration_tokens import (
    MAX_DAYS,
    MAX_USES,
    RegistrationTokenView,
    end_token,
    list_tokens,
    make_token,
)
from broker.audit.events import AuditEvent

_SHOWN_ENDED = 10


def tokens_context(desk: Desk, done: str) -> dict[str, Any]:
    """Return the context of ``admin/registration_tokens.html``."""
    with desk.rt.database.read(desk.tenant.id) as session:
        tokens = list_tokens(session, desk.tenant.id)
    live = [one for one in tokens if one.is_live(desk.now)]
    ended = [one for one in tokens if not one.is_live(desk.now)][:_SHOWN_ENDED]
    return {
        "tokens": [_token_words(one, desk.now) for one in [*live, *ended]],
        "registration": desk.tenant.settings.onboarding.registration,
        "endpoint": f"{desk.tenant.issuer}/register",
        "max_days": MAX_DAYS,
        "max_uses": MAX_USES,
        "receipt": _find_receipt(desk, done),
    }


def make_registration_token(desk: Desk, name: str, days: str, uses: str) -> str:
    """Return the secret of a new initial token, shown once; raises ``Refusal`` for fields that do not fit."""
    if not all(one.isascii() and one.isdigit() and len(one) < 6 for one in (days, uses)):
        raise bad_form("Days and uses are numbers.")
    with change(desk) as session:
        view, secret = make_token(
            session, desk.tenant.id, name=name, days=int(days), uses=int(uses), now=desk.now
        )
        data = {"name": view.name, "uses": view.uses_left, "expires_at": view.expires_at}
        write_down(session, desk, AuditEvent.REGISTRATION_TOKEN_CREATED, target_id=view.id, data=data)
    return secret


def end_registration_token(desk: Desk, token_id: str) -> None:
    """End a token at once; raises ``Refusal(bad_form)`` if it had ended or is none of this tenant's."""
    with change(desk) as session:
        if not end_token(session, desk.tenant.id, token_id, desk.now):
            raise bad_form("This token had ended already.")
        write_down(session, desk, AuditEvent.REGISTRATION_TOKEN_REVOKED, target_id=token_id)


def _token_words(token: RegistrationTokenView, now: int) -> dict[str, Any]:
    if token.revoked_at is not None:
        state = "revoked"
    else:
        state = "live" if token.is_live(now) else "ended" if token.uses_left == 0 else "expired"
    return {
        "token_id": token.id,
        "name": token.name,
        "uses_left": token.uses_left,
        "state": state,
        "expires_at": token.expires_at,
    }


def _find_receipt(desk: Desk, done: str) -> dict[str, str] | None:
    event = find_done(desk, done)
    if event is None or event.event != AuditEvent.REGISTRATION_TOKEN_REVOKED:
        return None
    return {"title": "The token was revoked.", "text": "Clients that were made with it stay."}
