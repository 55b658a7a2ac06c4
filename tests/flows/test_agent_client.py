"""The agent's kit against a running broker, by the snippets of its README: six lines to a token."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

import broker.agent_client
from broker.agent_client import (
    AgentClient,
    ConsentRequired,
    MemoryStore,
    OAuthRefused,
    PrivateKeyJwt,
    SecretBasic,
)
from broker.demo.agents import claims_of
from broker.demo.mcp_server import CREATE, READ, STATUS
from broker.demo.world import World, running_world
from broker.kernel.versions import bump
from broker.tenants.models import Tenant
from broker.tokens.personal import issue_personal
from broker.tokens.sessions import start_session
from tests.builders.maya import Maya

README = Path(broker.agent_client.__file__).with_name("README.md")
SNIPPETS = dict(re.findall(r"```python ([\w-]+)\n(.*?)```", README.read_text(), re.DOTALL))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


@pytest.fixture
def agent(world: World) -> Iterator[AgentClient]:
    """A planner that holds nothing yet."""
    one = AgentClient(
        world.story.planner.resource,
        world.story.planner._authentication,
        redirect_uri=world.callback_url,
    )
    yield one
    one.close()


def run(name: str, world: World, **given: Any) -> dict[str, Any]:
    """Run a snippet as a developer would who has the demo's credentials."""
    planner, writer = world.story.planner._authentication, world.story.writer._authentication
    assert isinstance(planner, SecretBasic)
    assert isinstance(writer, PrivateKeyJwt)
    namespace = {
        **{name: getattr(broker.agent_client, name) for name in broker.agent_client.__all__},
        "RESOURCE": world.story.planner.resource,
        "SECRET": planner.client_secret,
        "KEY": writer.key,
        "CALLBACK": world.callback_url,
        **given,
    }
    exec(compile(SNIPPETS[name], f"README {name}", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("name", sorted(SNIPPETS))
def test_a_snippet_is_six_lines_at_most(name: str):
    assert len([line for line in SNIPPETS[name].splitlines() if line.strip()]) <= 6
    assert max(map(len, SNIPPETS[name].splitlines())) <= 110


def test_from_an_address_to_a_chain_by_the_readme(world: World):
    maya, sent = Maya(world, world.callback_url), []
    agent = run("person", world, send_browser_to=sent.append)["agent"]
    agent.finish(maya.follow(sent[0]).query)
    token = agent.token(READ, person="maya")
    assert claims_of(token)["act"]["sub"] == world.agent_ids["planner"]
    handed = agent.begin(f"{READ} {CREATE}", person="maya")
    both = agent.finish(maya.follow(handed).query).access_token
    narrower = claims_of(run("hand-over", world, token=both)["narrower"])
    assert narrower["scope"] == CREATE
    assert narrower["act"]["act"]["sub"] == world.agent_ids["planner"]


def test_at_night_by_the_readme(world: World):
    rt, tenant = world.broker.runtime, world.broker.tenant
    allow_planner(world)
    maya = claims_of(world.story.planner_token)["sub"]
    writer = world.story.writer
    with rt.database.core_write() as connection:
        view, _ = start_session(
            connection, rt, tenant_id=tenant.id, kind="person", now=rt.clock.now(), user_id=maya
        )
        made = issue_personal(
            connection,
            tenant_id=tenant.id,
            owner=view,
            agent_id=world.agent_ids["ticket-writer"],
            client_id=writer.client_id,
            name="Nightly",
            resources=[writer.resource],
            scopes=[CREATE],
            now=rt.clock.now(),
            expires_at=rt.clock.now() + 3600,
        )
    token = run("at-night", world, writer=writer, PERSONAL_TOKEN=made.secret)["token"]
    assert (claims_of(token)["sub"], claims_of(token)["scope"]) == (maya, CREATE)


def test_an_agent_alone_by_the_readme(world: World):
    assert claims_of(run("alone", world)["token"])["scope"] == STATUS


def test_a_kept_token_is_used_then_refreshed(world: World, agent: AgentClient):
    allow(world, agent, READ)
    first = agent.token(READ)
    assert agent.token(READ) == first
    outdate(agent)
    second = agent.token(READ)
    assert claims_of(second)["jti"] != claims_of(first)["jti"]


def test_the_person_is_asked_again_when_the_permission_ended(world: World, agent: AgentClient):
    allow(world, agent, READ)
    kept = agent._store.load("")
    assert kept is not None
    agent.revoke(kept.refresh_token)
    outdate(agent)
    with pytest.raises(ConsentRequired) as needed:
        agent.token(READ)
    assert needed.value.reason == "invalid_grant"
    assert "/authorize?" in needed.value.url


def test_persons_do_not_mix(world: World, agent: AgentClient):
    allow(world, agent, READ)
    with pytest.raises(ConsentRequired):
        agent.token(READ, person="somebody else")


def test_more_than_was_allowed_asks_the_person(world: World, agent: AgentClient):
    allow(world, agent, READ)
    with pytest.raises(ConsentRequired):
        agent.token(f"{READ} {CREATE}")


def test_other_refusals_are_told_as_they_are(world: World, agent: AgentClient):
    with pytest.raises(OAuthRefused) as refused:
        agent.own_token("no:such")
    assert refused.value.error == "unauthorized_client"


def test_a_narrower_token_of_its_own(world: World):
    writer = world.story.writer
    alone = writer.own_token(STATUS)
    assert claims_of(writer.narrow(alone.access_token, STATUS).access_token)["scope"] == STATUS


def allow_planner(world: World) -> None:
    """Let Maya allow the story's planner."""
    world.story.finish(Maya(world, world.callback_url).follow(world.story.begin()).query)


def allow(world: World, agent: AgentClient, scope: str) -> str:
    """Let Maya allow the agent; return its access token."""
    with pytest.raises(ConsentRequired) as needed:
        agent.token(scope)
    page = Maya(world, world.callback_url).follow(needed.value.url)
    return agent.finish(page.query).access_token


def outdate(agent: AgentClient) -> None:
    """Make the kept token look as if it had ended."""
    kept = agent._store.load("")
    assert isinstance(agent._store, MemoryStore)
    assert kept is not None
    agent._store.save("", replace(kept, expires_at=0))


def test_dp_03_a_bound_token_by_the_readme(world: World):
    found = run("bound", world)
    token = found["headers"]["Authorization"].removeprefix("DPoP ")
    assert claims_of(token)["cnf"]["jkt"] == found["agent"]._dpop.thumbprint
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "service_status"}}
    more = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    with httpx2.Client(trust_env=False) as http:
        told = http.post(found["agent"].resource, json=call, headers={**found["headers"], **more})
        assert told.status_code == 200
        # The same request again, and the token alone, are worth nothing.
        for stolen in (found["headers"], {"Authorization": f"Bearer {token}"}):
            refused = http.post(found["agent"].resource, json=call, headers={**stolen, **more})
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"].startswith("DPoP ")


def test_dp_05_the_kit_sends_the_nonce_that_is_wanted(world: World):
    rt = world.broker.runtime
    writer = world.story.writer
    assert writer.own_token(STATUS).access_token
    for wanted in (True, False):
        with rt.database.unscoped(write=True) as session:
            row = session.scalars(select(Tenant)).one()
            row.settings = {**row.settings, "dpop_nonces": wanted}
            bump(session.connection(), row.id)
        assert claims_of(writer.own_token(STATUS).access_token)["cnf"]
