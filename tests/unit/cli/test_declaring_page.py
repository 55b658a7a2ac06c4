"""The example in the documentation is applied as it stands, twice."""

import json
import re
from pathlib import Path

from joserfc.jwk import ECKey

from broker.agents.declare import Offer, apply_document, parse_document
from broker.agents.snapshot import load_agents
from broker.audit.log import ActorRef
from broker.oauth.grants import GRANTS
from broker.tenants.snapshot import require_tenant
from broker.tokens.keys import create_key
from idp_connectors.presets import PRESETS
from idp_connectors.registry import CONNECTORS
from tests.builders.world import World, open_world

PAGE = Path(__file__).parents[3] / "deploy" / "docs" / "declaring.md"


def apply(world: World, text: str, folder: Path) -> int:
    secrets = {
        name: f"{name.lower()}-" + "s" * 40
        for name in ("OKTA_SECRET", "CORP_SECRET", "DESK_SECRET", "PLANNER_SECRET")
    }
    applied = apply_document(
        world.rt,
        parse_document(text),
        Offer(CONNECTORS, frozenset(GRANTS), PRESETS),
        world.ctx,
        on_new_tenant=lambda session, tenant_id: create_key(session, world.rt, tenant_id, now=world.now),
        actor=ActorRef("operator", "test"),
        folder=folder,
        environ=secrets,
    )
    return sum(len(one.changes) for one in applied)


def test_the_example_applies_and_a_second_time_changes_nothing(sqlite_url: str, tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example
    key = ECKey.generate_key("P-256", {"kid": "w1"})
    (tmp_path / "writer-jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    with open_world(sqlite_url, tmp_path) as world:
        assert apply(world, example[1], tmp_path) > 8
        assert apply(world, example[1], tmp_path) == 0
        agents = load_agents(world.rt, require_tenant(world.rt, "acme").id)
        assert {agent.slug for agent in agents.agents.values()} == {"planner", "ticket-writer"}
