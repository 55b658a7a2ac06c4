"""Lets a verified person in: everything that a sign-in leaves is written in one transaction."""

from dataclasses import dataclass

import orjson
from sqlalchemy import Connection

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, append_many, compose, with_personal
from broker.directory.group_facts import AskAgain
from broker.directory.sign_in import BoundUser, bind_identity, find_bound_user
from broker.federation.deps import HeldMarks
from broker.federation.groups import complete_groups, find_asking
from broker.federation.refusals import refusal_of
from broker.federation.steps import Signing
from broker.tokens.lost_roles import ending_lost_roles, record_losses
from broker.tokens.sessions import BrowserSessionView, end_session, start_session
from broker.tokens.upstream_sessions import UpstreamName
from idp_connectors.base import VerifiedIdentity, answer_replayed

_MAX_ACR = 200
_MAX_AMR = 20


@dataclass(frozen=True, slots=True)
class SignedInPerson:
    """A completed sign-in: the new session with its cookie's secret, and where the browser goes on."""

    session: BrowserSessionView
    secret: str
    resume_url: str


def admit(
    step: Signing,
    told: VerifiedIdentity,
    *,
    resume_url: str,
    previous: BrowserSessionView | None,
    marks: HeldMarks | None = None,
) -> SignedInPerson:
    """Start a session for a verified person and write it down, in one transaction; raises ``Refusal``.

    ``marks`` are what the answer uses up; somebody who brings them a second time is refused.
    """
    asking = find_asking(step.rt, step.connectors, step.tenant, step.connection)
    identity, again = complete_groups(asking, told, step.ctx.now)
    with step.rt.database.core_write() as core:
        if marks is not None and not marks.spend(core, step.tenant.id):
            raise refusal_of(answer_replayed(marks.held[0][1]))
        view, secret = store_sign_in(core, step, identity, again, previous=previous)
    return SignedInPerson(view, secret, resume_url)


def store_sign_in(
    core: Connection,
    step: Signing,
    identity: VerifiedIdentity,
    again: AskAgain | None,
    *,
    previous: BrowserSessionView | None,
) -> tuple[BrowserSessionView, str]:
    """Write everything that a sign-in leaves in the caller's transaction: person, groups, session, events.

    Returns the session with its cookie's secret; raises ``Refusal``.
    """
    known = find_bound_user(core, step.tenant, step.connection, identity)
    whose = [known] if known else []
    with ending_lost_roles(core, step.rt, step.tenant.id, whose, step.ctx.now) as watch:
        bound = bind_identity(core, step.tenant, step.connection, identity, step.ctx.now, again=again)
    if previous is not None:
        # Without this: the session that was there before the sign-in would go on beside it (W02).
        # Who only proves again who they are goes on with what they had; somebody else does not.
        is_other = previous.user_id != bound.user_id
        end_session(core, step.tenant.id, previous.id, step.ctx.now, tells_clients=is_other)
    view, secret = _start(core, step, identity, bound)
    _record_success(core, step, bound, view)
    record_losses(
        core,
        step.ctx,
        watch.losses,
        tenant_id=step.tenant.id,
        connection_id=step.connection.id,
        actor=ActorRef("user", bound.user_id),
        writer_id=step.rt.writer_id,
    )
    return view, secret


def _start(
    core: Connection, step: Signing, identity: VerifiedIdentity, bound: BoundUser
) -> tuple[BrowserSessionView, str]:
    upstream = {
        **identity.private,
        "session_index": identity.session_index,
        "name_id": identity.name_id,
    }
    return start_session(
        core,
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


def _record_success(core: Connection, step: Signing, bound: BoundUser, view: BrowserSessionView) -> None:
    targets = {
        AuditEvent.USER_CREATED: step.connection.id,
        AuditEvent.SIGN_IN_SUCCEEDED: step.connection.id,
        AuditEvent.SESSION_STARTED: view.id,
    }
    if not bound.is_new:
        del targets[AuditEvent.USER_CREATED]
    entries = {
        event: compose(
            step.ctx,
            tenant_id=step.tenant.id,
            event=event,
            actor=ActorRef("user", bound.user_id),
            subject_id=bound.user_id,
            target_id=target_id,
            writer_id=step.rt.writer_id,
        )
        for event, target_id in targets.items()
    }
    entries[AuditEvent.SIGN_IN_SUCCEEDED] = with_personal(
        core,
        step.rt.sealer,
        step.ctx,
        entries[AuditEvent.SIGN_IN_SUCCEEDED],
        {"display_name": bound.display_name, "email": bound.email or ""},
    )
    append_many(core, list(entries.values()))
