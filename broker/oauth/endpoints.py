"""The protocol endpoints as one table of plain functions, for Flask's views and the short lane alike."""

from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.oauth.device import device_endpoint
from broker.oauth.dpop import current_nonce
from broker.oauth.introspection import introspection_endpoint
from broker.oauth.par import par_endpoint
from broker.oauth.pipeline import token_endpoint
from broker.oauth.registration import registration_endpoint
from broker.oauth.registration_management import METHODS as MANAGEMENT_METHODS
from broker.oauth.registration_management import management_endpoint
from broker.oauth.replies import error_reply, fault_reply
from broker.oauth.revocation import revocation_endpoint
from broker.oauth.task_end import end_task_endpoint
from broker.oauth.userinfo import userinfo_endpoint
from broker.tenants.snapshot import TenantSnapshot, require_tenant
from broker.tokens.keys import public_jwks

Endpoint = Callable[[Runtime, TenantSnapshot, PlainRequest], PlainReply]


def jwks_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """Publish the tenant's public keys (RFC 7517 §5), written out once for each of its versions."""
    return rt.caches.get(tenant.id, "jwks_reply", lambda _: _jwks_reply(rt, tenant))


def _jwks_reply(rt: Runtime, tenant: TenantSnapshot) -> PlainReply:
    headers = [
        ("Cache-Control", f"public, max-age={tenant.settings.jwks_max_age_seconds}"),
        ("Access-Control-Allow-Origin", "*"),
    ]
    return json_reply(200, public_jwks(rt, tenant.id), headers)


ENDPOINTS: dict[str, Endpoint] = {
    "token": token_endpoint,
    "introspect": introspection_endpoint,
    "revoke": revocation_endpoint,
    "par": par_endpoint,
    "userinfo": userinfo_endpoint,
    "jwks": jwks_endpoint,
    "register": registration_endpoint,
    "end_task": end_task_endpoint,
    "device_authorization": device_endpoint,
}
METHODS: dict[str, frozenset[str]] = {
    "token": frozenset({"POST"}),
    "introspect": frozenset({"POST"}),
    "revoke": frozenset({"POST"}),
    "par": frozenset({"POST"}),
    "userinfo": frozenset({"GET", "POST"}),
    "jwks": frozenset({"GET", "HEAD"}),
    "register": frozenset({"POST"}),
    "end_task": frozenset({"POST"}),
    "device_authorization": frozenset({"POST"}),
}


def answer(rt: Runtime, slug: str, name: str, request: PlainRequest) -> PlainReply:
    """Return the reply of endpoint ``name`` of the tenant; every refusal and fault is RFC 6749 JSON."""
    return _guarded(rt, slug, ENDPOINTS[name], METHODS[name], request)


def answer_client(rt: Runtime, slug: str, client_id: str, request: PlainRequest) -> PlainReply:
    """Return the reply of one client's own registration (RFC 7592), with the same guarantees."""

    def endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
        return management_endpoint(rt, tenant, request, client_id)

    return _guarded(rt, slug, endpoint, MANAGEMENT_METHODS, request)


def _guarded(
    rt: Runtime, slug: str, endpoint: Endpoint, methods: frozenset[str], request: PlainRequest
) -> PlainReply:
    has_basic = "authorization" in request.headers
    try:
        if request.method not in methods:
            allow = ", ".join(sorted(methods))
            reply = error_reply(_wrong_method(allow), request.ctx)
            return PlainReply(405, reply.body, [*reply.headers, ("Allow", allow)])
        return endpoint(rt, require_tenant(rt, slug), request)
    except Refusal as refusal:
        return error_reply(refusal, request.ctx, has_basic=has_basic, more=_nonce(rt, slug, refusal, request))
    except OperationalError:
        # The database is locked or away. Nothing was issued: say so, and that trying again may help.
        fault_reply(request.ctx)
        busy = Refusal(
            ErrorCode.TEMPORARILY_UNAVAILABLE,
            "Try again in a moment.",
            reason="database",
            whose_move=WhoseMove.YOU,
        )
        return error_reply(busy, request.ctx)
    except Exception:  # noqa: BLE001 (the last line of defence: logged with its trace, answered without)
        return fault_reply(request.ctx)


def _nonce(rt: Runtime, slug: str, refusal: Refusal, request: PlainRequest) -> list[tuple[str, str]]:
    """Return the nonce with which a proof will be accepted, for the refusal that asks for it."""
    if refusal.code is not ErrorCode.USE_DPOP_NONCE:
        return []
    return [("DPoP-Nonce", current_nonce(rt, require_tenant(rt, slug), request.ctx.now))]


def _wrong_method(allow: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_REQUEST, f"Use {allow}.", reason="method")
