"""The one-time setup link: looking costs nothing, the button spends it and starts a session (T16, T20)."""

import re
from typing import cast

from sqlalchemy import Table, select

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import sha256_hex
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.links import spend_link
from broker.tokens.models import OneTimeLink
from broker.tokens.sessions import start_session

LINK_PURPOSE = "setup"
"""The purpose of links that let an administrator in."""

ADMIN_SECONDS = 7200
"""An administrator's session by setup link ends after two hours, used or not."""

_CODE = re.compile(r"[A-Za-z0-9_-]{20,128}")
_LINKS = cast(Table, OneTimeLink.__table__)


def find_link_end(rt: Runtime, tenant: TenantSnapshot, code: str, now: int) -> int | None:
    """Return when a setup link ends that can still be spent, else None; it is not spent by this.

    Unknown, spent and expired links look alike. Without this: codes could be told apart by trying them.
    """
    if not _CODE.fullmatch(code):
        return None
    with rt.database.core_read() as connection:
        return connection.execute(
            select(_LINKS.c.expires_at).where(
                _LINKS.c.tenant_id == tenant.id,
                _LINKS.c.code_hash == sha256_hex(code),
                _LINKS.c.purpose == LINK_PURPOSE,
                _LINKS.c.spent_at.is_(None),
                _LINKS.c.expires_at > now,
            )
        ).scalar()


def enter_by_link(rt: Runtime, tenant: TenantSnapshot, code: str, ctx: CallContext) -> str:
    """Spend the link and return the secret of a new administrator's session.

    Link, session and event stand together or not at all. Raises ``Refusal(link_spent)``.
    """
    with rt.database.core_write() as connection:
        is_spent = _CODE.fullmatch(code) and spend_link(
            connection, tenant_id=tenant.id, purpose=LINK_PURPOSE, code=code, now=ctx.now
        )
        if not is_spent:
            raise Refusal(
                ErrorCode.LINK_SPENT,
                "A setup link works once and only for a short time. Make a new one on the server with: "
                "broker admin-link",
                reason="setup_link",
                whose_move=WhoseMove.ADMIN,
            )
        session, secret = start_session(
            connection, rt, tenant_id=tenant.id, kind="admin", now=ctx.now, not_after=ctx.now + ADMIN_SECONDS
        )
        record(
            connection,
            ctx,
            tenant_id=tenant.id,
            event=AuditEvent.ADMIN_SIGNED_IN,
            actor=ActorRef("admin", session.id),
            target_id=session.id,
            reason="setup_link",
            writer_id=rt.writer_id,
        )
    return secret
