"""Signing a person in through a connection, one function a step: begin, keep what was posted, complete."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson
from sqlalchemy.orm import Session

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.directory.sign_in import BoundUser, bind_identity
from broker.federation.addresses import POSTED_ANSWERS, addresses_of
from broker.federation.deps import connector_deps
from broker.federation.flows import TakenFlow, is_flow_of_test, keep_answer, start_flow, take_flow
from broker.federation.groups import complete_groups, find_asking
from broker.federation.refusals import refusal_of
from broker.federation.service_keys import get_service_keys
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_secret
from broker.kernel.runtime import Runtime
from broker.tenants.connections import open_secrets
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from broker.tokens.sessions import BrowserSessionView, end_session, start_session
from broker.tokens.upstream_sessions import UpstreamName
from idp_connectors.base import (
    AskedProof,
    Cache,
    Callback,
    ChecksItself,
    Connector,
    ConnectorError,
    Deps,
    Finding,
    InteractiveLogin,
    LoginRequest,
    PublishesMetadata,
    VerifiedIdentity,
)

_MAX_ACR = 200
_MAX_AMR = 20
"""Where a person can only tell their administrator; everything else is cured by starting again."""


@dataclass(frozen=True, slots=True)
class Signing:
    """One sign-in step at hand: where it runs, through which connection, for which call.

    With a ``cache`` of its own, nothing is taken from what the provider published before.
    """

    rt: Runtime
    tenant: TenantSnapshot
    connection: ConnectionView
    connector: Connector
    connectors: Mapping[str, Connector]
    ctx: CallContext
    cache: Cache | None = None


@dataclass(frozen=True, slots=True)
class SignedInPerson:
    """A completed sign-in: the new session with its cookie's secret, and where the browser goes on."""

    session: BrowserSessionView
    secret: str
    resume_url: str


def open_signing(
    rt: Runtime,
    connectors: Mapping[str, Connector],
    tenant: TenantSnapshot,
    slug: str,
    ctx: CallContext,
    *,
    kind: str = "",
    is_posted: bool | None = None,
    handle: str = "",
    may_be_off: bool = False,
) -> Signing:
    """Return the step for the tenant's active connection ``slug``, or with ``may_be_off`` for any.

    An address that names a ``kind``, or that takes answers in one way only, must be the connection's own.
    The flow of a ``handle`` may be a connection test, which needs no active connection. Raises ``Refusal``:
    ``not_found`` for an unknown one, ``sign_in_refused`` (connection_disabled).
    """
    connection = tenant.find_connection(slug)
    connector = connectors.get(connection.kind) if connection else None
    is_elsewhere = is_posted is not None and is_posted != (kind in POSTED_ANSWERS)
    if connection is None or connector is None or kind not in {"", connection.kind} or is_elsewhere:
        raise Refusal(
            ErrorCode.NOT_FOUND,
            "This organization has no such sign-in.",
            reason="unknown_connection",
            whose_move=WhoseMove.YOU,
        )
    # Without this: a connection that was switched off could still be used through a kept address.
    if not (may_be_off or connection.is_active or is_flow_of_test(rt, tenant.id, handle)):
        raise Refusal(
            ErrorCode.SIGN_IN_REFUSED,
            "Signing in this way is switched off.",
            reason="connection_disabled",
            whose_move=WhoseMove.ADMIN,
        )
    return Signing(rt, tenant, connection, connector, connectors, ctx)


def begin(
    step: Signing,
    *,
    browser_secret: str,
    resume_url: str,
    login_hint: str = "",
    proof: AskedProof | None = None,
) -> str:
    """Start a sign-in for one browser and return the provider's address; raises ``Refusal``.

    The provider is asked for ``proof``; whether its answer proves it, whoever wanted it judges.
    """
    try:
        return send_out(
            step,
            browser_secret=browser_secret,
            resume_url=resume_url,
            login_hint=login_hint,
            proof=proof,
        )
    except ConnectorError as error:
        raise refusal_of(error) from error


def send_out(
    step: Signing,
    *,
    browser_secret: str,
    resume_url: str,
    login_hint: str = "",
    test_id: str = "",
    proof: AskedProof | None = None,
) -> str:
    """Start a sign-in, or the one of a connection test, and return the provider's address.

    Raises ``Refusal`` for too many at once, and whatever the connector says (``ConnectorError``).
    """
    handle = new_secret()
    addresses = addresses_of(step.tenant, step.connection)
    request = LoginRequest(
        base_url=step.tenant.issuer,
        callback_url=addresses.callback_url,
        entity_id=addresses.entity_id,
        flow_id=handle,
        login_hint=login_hint,
        proof=proof,
    )
    begun = _login(step).begin(request, deps_of(step))
    with step.rt.database.write(step.tenant.id) as session:
        start_flow(
            session,
            step.rt.sealer,
            tenant_id=step.tenant.id,
            connection_id=step.connection.id,
            handle=handle,
            browser_secret=browser_secret,
            private=begun.private,
            resume_url=resume_url,
            test_id=test_id,
            now=step.ctx.now,
        )
    return begun.redirect_url


def keep_posted_answer(step: Signing, form: Mapping[str, str]) -> str:
    """Keep what a provider posted and return the handle under which the browser continues.

    An answer without a handle of ours is refused: nobody asked for it. Without this: somebody could be
    signed in as another by a page that posts a stolen or own assertion (login CSRF, S34).
    """
    handle = form.get("RelayState", "")
    if not handle:
        raise Refusal(
            ErrorCode.SIGN_IN_REFUSED,
            "This sign-in was not started here. Please start from this organization's sign-in page.",
            reason="unsolicited",
            whose_move=WhoseMove.YOU,
        )
    with step.rt.database.write(step.tenant.id) as session:
        keep_answer(
            session,
            step.rt.sealer,
            tenant_id=step.tenant.id,
            connection_id=step.connection.id,
            handle=handle,
            form=form,
            now=step.ctx.now,
        )
    return handle


def complete(
    step: Signing, flow: TakenFlow, *, query: Mapping[str, str], previous: BrowserSessionView | None
) -> SignedInPerson:
    """Verify the provider's answer and start a session for the person; raises ``Refusal``.

    The flow was used up before anything is verified, and nothing is stored unless everything holds.
    """
    # Without this: what an administrator tried would sign somebody in.
    if flow.test_id:
        raise Refusal(ErrorCode.SIGN_IN_REFUSED, "This was a test.", reason="flow_of_test")
    try:
        told = verify_answer(step, flow, query)
    except ConnectorError as error:
        raise refusal_of(error) from error
    return admit(step, told, resume_url=flow.resume_url, previous=previous)


def admit(
    step: Signing, told: VerifiedIdentity, *, resume_url: str, previous: BrowserSessionView | None
) -> SignedInPerson:
    """Start a session for a verified person and write it down, in one transaction; raises ``Refusal``."""
    asking = find_asking(step.rt, step.connectors, step.tenant, step.connection)
    identity, again = complete_groups(asking, told, step.ctx.now)
    with step.rt.database.write(step.tenant.id) as session:
        bound = bind_identity(
            session, step.rt, step.tenant, step.connection, identity, step.ctx.now, again=again
        )
        if previous is not None:
            # Without this: the session that was there before the sign-in would go on beside it (W02).
            # Who only proves again who they are goes on with what they had; somebody else does not.
            is_other = previous.user_id != bound.user_id
            core = session.connection()
            end_session(core, step.tenant.id, previous.id, step.ctx.now, tells_clients=is_other)
        view, secret = _start(session, step, identity, bound)
        _record_success(session, step, bound, view)
    return SignedInPerson(view, secret, resume_url)


def service_metadata(step: Signing) -> bytes | None:
    """Return the document that describes us to the connection's provider, or None if its kind has none."""
    if not isinstance(step.connector, PublishesMetadata):
        return None
    addresses = addresses_of(step.tenant, step.connection)
    return step.connector.service_metadata(
        step.connection.config,
        entity_id=addresses.entity_id,
        callback_url=addresses.callback_url,
        keys=get_service_keys(step.rt, step.tenant.id, step.connection.id, step.ctx.now),
        sign_out_url=addresses.sign_out_url,
    )


def _login(step: Signing) -> InteractiveLogin:
    return step.connector.interactive(step.connection.config, _secrets(step))


def _secrets(step: Signing) -> dict[str, str]:
    with step.rt.database.core_read() as core:
        return open_secrets(step.rt, core, step.tenant.id, step.connection.id)


def deps_of(step: Signing) -> Deps:
    """Return what the connector of this step gets from the broker."""
    deps = connector_deps(step.rt, step.tenant.id, step.ctx.now, connection_id=step.connection.id)
    return deps if step.cache is None else replace(deps, cache=step.cache)


def check_connection(step: Signing) -> tuple[Finding, ...]:
    """Return what the connector finds out about the connection without a person; nothing if it cannot."""
    if not isinstance(step.connector, ChecksItself):
        return ()
    return step.connector.check_itself(step.connection.config, _secrets(step), deps_of(step))


def take(step: Signing, handle: str, browser_secret: str | None) -> TakenFlow:
    """Return the flow of ``handle``, used up; raises ``Refusal(sign_in_expired)``."""
    with step.rt.database.write(step.tenant.id) as session:
        return take_flow(
            session,
            step.rt.sealer,
            tenant_id=step.tenant.id,
            connection_id=step.connection.id,
            handle=handle,
            browser_secret=browser_secret,
            now=step.ctx.now,
        )


def verify_answer(step: Signing, flow: TakenFlow, query: Mapping[str, str]) -> VerifiedIdentity:
    """Return who the provider says that it is, verified in full; raises ``ConnectorError``."""
    addresses = addresses_of(step.tenant, step.connection)
    callback = Callback(
        method="POST" if flow.form else "GET",
        callback_url=addresses.callback_url,
        entity_id=addresses.entity_id,
        private=flow.private,
        query={} if flow.form else query,
        form=flow.form,
    )
    return _login(step).complete(callback, deps_of(step))


def _start(
    session: Session, step: Signing, identity: VerifiedIdentity, bound: BoundUser
) -> tuple[BrowserSessionView, str]:
    upstream = {
        **identity.private,
        "session_index": identity.session_index,
        "name_id": identity.name_id,
    }
    return start_session(
        session,
        step.rt,
        tenant_id=step.tenant.id,
        kind="person",
        now=step.ctx.now,
        user_id=bound.user_id,
        connection_id=step.connection.id,
        auth_time=identity.auth_time,
        acr=identity.acr[:_MAX_ACR],
        amr=identity.amr[:_MAX_AMR],
        upstream=orjson.dumps(upstream),
        upstream_name=UpstreamName(
            connection_id=step.connection.id,
            issuer=identity.issuer,
            person=identity.name_id,
            session=identity.session_index,
        ),
        not_after=_session_end(identity),
    )


def _session_end(identity: VerifiedIdentity) -> int | None:
    """Return when the provider's own session ends (SAML; OpenID: ``session_expiry``), if it said so."""
    told = identity.session_ends_at or identity.raw_claims.get("session_expiry")
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def _record_success(session: Session, step: Signing, bound: BoundUser, view: BrowserSessionView) -> None:
    events = [AuditEvent.SIGN_IN_SUCCEEDED, AuditEvent.SESSION_STARTED]
    if bound.is_new:
        events.insert(0, AuditEvent.USER_CREATED)
    for event in events:
        is_sign_in = event is AuditEvent.SIGN_IN_SUCCEEDED
        record(
            session.connection(),
            step.ctx,
            tenant_id=step.tenant.id,
            event=event,
            actor=ActorRef("user", bound.user_id),
            subject_id=bound.user_id,
            target_id=view.id if event is AuditEvent.SESSION_STARTED else step.connection.id,
            personal={"display_name": bound.display_name, "email": bound.email or ""} if is_sign_in else None,
            sealer=step.rt.sealer,
            writer_id=step.rt.writer_id,
        )
