"""Signing a person in through a connection, one function a step: begin, keep what was posted, complete."""

from collections.abc import Mapping
from dataclasses import replace

from broker.federation.addresses import addresses_of
from broker.federation.admitting import SignedInPerson, admit
from broker.federation.deps import HeldMarks
from broker.federation.flows import TakenFlow, keep_answer, start_flow, take_flow
from broker.federation.refusals import refusal_of
from broker.federation.service_keys import get_service_keys
from broker.federation.steps import Signing, deps_of, secrets_of
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_secret
from broker.tokens.sessions import BrowserSessionView
from idp_connectors.base import (
    AskedProof,
    Callback,
    ChecksItself,
    ConnectorError,
    Finding,
    InteractiveLogin,
    LoginRequest,
    PublishesMetadata,
    VerifiedIdentity,
)


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
    with step.rt.database.core_write() as core:
        start_flow(
            core,
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
    with step.rt.database.core_write() as core:
        keep_answer(
            core,
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

    The flow was used up before anything is verified, and nothing is stored unless everything holds, but
    for the mark that the answer was here.
    """
    # Without this: what an administrator tried would sign somebody in.
    if flow.test_id:
        raise Refusal(ErrorCode.SIGN_IN_REFUSED, "This was a test.", reason="flow_of_test")
    marks = HeldMarks()
    try:
        told = verify_answer(step, flow, query, marks)
        return admit(step, told, resume_url=flow.resume_url, previous=previous, marks=marks)
    except ConnectorError as error:
        raise refusal_of(error) from error
    except Exception:
        # Without this: an answer whose sign-in failed after it was verified could be brought again.
        marks.spend_alone(step.rt, step.tenant.id)
        raise


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
    return step.connector.interactive(step.connection.config, secrets_of(step))


def check_connection(step: Signing) -> tuple[Finding, ...]:
    """Return what the connector finds out about the connection without a person; nothing if it cannot."""
    if not isinstance(step.connector, ChecksItself):
        return ()
    return step.connector.check_itself(step.connection.config, secrets_of(step), deps_of(step))


def take(step: Signing, handle: str, browser_secret: str | None) -> TakenFlow:
    """Return the flow of ``handle``, used up; raises ``Refusal(sign_in_expired)``."""
    with step.rt.database.core_write() as core:
        return take_flow(
            core,
            step.rt.sealer,
            tenant_id=step.tenant.id,
            connection_id=step.connection.id,
            handle=handle,
            browser_secret=browser_secret,
            now=step.ctx.now,
        )


def verify_answer(
    step: Signing, flow: TakenFlow, query: Mapping[str, str], marks: HeldMarks | None = None
) -> VerifiedIdentity:
    """Return who the provider says that it is, verified in full; raises ``ConnectorError``.

    What the answer uses up is spent at once, or held in ``marks`` for the caller to spend.
    """
    deps = deps_of(step) if marks is None else replace(deps_of(step), spend=marks.hold)
    addresses = addresses_of(step.tenant, step.connection)
    callback = Callback(
        method="POST" if flow.form else "GET",
        callback_url=addresses.callback_url,
        entity_id=addresses.entity_id,
        private=flow.private,
        query={} if flow.form else query,
        form=flow.form,
    )
    return _login(step).complete(callback, deps)
