"""``authorization_code`` (RFC 6749 §4.1.3, RFC 7636): a code becomes the first token of a grant."""

import base64
import hashlib
import hmac
import re

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import Basis
from broker.oauth.calls import Call
from broker.oauth.grants.standing import first_token_basis, require_standing
from broker.oauth.params import parse_scope
from broker.oauth.targets import asked_resource
from broker.tokens import cascade, codes
from broker.tokens.codes import CodeView, SpentCode

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")

REFUSAL_UNDOES = False  # a code that was tried with anything wrong is spent


def collect(tx: Transaction, call: Call) -> Basis:
    """Spend the code and return the basis of the grant's first token."""
    code = call.params.require("code")
    view = codes.spend_code(tx.connection, tenant_id=call.tenant.id, code=code, now=call.ctx.now)
    if view is None:
        raise _refused("code_unknown_or_expired")
    if isinstance(view, SpentCode):
        # Somebody else holds the code: what the first redemption got ends too (RFC 6749 §4.1.2).
        # The refusal commits this.
        cascade.end_grant(tx.connection, call.tenant.id, view.grant_id, cause="code_reused", now=call.ctx.now)
        raise _refused("code_reused")
    _require_match(call, view)
    grant = require_standing(tx, call, view.grant_id)
    scopes = parse_scope(call.params.get("scope"))
    if scopes is not None and not scopes <= frozenset(view.scopes):
        raise Refusal(
            ErrorCode.INVALID_SCOPE, "The scope exceeds what was agreed.", reason="scope_exceeds_code"
        )
    resource = asked_resource(call)
    if resource is not None and resource not in view.resources:
        raise Refusal(ErrorCode.INVALID_TARGET, "This resource was not agreed.", reason="resource_not_agreed")
    return first_token_basis(
        call, grant, frozenset(view.scopes), resource or view.resources[0], nonce=view.nonce
    )


def _require_match(call: Call, view: CodeView) -> None:
    """Check who redeems; whatever is wrong, the code is spent and cannot be tried again (CVE-2026-16089)."""
    # Without this: a code stolen from one client could be redeemed by another.
    if view.client_id != call.client.client_id:
        raise _refused("code_of_other_client")
    # Without this: a code injected into another flow would be accepted (RFC 9700 §4.5).
    if view.redirect_uri != call.params.get("redirect_uri"):
        raise _refused("redirect_uri_differs")
    # Without this: a code that was asked for with a key could be redeemed without it (RFC 9449 §10).
    if view.cnf_jkt and view.cnf_jkt != call.jkt:
        raise _refused("key_differs")
    verifier = call.params.get("code_verifier")
    if _VERIFIER.fullmatch(verifier) is None:
        raise _refused("verifier_malformed")
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=")
    if not hmac.compare_digest(digest.decode(), view.code_challenge):
        raise _refused("verifier_wrong")


def _refused(reason: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_GRANT, "The code is not valid for this client.", reason=reason)
