"""Which tenant a browser means is read from well-formed cookies and from active tenants only."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.portal.which_tenant import likely_slugs
from tests.builders.world import World, open_world

VALUE = "con_00000000000000000000"


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(sqlite_url, tmp_path) as opened:
        opened.tenant("acme")
        opened.tenant("beta")
        opened.tenant("gone", state="disabled")
        yield opened


@pytest.mark.parametrize(
    ("cookies", "slugs"),
    [
        pytest.param(f"l-acme={VALUE}", ["acme"], id="twin"),
        pytest.param(f"x=1; l-acme={VALUE}; s-acme=y", ["acme"], id="among-others"),
        pytest.param(f"l-acme={VALUE}; l-beta={VALUE}", ["acme", "beta"], id="several"),
        pytest.param(f"l-gone={VALUE}", [], id="disabled-tenant"),
        pytest.param(f"l-nope={VALUE}", [], id="unknown-tenant"),
        pytest.param(f"l-acme={VALUE}; l-acme={VALUE}x", [], id="cookie-sent-twice"),
        pytest.param("l-acme=<script>", [], id="malformed-value"),
        pytest.param(f"l-../x={VALUE}", [], id="no-slug"),
        pytest.param("", [], id="none"),
    ],
)
def test_the_tenant_follows_from_cookies(world: World, cookies: str, slugs: list[str]) -> None:
    assert likely_slugs(world.rt, cookies) == slugs


def test_the_only_tenant_is_meant_without_a_cookie(sqlite_url: str, tmp_path: Path) -> None:
    with open_world(sqlite_url, tmp_path) as world:
        assert likely_slugs(world.rt, "") == []
        world.tenant("acme")
        assert likely_slugs(world.rt, "") == ["acme"]


def test_a_disabled_only_tenant_is_not_given_away(sqlite_url: str, tmp_path: Path) -> None:
    with open_world(sqlite_url, tmp_path) as world:
        world.tenant("acme", state="disabled")
        assert likely_slugs(world.rt, "") == []
