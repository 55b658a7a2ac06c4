"""A tenant in which tokens can be minted directly, without the OAuth endpoints."""

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, event, select

from broker.agents.snapshot import AgentView, load_agents
from broker.kernel.group_commit import Transaction
from broker.policy.values import Actor
from broker.tokens import models
from broker.tokens.grants import open_grant
from broker.tokens.issuing import IssuedToken, TokenDraft, issue_access_token
from broker.tokens.keys import create_key
from broker.tokens.liveness import TokenRow, load_token_rows, why_dead
from tests.builders.world import TICKETS, World

T = TypeVar("T")


class Mint:
    """Maya, three agents with a client each, one resource, one grant, and a mint."""

    def __init__(self, world: World, slug: str = "acme") -> None:
        self.world = world
        self.rt = world.rt
        self.tenant = world.tenant(slug)
        self.okta = world.connection(self.tenant, "okta")
        self.maya = world.user(self.tenant, self.okta, "maya")
        self.agents: dict[str, AgentView] = {}
        for name in ("planner", "writer", "helper"):
            self.agents[name] = world.agent(self.tenant, name)
            world.client(self.tenant, f"cli_{name}", agent=self.agents[name])
        world.resource(self.tenant)
        self.write(lambda connection: create_key(connection, self.rt, self.tenant.id, now=world.now))
        self.grant_id = self.grant()
        self.refresh()

    @property
    def now(self) -> int:
        return self.world.now

    def refresh(self) -> None:
        """Look at the tenant again."""
        self.tenant = self.world.again(self.tenant)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a write transaction."""
        with self.rt.database.core_write() as connection:
            return work(connection)

    def grant(self, **changes: Any) -> str:
        """A grant of Maya to the planner."""
        values: dict[str, Any] = {
            "client_id": "cli_planner",
            "agent_id": self.agents["planner"].id,
            "user_id": self.maya,
            "connection_id": self.okta.id,
            "resources": [TICKETS],
            "scopes": ["tickets:read"],
            "now": self.now,
            "expires_at": self.now + 86_400,
        }
        return self.write(
            lambda connection: open_grant(connection, tenant_id=self.tenant.id, **{**values, **changes})
        )

    def draft(
        self, *agents: str, parent: IssuedToken | None = None, user: bool = True, **changes: Any
    ) -> TokenDraft:
        """A draft whose chain is ``agents``, outermost first."""
        names = agents or ("planner",)
        chain = tuple(Actor(self.tenant.issuer, self.agents[name].id) for name in names)
        values: dict[str, Any] = {
            "subject": self.maya if user else chain[-1].id,
            "subject_profile": "user" if user else "ai_agent",
            "user_id": self.maya if user else None,
            "connection_id": self.okta.id if user else None,
            "client_id": f"cli_{names[0]}",
            "agent_id": chain[0].id,
            "chain": chain if user else chain[:-1],
            "audience": TICKETS,
            "scopes": frozenset({"tickets:read"}),
            "roles": frozenset({"support.agent"}),
            "grant_id": self.grant_id,
            "depth": len(names) if user else len(names) - 1,
            "max_depth": 4,
            "delegable": True,
            "expires_at": self.now + 600,
            "parent_jti": parent.jti if parent else None,
            "parent_path": parent.path if parent else "",
        }
        return TokenDraft(**{**values, **changes})

    def issue(self, tx: Transaction, *agents: str, **changes: Any) -> IssuedToken:
        """Mint in a transaction that is open."""
        return issue_access_token(tx, self.rt, self.tenant, self.draft(*agents, **changes), now=self.now)

    def mint(self, *agents: str, **changes: Any) -> IssuedToken:
        """Mint and commit."""
        return self.rt.committer.submit(lambda tx: self.issue(tx, *agents, **changes))

    def row(self, jti: str) -> TokenRow | None:
        """The token's row, if this tenant has it."""
        with self.rt.database.core_read() as connection:
            return load_token_rows(connection, self.tenant.id, [jti]).get(jti)

    def fault(self, token: IssuedToken) -> str | None:
        """What the gate says of a token, now."""
        self.refresh()
        agents = load_agents(self.rt, self.tenant.id)
        return why_dead(self.row(token.jti), tenant=self.tenant, agents=agents, now=self.now)

    def live_jtis(self) -> set[str]:
        """The tokens of the whole database that have not been ended."""
        with self.rt.database.core_read() as connection:
            ended = models.IssuedToken.ended_at
            return set(connection.execute(select(models.IssuedToken.jti).where(ended.is_(None))).scalars())


class Statements:
    """Records the SQL that an engine runs while this is open."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.texts: list[str] = []

    def __enter__(self) -> "Statements":
        event.listen(self._engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        event.remove(self._engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.texts.append(statement)

    def count(self, verb: str) -> int:
        """How many statements began with ``verb``."""
        return sum(text.lstrip().upper().startswith(verb) for text in self.texts)


def import_models() -> None:
    """Import the tables of every room."""
    for room in (
        "agents",
        "approvals",
        "audit",
        "directory",
        "federation",
        "kernel",
        "scim",
        "tenants",
        "tokens",
    ):
        importlib.import_module(f"broker.{room}.models")
