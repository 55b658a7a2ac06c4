"""Initial access tokens (RFC 7591 §3): made by administrators, kept as hashes, ending and counted."""

from dataclasses import dataclass

from sqlalchemy import Connection, select, update
from sqlalchemy.orm import Session

from broker.agents.models import RegistrationToken
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id, new_secret, sha256_hex

PREFIX = "brk_iat_"
"""Scanners of leaked secrets know our tokens by it."""
MAX_DAYS = 90
MAX_USES = 1_000


@dataclass(frozen=True, slots=True)
class RegistrationTokenView:
    """A token without its secret; times are epoch seconds."""

    id: str
    name: str
    uses_left: int
    created_at: int
    expires_at: int
    revoked_at: int | None

    def is_live(self, now: int) -> bool:
        """Whether a client may register with it at ``now``."""
        return self.revoked_at is None and self.expires_at > now and self.uses_left > 0


def make_token(
    session: Session, tenant_id: str, *, name: str, days: int, uses: int, now: int
) -> tuple[RegistrationTokenView, str]:
    """Return a new token and its secret, which is known only here and now.

    Raises ``Refusal(bad_configuration)``.
    """
    if not 1 <= len(name.strip()) <= 100 or not name.isprintable():
        raise _refuse("name: 1 to 100 printable characters")
    if not 1 <= days <= MAX_DAYS:
        raise _refuse(f"days: 1 to {MAX_DAYS}")
    if not 1 <= uses <= MAX_USES:
        raise _refuse(f"uses: 1 to {MAX_USES}")
    secret = PREFIX + new_secret()
    row = RegistrationToken(
        id=new_id("iat"),
        tenant_id=tenant_id,
        name=name.strip(),
        secret_hash=sha256_hex(secret),
        uses_left=uses,
        created_at=now,
        expires_at=now + days * 86_400,
    )
    session.add(row)
    session.flush()
    return _view(row), secret


def list_tokens(session: Session, tenant_id: str) -> list[RegistrationTokenView]:
    """Return the tenant's tokens, newest first, ended ones included."""
    rows = session.scalars(
        select(RegistrationToken)
        .where(RegistrationToken.tenant_id == tenant_id)
        .order_by(RegistrationToken.created_at.desc(), RegistrationToken.id)
    )
    return [_view(row) for row in rows]


def end_token(session: Session, tenant_id: str, token_id: str, now: int) -> bool:
    """End a token at once; False if there is none or it had ended. Clients made with it stay."""
    ended = session.connection().execute(
        update(RegistrationToken)
        .where(
            RegistrationToken.tenant_id == tenant_id,
            RegistrationToken.id == token_id,
            RegistrationToken.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )
    return ended.rowcount == 1


def find_token(connection: Connection, tenant_id: str, secret: str, now: int) -> str | None:
    """Return the id of this tenant's live token of that secret, or None."""
    if not secret.startswith(PREFIX) or len(secret) > 100:
        return None
    return connection.execute(
        select(RegistrationToken.id).where(
            RegistrationToken.tenant_id == tenant_id,
            RegistrationToken.secret_hash == sha256_hex(secret),
            RegistrationToken.revoked_at.is_(None),
            RegistrationToken.expires_at > now,
        )
    ).scalar()


def spend_token(connection: Connection, tenant_id: str, token_id: str, now: int) -> bool:
    """Take one use of a token; one conditional statement, so that no use is taken twice."""
    spent = connection.execute(
        update(RegistrationToken)
        .where(
            RegistrationToken.tenant_id == tenant_id,
            RegistrationToken.id == token_id,
            RegistrationToken.revoked_at.is_(None),
            RegistrationToken.expires_at > now,
            RegistrationToken.uses_left > 0,
        )
        .values(uses_left=RegistrationToken.uses_left - 1)
    )
    return spent.rowcount == 1


def _view(row: RegistrationToken) -> RegistrationTokenView:
    return RegistrationTokenView(
        row.id, row.name, row.uses_left, row.created_at, row.expires_at, row.revoked_at
    )


def _refuse(why: str) -> Refusal:
    return Refusal(
        ErrorCode.BAD_CONFIGURATION, why, reason="bad_registration_token", whose_move=WhoseMove.ADMIN
    )
