"""Tells clients that a session ended (OpenID Connect Back-Channel Logout 1.0), again where that fails."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from broker.agents.snapshot import ClientView, load_agents
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.errors import Refusal
from broker.kernel.ids import new_id
from broker.kernel.jobs import acquire_lease
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot, get_tenant
from broker.tokens.id_tokens import id_token_key
from broker.tokens.logout_notices import Notice, find_due, forget, put_off
from broker.tokens.signing import LOGOUT_TOKEN_TYP, sign_jwt

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TOKEN_SECONDS = 120
"""A logout token that arrives later is worth nothing (§2.4)."""

LEASE = "logouts"
LEASE_SECONDS = 120
MAX_NOTICES = 64
SENDERS = 8
"""So many at a time: a client that does not answer holds up one of them for ten seconds, not the others."""

FIRST_PAUSE_SECONDS = 10
LONGEST_PAUSE_SECONDS = 3600

_SYSTEM = ActorRef("system", "logouts")


def logout_token(rt: Runtime, tenant: TenantSnapshot, client: ClientView, notice: Notice, now: int) -> str:
    """Return the signed logout token of §2.4 for one client and session.

    It has no ``nonce``. Without that and its own ``typ``: it could be taken for an ID token, or the reverse.
    """
    claims = {
        "iss": tenant.issuer,
        "aud": client.client_id,
        "iat": now,
        "exp": now + TOKEN_SECONDS,
        "jti": new_id("lgt"),
        "events": {EVENT: {}},
        "sub": notice.user_id,
        "sid": notice.session_id,
    }
    key = id_token_key(rt, tenant, client.options.id_token_signed_response_alg)
    return sign_jwt(key, LOGOUT_TOKEN_TYP, claims)


def send_due_logouts(rt: Runtime) -> dict[str, int]:
    """Tell every client that is due; returns how many were "told", "refused", "put_off" or "given_up".

    Does nothing while another process does it. A client may be told twice, never not at all.
    """
    now = rt.clock.now()
    with rt.database.core_write() as connection:
        if not acquire_lease(connection, name=LEASE, holder=rt.writer_id, now=now, ttl_seconds=LEASE_SECONDS):
            return {}
    with rt.database.core_read() as connection:
        due = find_due(connection, now, MAX_NOTICES)
    if not due:
        return {}
    with ThreadPoolExecutor(min(SENDERS, len(due))) as pool:
        return dict(Counter(pool.map(lambda notice: _tell(rt, notice, now), due)))


def pause_seconds(tries: int) -> int:
    """Return how long to wait after so many failed tries: ten seconds, doubled, an hour at most."""
    return min(FIRST_PAUSE_SECONDS << min(tries, 20), LONGEST_PAUSE_SECONDS)


def _tell(rt: Runtime, notice: Notice, now: int) -> str:
    tenant = get_tenant(rt, notice.tenant_id)
    client = load_agents(rt, notice.tenant_id).client(notice.client_id)
    uri = client.options.backchannel_logout_uri if client else None
    if tenant is None or client is None or uri is None:
        return _close(rt, notice, now, "given_up", "client_gone")
    try:
        token = logout_token(rt, tenant, client, notice, now)
        status = rt.egress.post_form(uri, {"logout_token": token}, max_bytes=16_384)
    except (Refusal, LookupError) as fault:
        reason = fault.reason if isinstance(fault, Refusal) else "no_key"
        return _try_later(rt, notice, now, reason)
    if status in {200, 204}:
        return _close(rt, notice, now, "told", "")
    if status == 400:
        # The client understood and said no (§2.8): to ask again would bring the same answer.
        return _close(rt, notice, now, "refused", "client_refused")
    return _try_later(rt, notice, now, f"status_{status}")


def _try_later(rt: Runtime, notice: Notice, now: int, reason: str) -> str:
    until = now + pause_seconds(notice.tries)
    if until >= notice.expires_at:
        return _close(rt, notice, now, "given_up", reason)
    with rt.database.core_write() as connection:
        put_off(connection, notice, until)
    return "put_off"


def _close(rt: Runtime, notice: Notice, now: int, outcome: str, reason: str) -> str:
    is_told = outcome == "told"
    with rt.database.core_write() as connection:
        forget(connection, notice)
        record(
            connection,
            CallContext(now=now, request_id=new_id("req")),
            tenant_id=notice.tenant_id,
            event=AuditEvent.LOGOUT_SENT if is_told else AuditEvent.LOGOUT_FAILED,
            outcome="ok" if is_told else "refused",
            actor=_SYSTEM,
            subject_id=notice.user_id,
            client_id=notice.client_id,
            target_id=notice.session_id,
            reason=reason,
            data={"tries": notice.tries + 1},
            writer_id=rt.writer_id,
        )
    return outcome
