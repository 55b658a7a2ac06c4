"""Options of clients, agents and resources: checked where they are stored, defaults where they are not."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from broker.agents.options import ClientOptions, agent_options, client_options, resource_options
from broker.kernel.errors import ErrorCode, Refusal
from tests.builders.world import open_world


def test_what_is_left_out_has_its_safe_default() -> None:
    assert client_options({}) == ClientOptions()


@pytest.mark.parametrize("parse", [client_options, agent_options, resource_options])
def test_an_unknown_option_is_refused_by_its_name(parse: Callable[[Mapping[str, Any]], object]) -> None:
    with pytest.raises(Refusal) as refused:
        parse({"dpop_often": True})
    assert refused.value.code is ErrorCode.BAD_CONFIGURATION
    assert "'dpop_often'" in refused.value.public


def test_a_value_of_another_type_is_refused_by_its_name() -> None:
    with pytest.raises(Refusal) as refused:
        client_options({"dpop_bound_access_tokens": "often"})
    assert "dpop_bound_access_tokens" in refused.value.public


def test_options_reach_the_snapshot(database_url: str, tmp_path: Path) -> None:
    with open_world(database_url, tmp_path) as world:
        agent = world.agent(world.tenant(), options={"dpop_required": True})
        assert agent.options.dpop_required
