"""RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0): who is to be signed out, and where they go.

A client that proves by an ID token of ours whom it means signs that person out at once. In every other
case the person is asked. Nobody is ever sent to an address that the client has not registered.
"""

from dataclasses import dataclass
from typing import Literal

from broker.agents.snapshot import AgentsSnapshot, ClientView, load_agents
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.runtime import Runtime
from broker.oauth.params import Params
from broker.oauth.redirect_uris import response_url
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.id_token_hints import Hint, read_hint
from broker.tokens.sessions import BrowserSessionView

PARAMETERS = ("client_id", "post_logout_redirect_uri", "state")
"""What the page that asks carries on; the hint is not among it, because it did not decide."""


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """A checked request: the client if one is known, where the browser goes afterwards, and who is meant."""

    client: ClientView | None
    redirect_uri: str
    state: str
    hint: Hint | None

    @property
    def location(self) -> str:
        """The client's address with its ``state``, or an empty string: a page of ours comes last."""
        if not self.redirect_uri or not self.state:
            return self.redirect_uri
        return response_url(self.redirect_uri, {"state": self.state})

    def carried(self) -> dict[str, str]:
        """Return the parameters that the page which asks hands on."""
        client_id = self.client.client_id if self.client else ""
        values = (client_id, self.redirect_uri, self.state)
        return {name: value for name, value in zip(PARAMETERS, values, strict=True) if value}


def read_logout(rt: Runtime, tenant: TenantSnapshot, params: Params) -> LogoutRequest:
    """Return the request; raises a ``Refusal`` that is shown here and never sent anywhere."""
    agents = load_agents(rt, tenant.id)
    hint = read_hint(rt, tenant, params.get("id_token_hint"))
    client = _client(agents, params, hint)
    redirect_uri = params.get("post_logout_redirect_uri")
    registered = client.options.post_logout_redirect_uris if client and client.is_active else ()
    # Without this: a link to our sign-out could lead people anywhere (O28).
    if redirect_uri and redirect_uri not in registered:
        raise _shown(
            "The application asked to send you to an address that it has not registered.",
            "post_logout_redirect_uri",
        )
    return LogoutRequest(client, redirect_uri, params.get("state")[:2000], hint)


def next_step(request: LogoutRequest, session: BrowserSessionView | None) -> Literal["ask", "end"]:
    """Say whether the person must be asked: always, unless the hint names whoever is signed in here.

    Without this: any page could sign people out by an image that points here.
    """
    if session is None:
        return "end"
    is_meant = request.hint is not None and request.hint.user_id == session.user_id
    return "end" if is_meant else "ask"


def _client(agents: AgentsSnapshot, params: Params, hint: Hint | None) -> ClientView | None:
    client_id = params.get("client_id")
    # Without this: one client could bring another's ID token and have the person sent to itself.
    if hint is not None and client_id not in {"", hint.client_id}:
        raise _shown("The application named itself in two ways.", "client_id_differs")
    wanted = client_id or (hint.client_id if hint else "")
    return agents.client(wanted) if wanted else None


def _shown(public: str, reason: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_REQUEST, public, reason=reason)
