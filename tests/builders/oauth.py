"""A tenant that is ready to issue tokens, and the protocol spoken to it as plain requests.

The scene: Maya signed in at Okta and is in ``support``; three agents A → B → C may hand over in this
order; one MCP server (tickets) with a client of its own for introspection.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from broker.agents.snapshot import AgentView, load_agents
from broker.approvals.consents import give_consent
from broker.kernel.plain import PlainReply, PlainRequest
from broker.oauth.authorize import Onward, Visit, begin
from broker.oauth.endpoints import answer
from broker.oauth.params import parse_pairs
from broker.tokens.keys import create_key
from broker.tokens.sessions import BrowserSessionView, start_session
from tests.builders.proofs import Prover
from tests.builders.world import SECRET, TICKETS, TOKEN_EXCHANGE, World

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
BROWSER = "b" * 43
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT_URI = "https://writer.example/callback"


@dataclass
class Answer:
    """A reply of the broker, read as JSON where it is."""

    reply: PlainReply

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.reply.body) if self.reply.body else {}

    @property
    def error(self) -> str:
        return str(self.json.get("error", ""))

    @property
    def token(self) -> str:
        assert self.status == 200, self.json
        return str(self.json["access_token"])


def claims_of(token: str) -> dict[str, Any]:
    """The payload of a JWT, unverified."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@dataclass
class Scene:
    """The scene of the module's docstring; everything in it can be changed by a test."""

    world: World
    slug: str = "acme"
    settings: dict[str, Any] = field(default_factory=dict)
    agents: dict[str, AgentView] = field(default_factory=dict)
    prover: Prover | None = None

    def __post_init__(self) -> None:
        world = self.world
        self.tenant = world.tenant(self.slug, **self.settings)
        with world.rt.database.write(self.tenant.id) as session:
            create_key(session, world.rt, self.tenant.id, now=world.now)
        self.okta = world.connection(self.tenant, "okta", domains=["acme.example"])
        world.role(self.tenant, "support.agent", ["tickets:write"])
        world.mapping(self.tenant, self.okta, "support", "support.agent")
        self.maya = world.user(self.tenant, self.okta, "maya", groups=["support"])
        self.tickets = world.resource(self.tenant, roles=["support.agent"])
        world.client(self.tenant, "rs_tickets", resource=self.tickets, grant_types=(), scopes=())
        for name, successor in (("a", ["b"]), ("b", ["c"]), ("c", ["d"]), ("d", ["e"]), ("e", [])):
            self.agents[name] = world.agent(
                self.tenant, name, roles=["support.agent"], delegable_to=successor, max_depth=8
            )
            world.client(self.tenant, f"cli_{name}", agent=self.agents[name])

    # -- the protocol ---------------------------------------------------------------------------------

    def call(
        self,
        endpoint: str,
        params: Mapping[str, Any] | Iterable[tuple[str, str]] = (),
        *,
        client: str | None = None,
        secret: str = SECRET,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
        slug: str | None = None,
    ) -> Answer:
        """POST a form to an endpoint, authenticated by HTTP Basic when ``client`` is given."""
        sent = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        if client is not None:
            sent["authorization"] = "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()
        if self.prover is not None and "dpop" not in sent:
            address = f"{self.tenant.issuer}/{endpoint}"
            sent["dpop"] = self.prover.proof(method, address, now=self.world.now)
        request = PlainRequest(
            method=method,
            path=f"/t/{slug or self.slug}/{endpoint}",
            query_string="",
            headers=sent,
            body=urlencode(
                dict(params) if isinstance(params, Mapping) else list(params), doseq=True
            ).encode(),
            ctx=self.world.ctx,
        )
        return Answer(answer(self.world.rt, slug or self.slug, endpoint, request))

    @contextmanager
    def proving(self, prover: Prover | None) -> Iterator[None]:
        """Send a DPoP proof of this key with every request in here; None sends none."""
        before, self.prover = self.prover, prover
        try:
            yield
        finally:
            self.prover = before

    def session(self, user_id: str | None = None) -> BrowserSessionView:
        """A signed-in browser of a person, Maya unless told otherwise."""
        with self.world.rt.database.write(self.tenant.id) as session:
            view, _ = start_session(
                session,
                self.world.rt,
                tenant_id=self.tenant.id,
                kind="person",
                now=self.world.now,
                user_id=user_id or self.maya,
                connection_id=self.okta.id,
                auth_time=self.world.now,
                acr="phr",
                amr=("hwk", "user"),
            )
        return view

    def consent(self, client_id: str, scopes: Iterable[str], *, ttl_seconds: int = 28_800) -> str:
        """Maya's consent for one client at the tickets server."""
        client = load_agents(self.world.rt, self.tenant.id).clients[client_id]
        with self.world.rt.database.write(self.tenant.id) as session:
            return give_consent(
                session,
                tenant_id=self.tenant.id,
                user_id=self.maya,
                client_id=client_id,
                agent_id=client.agent_id,
                resources=[TICKETS, self.tenant.issuer],
                scopes=scopes,
                ttl_seconds=ttl_seconds,
                now=self.world.now,
            )

    def request(self, **changes: Any) -> dict[str, Any]:
        """The parameters of an honest authorization request; None leaves one out."""
        given = {
            "response_type": "code",
            "client_id": "cli_a",
            "redirect_uri": REDIRECT_URI,
            "scope": "tickets:read tickets:write",
            "resource": TICKETS,
            "state": "st-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in given.items() if value is not None}

    def authorize(
        self, session: BrowserSessionView | None, *, browser: str = BROWSER, **changes: Any
    ) -> Onward:
        """Send an authorization request with a browser that has that session."""
        query = urlencode(self.request(**changes), doseq=True)
        return begin(self.visit(session, browser), parse_pairs(query))

    def visit(self, session: BrowserSessionView | None, browser: str = BROWSER) -> Visit:
        """A visit to the authorization endpoint."""
        tenant = self.world.again(self.tenant)
        return Visit(self.world.rt, tenant, self.world.ctx, browser, session)

    def code(self, client: str = "cli_a", scope: str = "tickets:read tickets:write", **changes: Any) -> str:
        """A code for Maya's consent, given beforehand."""
        self.consent(client, scope.split())
        onward = self.authorize(self.session(), client_id=client, scope=scope, **changes)
        answer = parse_qs(urlsplit(onward.location).query)
        assert "code" in answer, onward
        return answer["code"][0]

    def redeem(self, code: str, client: str = "cli_a", **changes: Any) -> Answer:
        """Redeem a code as its client would; None leaves a parameter out."""
        params = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
            **changes,
        }
        return self.call("token", {k: v for k, v in params.items() if v is not None}, client=client)

    def person_token(self, client: str = "cli_a", scope: str = "tickets:read tickets:write") -> str:
        """The first token of a tree: Maya, and the client's agent."""
        return self.redeem(self.code(client, scope), client).token

    def own_token(self, name: str) -> str:
        """A token that an agent holds in its own name."""
        params = {"grant_type": "client_credentials", "resource": TICKETS, "scope": "tickets:read"}
        return self.call("token", params, client=f"cli_{name}").token

    def exchange(self, subject: str, by: str, *, actor: str | None = None, **changes: Any) -> Answer:
        """Exchange ``subject`` as agent ``by``; ``actor`` is an actor token."""
        params: dict[str, Any] = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": subject,
            "subject_token_type": ACCESS_TOKEN,
        }
        if actor is not None:
            params |= {"actor_token": actor, "actor_token_type": ACCESS_TOKEN}
        params |= changes
        return self.call("token", {k: v for k, v in params.items() if v is not None}, client=f"cli_{by}")

    def hand_over(self, subject: str, to: str, **changes: Any) -> Answer:
        """Agent ``to`` joins the chain of ``subject`` with an actor token of its own."""
        return self.exchange(subject, to, actor=self.own_token(to), **changes)

    def introspect(self, token: str, client: str = "rs_tickets") -> dict[str, Any]:
        """What the tickets server is told about a token."""
        told = self.call("introspect", {"token": token}, client=client)
        assert told.status == 200, told.json
        return told.json
