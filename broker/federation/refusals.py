"""What a connection refuses: a connector's error as the broker's refusal, and its trace in the event log."""

from broker.audit.events import AuditEvent
from broker.audit.log import record
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from idp_connectors.base import ConnectorError, ConnectorErrorCode

_ADMINS_MOVE = frozenset(
    {
        ConnectorErrorCode.CONFIG_INVALID,
        ConnectorErrorCode.LIBRARY_UNUSABLE,
        ConnectorErrorCode.ACCOUNT_UNUSABLE,
        ConnectorErrorCode.UPSTREAM_UNREACHABLE,
        ConnectorErrorCode.DISCOVERY_INVALID,
        ConnectorErrorCode.KEYS_INVALID,
        ConnectorErrorCode.ALGORITHM_REFUSED,
        ConnectorErrorCode.DECRYPTION_FAILED,
        ConnectorErrorCode.SIGNATURE_INVALID,
        ConnectorErrorCode.ISSUER_MISMATCH,
        ConnectorErrorCode.AUDIENCE_MISMATCH,
        ConnectorErrorCode.RECIPIENT_MISMATCH,
        ConnectorErrorCode.CLAIM_MISSING,
        ConnectorErrorCode.CLAIM_INVALID,
    }
)


def refusal_of(error: ConnectorError) -> Refusal:
    """Return the connector's refusal as the broker's own; its code becomes the reason."""
    return Refusal(
        ErrorCode.SIGN_IN_REFUSED,
        error.public,
        reason=error.code.value,
        detail=f"{error.field}: {error.detail}" if error.field else error.detail,
        whose_move=WhoseMove.ADMIN if error.code in _ADMINS_MOVE else WhoseMove.YOU,
    )


def record_refusal(
    rt: Runtime,
    tenant: TenantSnapshot,
    ctx: CallContext,
    slug: str,
    refusal: Refusal,
    event: AuditEvent = AuditEvent.SIGN_IN_REFUSED,
) -> None:
    """Write what a connection was refused, a sign-in or ``event``, into the log by its stable reason."""
    connection = tenant.find_connection(slug)
    with rt.database.core_write() as core:
        record(
            core,
            ctx,
            tenant_id=tenant.id,
            event=event,
            outcome="refused",
            target_id=connection.id if connection else "",
            reason=refusal.reason,
            writer_id=rt.writer_id,
        )
