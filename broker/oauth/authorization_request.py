"""An authorization request (RFC 6749 §4.1.1, RFC 7636, RFC 8707): read, checked, kept while a person decides.

Two stages: who asks and where the answer may go (faults are shown to the person, never redirected), then
everything else (faults go back to the client, with ``iss``).
"""

import re
from dataclasses import asdict, dataclass
from typing import Any

from broker.agents.snapshot import AgentsSnapshot, AgentView, ClientView
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.oauth.params import Params, parse_scope
from broker.oauth.redirect_uris import is_registered
from broker.oauth.targets import IDENTITY_SCOPES, canonical
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.id_tokens import verify_id_token

_SHA256 = re.compile(r"[A-Za-z0-9_-]{43}")
_PROMPTS = frozenset({"none", "login", "consent", "select_account"})
RESPONSE_MODES = ("query", "form_post")
HINT_SECONDS = 30 * 86_400
"""How long after its end an ID token still says whom a client expects."""

MAX_RESOURCES = 10
MAX_ACR_VALUES = 10
MAX_ACR_CHARS = 200


@dataclass(frozen=True, slots=True)
class Asker:
    """The client that asks, its agent, and the address that may have the answer."""

    client: ClientView
    agent: AgentView
    redirect_uri: str
    state: str
    response_mode: str


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A checked request, as plain values that survive a round trip through the database."""

    client_id: str
    redirect_uri: str
    state: str
    resources: list[str]
    scopes: list[str]
    code_challenge: str
    nonce: str
    prompts: list[str]
    max_age: int | None
    acr_values: list[str]
    login_hint: str
    asked_at: int
    dpop_jkt: str = ""
    response_mode: str = "query"
    subject_hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the request for storage in an interaction."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "AuthorizationRequest":
        """Return the request that ``as_dict`` stored; other members of ``stored`` are left alone."""
        return cls(**{name: stored[name] for name in cls.__slots__ if name in stored})


def read_asker(agents: AgentsSnapshot, params: Params, now: int) -> Asker:
    """Return who asks and where the answer may go.

    Raises a ``Refusal`` that is shown here: until the redirect URI is known to be the client's, nothing
    may be sent to it (O27).
    """
    client = agents.client(params.get("client_id"))
    if client is None or client.state != "active":
        raise _shown("This application is not known here.", "unknown_client")
    redirect_uri = params.get("redirect_uri")
    if not is_registered(client, redirect_uri):
        raise _shown(
            "The application asked for an answer at an address it has not registered.", "redirect_uri"
        )
    agent = agents.agent_of(client)
    if agent is None or "authorization_code" not in client.grant_types:
        raise _shown("This application may not ask people for permission.", "not_an_agents_client")
    if not agent.is_active(now):
        raise _shown("This agent has been stopped.", "agent_stopped", WhoseMove.ADMIN)
    # Answers to what is wrong with the rest go by the mode that was asked for, as far as we know it.
    asked = params.get("response_mode")
    mode = asked if asked in RESPONSE_MODES else "query"
    return Asker(client, agent, redirect_uri, params.get("state"), mode)


def read_request(
    rt: Runtime, tenant: TenantSnapshot, agents: AgentsSnapshot, asker: Asker, params: Params, now: int
) -> AuthorizationRequest:
    """Return the rest of the request; raises a ``Refusal`` that goes back to the client."""
    if params.has("request"):
        raise Refusal(ErrorCode.REQUEST_NOT_SUPPORTED, "Request objects are not offered.")
    if params.has("request_uri"):
        raise Refusal(ErrorCode.REQUEST_URI_NOT_SUPPORTED, "request_uri is not offered.")
    if params.require("response_type") != "code":
        raise Refusal(ErrorCode.UNSUPPORTED_RESPONSE_TYPE, "Only response_type=code is offered.")
    if params.get("response_mode") not in {"", *RESPONSE_MODES}:
        raise Refusal(ErrorCode.INVALID_REQUEST, "This response_mode is not offered.", reason="response_mode")
    # Without this: a code stolen on its way back could be redeemed by whoever holds it (RFC 7636, O19).
    if params.get("code_challenge_method") != "S256" or not _SHA256.fullmatch(params.get("code_challenge")):
        raise Refusal(ErrorCode.INVALID_REQUEST, "PKCE with S256 is required.", reason="pkce_required")
    prompts = frozenset(params.get("prompt").split())
    if not prompts <= _PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise Refusal(ErrorCode.INVALID_REQUEST, "The prompt parameter is not valid.", reason="prompt")
    resources = _read_resources(tenant, agents, asker.agent, params)
    return AuthorizationRequest(
        client_id=asker.client.client_id,
        redirect_uri=asker.redirect_uri,
        state=asker.state,
        resources=resources,
        scopes=sorted(_read_scopes(agents, asker, params, resources)),
        code_challenge=params.get("code_challenge"),
        nonce=params.get("nonce")[:500],
        prompts=sorted(prompts),
        max_age=_read_max_age(params),
        acr_values=_read_acr_values(params),
        login_hint=params.get("login_hint")[:320],
        asked_at=now,
        dpop_jkt=_read_jkt(params),
        response_mode=asker.response_mode,
        subject_hint=_read_subject_hint(rt, tenant, asker, params, now),
    )


def _read_resources(
    tenant: TenantSnapshot, agents: AgentsSnapshot, agent: AgentView, params: Params
) -> list[str]:
    asked = list(dict.fromkeys(canonical(one) for one in params.all("resource")))
    if len(asked) > MAX_RESOURCES:
        raise Refusal(
            ErrorCode.INVALID_TARGET, "Too many resources are asked for.", reason="too_many_resources"
        )
    if not asked:
        if "openid" in params.get("scope").split():
            return [tenant.issuer]
        if len(agent.resources) != 1:
            raise Refusal(ErrorCode.INVALID_TARGET, "Name the resource.", reason="no_resource")
        asked = list(agent.resources)
    for identifier in asked:
        found = agents.resource(identifier)
        is_open = identifier == tenant.issuer or (
            found is not None and found.is_active and identifier in agent.resources
        )
        # Without this: a misled agent could ask people to open resources it was never meant for (A31).
        if not is_open:
            raise Refusal(
                ErrorCode.INVALID_TARGET, "The resource is not open to this agent.", reason="resource"
            )
    return asked


def _read_scopes(
    agents: AgentsSnapshot, asker: Asker, params: Params, resources: list[str]
) -> frozenset[str]:
    asked = parse_scope(params.get("scope"))
    if asked is not None:
        # An access token's life after the person left is the grant's business; the scope adds nothing.
        return asked - {"offline_access"}
    catalogues = [found.scopes for one in resources if (found := agents.resource(one))]
    known = frozenset[str]().union(*catalogues) if catalogues else IDENTITY_SCOPES
    return known & (asker.agent.scopes | IDENTITY_SCOPES)


def _read_max_age(params: Params) -> int | None:
    text = params.get("max_age")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Refusal(ErrorCode.INVALID_REQUEST, "max_age is not a number of seconds.", reason="max_age")
    return int(text)


def _read_subject_hint(rt: Runtime, tenant: TenantSnapshot, asker: Asker, params: Params, now: int) -> str:
    """Return whom the client expects (OpenID Connect Core §3.1.2.1), by an ID token that it had from us.

    The token may have ended: it is no credential here, it can only make us ask for another person.
    """
    token = params.get("id_token_hint")
    if not token:
        return ""
    try:
        claims = verify_id_token(
            rt, tenant, token, client_id=asker.client.client_id, now=now, grace_seconds=HINT_SECONDS
        )
    except Refusal as refusal:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "id_token_hint is none of our ID tokens.", reason="id_token_hint"
        ) from refusal
    return str(claims["sub"])


def _read_jkt(params: Params) -> str:
    jkt = params.get("dpop_jkt")
    if jkt and not _SHA256.fullmatch(jkt):
        raise Refusal(ErrorCode.INVALID_REQUEST, "dpop_jkt is not a thumbprint.", reason="dpop_jkt")
    return jkt


def _read_acr_values(params: Params) -> list[str]:
    values = list(dict.fromkeys(params.get("acr_values").split()))
    if len(values) > MAX_ACR_VALUES or any(len(value) > MAX_ACR_CHARS for value in values):
        raise Refusal(ErrorCode.INVALID_REQUEST, "acr_values is too long.", reason="acr_values")
    return values


def _shown(public: str, reason: str, whose_move: WhoseMove = WhoseMove.DEVELOPER) -> Refusal:
    return Refusal(ErrorCode.INVALID_REQUEST, public, reason=reason, whose_move=whose_move)
