"""Signing a person in with the user name and password that our own page took, at the tenant's directory.

The password is handed to the connector and to nobody else: it is neither stored nor logged, and a page
never shows it again.
"""

from broker.audit.events import AuditEvent
from broker.audit.log import record
from broker.federation.admitting import SignedInPerson, admit
from broker.federation.attempts import Attempt, forget_attempts, give_back, take_attempt
from broker.federation.deps import connector_deps
from broker.federation.directory_leaving import let_back_in
from broker.federation.refusals import record_refusal, refusal_of
from broker.federation.steps import Signing
from broker.kernel.errors import Refusal
from broker.tenants.connections import open_secrets
from broker.tokens.sessions import BrowserSessionView
from idp_connectors.base import (
    ConnectorError,
    ConnectorErrorCode,
    SignsInByPassword,
    VerifiedIdentity,
)

_NOTHING_TRIED = frozenset(
    {
        ConnectorErrorCode.CALLBACK_MALFORMED,
        ConnectorErrorCode.CONFIG_INVALID,
        ConnectorErrorCode.LIBRARY_UNUSABLE,
        ConnectorErrorCode.UPSTREAM_UNREACHABLE,
    }
)
"""Where the directory did not say whether the password is right, so that it counts as no guess."""


def takes_password(step: Signing) -> bool:
    """Whether people type a password into our own page for this connection."""
    return isinstance(step.connector, SignsInByPassword)


def sign_in(
    step: Signing, *, username: str, password: str, resume_url: str, previous: BrowserSessionView | None
) -> SignedInPerson:
    """Check the password at the directory and start a session; raises ``Refusal``.

    The answer is the same for an unknown name and for a wrong password. A refusal is in the tenant's event
    log when this returns; one for too many attempts is there once a window, so that it cannot be flooded.
    """
    now = step.ctx.now
    attempt = take_attempt(step.rt, step.tenant.id, step.connection.id, username, step.ctx.ip, now)
    try:
        identity = _verify(step, username, password)
        let_back_in(step.rt, step.tenant.id, step.connection.id, identity.subject)
        signed_in = admit(step, identity, resume_url=resume_url, previous=previous)
    except ConnectorError as error:
        refusal = refusal_of(error)
        _settle(step, attempt, error, refusal)
        raise refusal from error
    except Refusal as refusal:
        forget_attempts(step.rt, attempt, now)
        record_refusal(step.rt, step.tenant, step.ctx, step.connection.slug, refusal)
        raise
    forget_attempts(step.rt, attempt, now)
    return signed_in


def _verify(step: Signing, username: str, password: str) -> VerifiedIdentity:
    if not isinstance(step.connector, SignsInByPassword):
        raise ConnectorError(
            ConnectorErrorCode.CONFIG_INVALID, "This connection does not sign people in with a password."
        )
    with step.rt.database.core_read() as core:
        secrets = open_secrets(step.rt, core, step.tenant.id, step.connection.id)
    # The directory is asked without a database connection in hand: it may be slow, and others wait for one.
    login = step.connector.password_login(step.connection.config, secrets)
    return login.verify(username, password, connector_deps(step.rt, step.tenant.id, step.ctx.now))


def _settle(step: Signing, attempt: Attempt, error: ConnectorError, refusal: Refusal) -> None:
    """Give a try back that tried nothing, and write down what was refused."""
    is_guess = error.code not in _NOTHING_TRIED
    if not is_guess:
        give_back(step.rt, attempt, step.ctx.now)
    if error.code is ConnectorErrorCode.CALLBACK_MALFORMED:
        return
    record_refusal(step.rt, step.tenant, step.ctx, step.connection.slug, refusal)
    if is_guess and attempt.used_up:
        with step.rt.database.core_write() as core:
            record(
                core,
                step.ctx,
                tenant_id=step.tenant.id,
                event=AuditEvent.SIGN_IN_LOCKED,
                outcome="refused",
                target_id=step.connection.id,
                reason=attempt.used_up[0],
                writer_id=step.rt.writer_id,
            )
