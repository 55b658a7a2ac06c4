"""The device flow (RFC 8628): off unless the tenant and the client say otherwise, because it can be phished.

A device asks here; a person types its code on a page of ours, sees who asked and from where, and then
decides on the same consent page as for every other request. What comes back to us is an ordinary
authorization code for an address of our own, which only this module can turn into the device's grant.
"""

import base64

from broker.agents.snapshot import load_agents
from broker.approvals import interactions
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.group_commit import Transaction
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.oauth.authorization_request import Asker, read_request
from broker.oauth.authorize import Onward, Visit, advance
from broker.oauth.client_auth import authenticate_client
from broker.oauth.params import Params, parse_form
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.codes import CodeView, spend_code
from broker.tokens.device_codes import (
    LIFE_SECONDS,
    POLL_SECONDS,
    DeviceView,
    decide,
    find_device,
    new_device_id,
    open_device,
)

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def done_uri(tenant: TenantSnapshot) -> str:
    """Return the address of ours to which the answer for a device goes."""
    return f"{tenant.issuer}/device/done"


def device_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """Answer a device that wants somebody's permission (RFC 8628 §3.1); raises ``Refusal``."""
    if not tenant.settings.device_flow:
        raise Refusal(ErrorCode.ACCESS_DENIED, "The device flow is not offered here.", reason="device_off")
    params = parse_form(request)
    caller = authenticate_client(rt, tenant, load_agents(rt, tenant.id), request, params)
    # The snapshot that knows the client: one that is an address may have come with this very request.
    client, agents = caller.client, caller.agents
    agent = agents.agent_of(client)
    if agent is None or not agent.is_active(request.ctx.now) or DEVICE_CODE not in client.grant_types:
        raise Refusal(
            ErrorCode.UNAUTHORIZED_CLIENT, "The client may not use this grant type.", reason="grant_type"
        )
    device_id = new_device_id()
    asker = Asker(client, agent, done_uri(tenant), device_id, "query")
    asked = read_request(rt, tenant, agents, asker, _as_request(rt, device_id, params), request.ctx.now)
    view = DeviceView(
        id=device_id,
        client_id=client.client_id,
        request=asked.as_dict(),
        ip=request.ctx.ip,
        user_agent=request.ctx.user_agent,
        created_at=request.ctx.now,
        expires_at=request.ctx.now + LIFE_SECONDS,
    )

    def store(tx: Transaction) -> tuple[str, str]:
        caller.spend(tx.connection)
        return open_device(tx.connection, rt, tenant.id, view)

    device_code, user_code = rt.committer.submit(store)
    page = f"{tenant.issuer}/device"
    document = {
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={user_code}",
        "expires_in": LIFE_SECONDS,
        "interval": POLL_SECONDS,
    }
    return json_reply(200, document)


def begin_decision(visit: Visit, device_id: str) -> Onward:
    """Put the device's request to the person in this browser, who has seen whose it is."""
    tenant_id, now = visit.tenant.id, visit.ctx.now
    with visit.rt.database.write(tenant_id) as session:
        device = find_device(session.connection(), tenant_id, device_id, now)
        if device is None:
            raise gone()
        handle = interactions.open_interaction(
            session,
            tenant_id=tenant_id,
            client_id=device.client_id,
            request=device.request,
            browser_secret=visit.browser_secret,
            now=now,
        )
    return advance(visit, handle)


def take_answer(visit: Visit, params: Params) -> bool:
    """Turn the dispatcher's answer into the device's; returns whether it was allowed. Raises ``Refusal``."""
    tenant_id, now = visit.tenant.id, visit.ctx.now
    with visit.rt.database.write(tenant_id) as session:
        connection = session.connection()
        device = find_device(connection, tenant_id, params.get("state"), now)
        if device is None:
            raise gone()
        if not params.get("code"):
            decide(connection, tenant_id, device.id, now)
            return False
        code = spend_code(connection, tenant_id=tenant_id, code=params.get("code"), now=now)
        # Without this: a code that the same client got in another way, for another person's answer, could be
        # handed to a device. The challenge is one that only we can make, for this device alone.
        if not isinstance(code, CodeView) or code.code_challenge != _challenge(visit.rt, device.id):
            raise gone()
        if not decide(
            connection, tenant_id, device.id, now, grant_id=code.grant_id, cnf_jkt=code.cnf_jkt or ""
        ):
            raise gone()
        user_id = (visit.session.user_id or "") if visit.session else ""
        record(
            connection,
            visit.ctx,
            tenant_id=tenant_id,
            event=AuditEvent.DEVICE_ALLOWED,
            writer_id=visit.rt.writer_id,
            actor=ActorRef("user", user_id),
            subject_id=user_id,
            client_id=device.client_id,
            target_id=code.grant_id,
            data={"asked_from": device.ip},
        )
    return True


def gone() -> Refusal:
    """Return the refusal for a device's request that cannot be decided any more."""
    return Refusal(
        ErrorCode.SIGN_IN_EXPIRED,
        "The device's code took too long or was already used. Have the device show a new one.",
        reason="device_gone",
        whose_move=WhoseMove.YOU,
    )


def _as_request(rt: Runtime, device_id: str, params: Params) -> Params:
    """Return the device's request as an authorization request that always asks the person."""
    kept = {name: params.get(name) for name in ("scope", "acr_values", "max_age", "dpop_jkt", "nonce")}
    fixed = {
        "response_type": "code",
        "code_challenge_method": "S256",
        "code_challenge": _challenge(rt, device_id),
        # Without this: a device that an attacker holds would get what the person once allowed this client.
        "prompt": "consent",
    }
    values = {name: value for name, value in {**kept, **fixed}.items() if value}
    return Params(values, {"resource": params.all("resource")})


def _challenge(rt: Runtime, device_id: str) -> str:
    raw = bytes.fromhex(rt.sealer.fingerprint("device_challenge", device_id))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
