"""``device_code`` (RFC 8628 §3.4): a device polls until the person has decided, and gets one answer."""

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import Basis
from broker.oauth.calls import Call
from broker.oauth.grants.standing import first_token_basis, require_standing
from broker.oauth.targets import asked_resource
from broker.tokens.device_codes import Outcome, Polled, poll

REFUSAL_UNDOES = False  # when a device last polled must be remembered, whatever it is told

_TOLD: dict[Outcome, tuple[ErrorCode, str]] = {
    "unknown": (ErrorCode.INVALID_GRANT, "The device code is not valid for this client."),
    "expired": (ErrorCode.EXPIRED_TOKEN, "The device code took too long. Ask for a new one."),
    "pending": (ErrorCode.AUTHORIZATION_PENDING, "The person has not decided yet."),
    "slow_down": (ErrorCode.SLOW_DOWN, "Wait five seconds longer between polls."),
    "denied": (ErrorCode.ACCESS_DENIED, "The person said no."),
}


def collect(tx: Transaction, call: Call) -> Basis:
    """Return the basis of the first token that the person allowed; raises ``Refusal`` until they did."""
    if not call.tenant.settings.device_flow:
        raise Refusal(
            ErrorCode.UNSUPPORTED_GRANT_TYPE, "This grant type is not offered.", reason="device_off"
        )
    code = call.params.require("device_code")
    polled = poll(tx.connection, call.tenant.id, code, call.client.client_id, call.ctx.now)
    if polled.outcome != "allowed":
        raise _refused(polled)
    # Without this: whoever took the code from the device could use it with a key of their own (RFC 9449).
    if polled.cnf_jkt and polled.cnf_jkt != call.jkt:
        raise Refusal(ErrorCode.INVALID_GRANT, _TOLD["unknown"][1], reason="key_differs")
    grant = require_standing(tx, call, polled.grant_id)
    resource = asked_resource(call)
    if resource is not None and resource not in grant.resources:
        raise Refusal(ErrorCode.INVALID_TARGET, "This resource was not agreed.", reason="resource_not_agreed")
    return first_token_basis(call, grant, frozenset(grant.scopes), resource or grant.resources[0])


def _refused(polled: Polled) -> Refusal:
    code, public = _TOLD[polled.outcome]
    return Refusal(code, public, reason=f"device_{polled.outcome}")
