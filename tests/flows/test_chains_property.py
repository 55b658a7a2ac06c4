"""Random chains over the token endpoint: whatever is asked for, nothing on the way down ever widens."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from broker.agents.snapshot import load_agents
from broker.approvals.consents import give_consent
from tests.builders.oauth import Scene, claims_of
from tests.builders.world import TICKETS, World, open_world

pytestmark = pytest.mark.proof

CHAINS, STEPS, AGENTS = 50, 10, 5
CALENDAR = "https://mcp.calendar.example/mcp"
SERVERS = {TICKETS: "rs_tickets", CALENDAR: "rs_calendar"}
CALENDAR_SCOPES = {
    f"calendar:{verb}": {"description": verb, "effect": "change"} for verb in ("read", "write")
}
SCOPES = ["tickets:read", "tickets:write", "tickets:delete", *CALENDAR_SCOPES]
ROLES = {"support": ["tickets:write"], "planning": ["calendar:write"], "staff": ["tickets:delete"]}
ERRORS = {"invalid_scope", "invalid_target", "invalid_request", "invalid_grant", "actor_unauthorized"}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as opened:
        yield opened


class RandomChain:
    """A tenant with random limits and groups, and agents x0 → x1 → … with random ceilings."""

    def __init__(self, world: World, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = world
        number = self.random.randint
        limits = {"max_depth": number(3, 8), "access_ttl_seconds": number(60, 3600), "deep_ttl_seconds": 900}
        self.scene = Scene(world, slug=f"t{seed}", settings=limits)
        self.tenant = self.scene.tenant
        for role, scopes in ROLES.items():
            world.role(self.tenant, role, scopes)
            world.mapping(self.tenant, self.scene.okta, role, role)
        calendar = world.resource(
            self.tenant,
            CALENDAR,
            scopes=CALENDAR_SCOPES,
            roles=self.some(ROLES),
            ttl_seconds=number(60, 3600),
            max_depth=number(3, 8),
        )
        world.client(self.tenant, "rs_calendar", resource=calendar, grant_types=(), scopes=())
        self.make_agent(0, SCOPES, ROLES, SERVERS)
        for place in range(1, AGENTS):
            self.make_agent(place, self.some(SCOPES), self.some(ROLES), self.some(SERVERS))
        self.move_groups()

    def some(self, values: Iterable[str]) -> list[str]:
        """Most of ``values``, at least one."""
        given = list(values)
        return [one for one in given if self.random.random() < 0.75] or [self.random.choice(given)]

    def make_agent(self, place: int, scopes: Any, roles: Any, resources: Any) -> None:
        agent = self.world.agent(
            self.tenant,
            f"x{place}",
            scopes=scopes,
            roles=[*roles, "support.agent"],
            resources=resources,
            delegable_to=[f"x{place + 1}"],
            ttl_seconds=self.random.randint(60, 3600),
            max_depth=self.random.randint(3, 8),
        )
        self.world.client(self.tenant, f"cli_x{place}", agent=agent, scopes=scopes)

    def move_groups(self) -> None:
        """Put Maya into other groups: what she gains must not reach tokens derived from older ones."""
        self.world.user(self.tenant, self.scene.okta, "maya", groups=self.some(ROLES))

    def first(self) -> str:
        """Maya's token for x0; she agreed to everything, the code is for some of it."""
        with self.world.rt.database.write(self.tenant.id) as session:
            give_consent(
                session,
                tenant_id=self.tenant.id,
                user_id=self.scene.maya,
                client_id="cli_x0",
                agent_id=load_agents(self.world.rt, self.tenant.id).clients["cli_x0"].agent_id,
                resources=SERVERS,
                scopes=SCOPES,
                ttl_seconds=3600,
                now=self.world.now,
            )
        self.agreed = self.some(SERVERS)
        onward = self.scene.authorize(
            self.scene.session(),
            client_id="cli_x0",
            resource=self.agreed,
            scope=" ".join({"tickets:read", "calendar:read", *self.some(SCOPES)}),
        )
        code = parse_qs(urlsplit(onward.location).query)["code"][0]
        return self.scene.redeem(code, "cli_x0").token

    def own_token(self, place: int) -> str:
        agent = next(
            a for a in load_agents(self.world.rt, self.tenant.id).agents.values() if a.slug == f"x{place}"
        )
        params = {"grant_type": "client_credentials", "resource": min(agent.resources)}
        answer = self.scene.call("token", params, client=f"cli_x{place}")
        return str(answer.json.get("access_token", ""))

    def ask(self, parent: str, place: int, joins: bool) -> Any:
        """Ask for a child of ``parent`` with whatever comes to mind, more than the parent has included."""
        wishes = {
            "scope": " ".join(self.some(SCOPES)) if self.random.random() < 0.7 else None,
            "resource": self.random.choice([*SERVERS, None]),
        }
        actor = self.own_token(place) if joins else None
        return self.scene.exchange(parent, f"x{place}", actor=actor or None, **wishes)


def actors(claims: dict[str, Any]) -> list[str]:
    """The chain in ``act``, outermost first."""
    found, act = [], claims.get("act")
    while act:
        found.append(act["sub"])
        act = act.get("act")
    return found


def assert_not_wider(child: dict[str, Any], parent: dict[str, Any], joined: bool) -> None:
    assert set(child["scope"].split()) <= set(parent["scope"].split())
    assert set(child.get("roles", [])) <= set(parent.get("roles", []))
    assert child["exp"] <= parent["exp"]
    assert child["dlg"]["depth"] == parent["dlg"]["depth"] + joined == len(actors(child))
    assert child["dlg"]["depth"] <= child["dlg"]["max_depth"]
    assert child["dlg"]["parent"] == parent["jti"]
    assert actors(child)[joined:] == actors(parent)
    same = ("iss", "sub", "sub_profile", "txn", "sid", "auth_time", "acr", "amr")
    assert {name: child.get(name) for name in same} == {name: parent.get(name) for name in same}
    assert [child["dlg"][name] for name in ("grant", "root", "tenant")] == [
        parent["dlg"][name] for name in ("grant", "root", "tenant")
    ]


def walk(chain: RandomChain) -> tuple[int, int, int]:
    """Go down one random chain; the number of children, of refusals, and the depth reached."""
    token, place = chain.first(), 0
    children = refusals = 0
    for _ in range(STEPS):
        chain.world.clock.advance(chain.random.randint(0, 10))
        if chain.random.random() < 0.3:
            chain.move_groups()
        joins = place + 1 < AGENTS and chain.random.random() < 0.6
        answer = chain.ask(token, place + joins, joins)
        if answer.status != 200:
            assert answer.error in ERRORS
            refusals += 1
            continue
        parent, child = claims_of(token), claims_of(answer.token)
        assert_not_wider(child, parent, joins)
        assert child["aud"] in chain.agreed
        assert child["iat"] == chain.world.now < child["exp"]
        told = chain.scene.introspect(answer.token, SERVERS[child["aud"]])
        assert told == {**child, "active": True, "token_type": "Bearer"}
        token, place, children = answer.token, place + joins, children + 1
    return children, refusals, claims_of(token)["dlg"]["depth"]


def test_fifty_random_chains_never_widen(world: World) -> None:
    walked = [walk(RandomChain(world, seed)) for seed in range(CHAINS)]
    # The walks were worth it: most went on, some were refused, and some chains became long.
    assert sum(children for children, _, _ in walked) >= 2 * CHAINS
    assert sum(refusals for _, refusals, _ in walked) >= CHAINS // 2
    assert max(depth for _, _, depth in walked) >= 4
