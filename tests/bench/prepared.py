"""A database full of people's tokens, and the requests that are sent about them."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import func, select

from broker.audit.models import AuditRecord
from broker.kernel.group_commit import Transaction
from broker.policy.values import Actor
from broker.tokens.grants import open_grant
from broker.tokens.issuing import TokenDraft, issue_access_token
from broker.tokens.models import IssuedToken
from tests.builders.oauth import ACCESS_TOKEN, Scene
from tests.builders.served_world import open_served_world
from tests.builders.world import SECRET, TICKETS, TOKEN_EXCHANGE

USES = 20
"""How often each subject token is exchanged: 95 % of the exchanges present one that was seen before."""

WINDOW = 64
"""How many subject tokens are in use at a time."""

PEOPLE = 50
BATCH = 500
SECONDS = 3600


@dataclass
class Prepared:
    """The scene and its subject tokens, and how many of them have been used up."""

    scene: Scene
    port: int
    subjects: list[str]
    actor_token: str
    next_subject: int = 0

    def requests(self, workload: str, count: int) -> list[str]:
        """At least ``count`` requests of a workload, in the order in which they are to be sent."""
        return {
            "token exchange": lambda: self._exchanges(count, {}, "cli_a"),
            "token exchange, new subjects": lambda: self._exchanges(count, {}, "cli_a", uses=1),
            "hand-over": lambda: self._exchanges(
                count, {"actor_token": self.actor_token, "actor_token_type": ACCESS_TOKEN}, "cli_b"
            ),
            "client credentials": lambda: [self.first_token()] * count,
            "introspection": lambda: self._introspections(count),
            "JWKS": lambda: [self._get("/t/acme/jwks")] * count,
            "discovery": lambda: [self._get("/.well-known/oauth-authorization-server/t/acme")] * count,
        }[workload]()

    def first_token(self) -> str:
        """A request for a token that an agent holds in its own name."""
        params = {"grant_type": "client_credentials", "resource": TICKETS, "scope": "tickets:read"}
        return self._post("token", params, "cli_a")

    def rows(self) -> tuple[int, int]:
        """How many issued tokens and how many events of an issuance the database holds."""
        with self.scene.world.rt.database.read(self.scene.tenant.id) as session:
            tokens = session.scalar(select(func.count()).select_from(IssuedToken)) or 0
            issued = AuditRecord.event.in_(["token.issued", "token.exchanged"])
            events = session.scalar(select(func.count()).select_from(AuditRecord).where(issued)) or 0
        return tokens, events

    def _exchanges(self, count: int, actor: dict[str, str], client: str, uses: int = USES) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            subjects = self.subjects[self.next_subject : self.next_subject + WINDOW]
            if not subjects:
                break
            self.next_subject += len(subjects)
            params = {
                "grant_type": TOKEN_EXCHANGE,
                "subject_token_type": ACCESS_TOKEN,
                "scope": "tickets:read",
            }
            window = [
                self._post("token", {**params, **actor, "subject_token": one}, client) for one in subjects
            ]
            found += window * uses
        return found

    def _introspections(self, count: int) -> list[str]:
        window = [self._post("introspect", {"token": one}, "rs_tickets") for one in self.subjects[:WINDOW]]
        return window * (count // len(window) + 1)

    def _get(self, path: str) -> str:
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n"

    def _post(self, endpoint: str, params: dict[str, str], client: str) -> str:
        body = urlencode(params)
        basic = base64.b64encode(f"{client}:{SECRET}".encode()).decode()
        return (
            f"POST /t/acme/{endpoint} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )


@contextmanager
def open_prepared(database_url: str, folder: Path, port: int, subjects: int) -> Iterator[Prepared]:
    """Yield a database with that many subject tokens; its broker is to listen on ``port``."""
    with open_served_world(database_url, folder, port) as world:
        scene = Scene(world)
        people = [world.user(scene.tenant, scene.okta, f"p{n}", groups=["support"]) for n in range(PEOPLE)]
        tokens: list[str] = []
        while len(tokens) < subjects:
            some = [people[(len(tokens) + n) % PEOPLE] for n in range(min(BATCH, subjects - len(tokens)))]
            tokens += _mint_all(scene, [_person_draft(scene, person) for person in some])
        (actor_token,) = _mint_all(scene, [_agent_draft(scene)])
        yield Prepared(scene, port, tokens, actor_token)


def _person_draft(scene: Scene, user_id: str) -> dict[str, Any]:
    """A person's token for agent A, as the redemption of a code would make it."""
    agent = scene.agents["a"]
    return {
        "subject": user_id,
        "subject_profile": "user",
        "user_id": user_id,
        "connection_id": scene.okta.id,
        "client_id": "cli_a",
        "agent_id": agent.id,
        "chain": (Actor(scene.tenant.issuer, agent.id),),
        "scopes": frozenset({"tickets:read", "tickets:write"}),
        "roles": frozenset({"support.agent"}),
        "depth": 1,
        "auth_time": scene.world.now,
    }


def _agent_draft(scene: Scene) -> dict[str, Any]:
    """A token that agent B holds in its own name."""
    agent = scene.agents["b"]
    return {
        "subject": agent.id,
        "subject_profile": "ai_agent",
        "client_id": "cli_b",
        "agent_id": agent.id,
        "chain": (),
        "scopes": frozenset({"tickets:read"}),
        "roles": frozenset(),
        "depth": 0,
    }


def _mint_all(scene: Scene, drafts: list[dict[str, Any]]) -> list[str]:
    """Issue the tokens in one transaction, each under a grant of its own; they live for the whole run."""

    def mint(tx: Transaction) -> list[str]:
        return [_mint(tx, scene, draft) for draft in drafts]

    return scene.world.rt.committer.submit(mint)


def _mint(tx: Transaction, scene: Scene, draft: dict[str, Any]) -> str:
    now = scene.world.now
    owners = {name: draft.get(name) for name in ("client_id", "agent_id", "user_id", "connection_id")}
    grant_id = open_grant(
        tx.connection,
        tenant_id=scene.tenant.id,
        resources=[TICKETS],
        scopes=draft["scopes"],
        now=now,
        expires_at=now + SECONDS,
        **owners,
    )
    whole = TokenDraft(
        **draft, grant_id=grant_id, audience=TICKETS, max_depth=4, delegable=True, expires_at=now + SECONDS
    )
    return issue_access_token(tx, scene.world.rt, scene.tenant, whole, now=now).token
