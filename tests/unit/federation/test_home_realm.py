"""Which door an e-mail address or a list leads to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.federation import home_realm
from tests.builders.world import World, open_world


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(sqlite_url, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("maya@acme.example", "acme.example"),
        (" Maya@ACME.Example. ", "acme.example"),
        ('"odd@name"@acme.example', "acme.example"),
        ("acme.example", ""),
        ("@acme.example", ""),
        ("", ""),
    ],
)
def test_the_domain_of_an_address(email: str, domain: str) -> None:
    assert home_realm.domain_of(email) == domain


def test_domains_and_connections_are_many_to_many(world: World) -> None:
    acme = world.tenant()
    world.connection(acme, "north", domains=["acme.example", "shared.example"])
    world.connection(acme, "south", kind="saml", domains=["shared.example"])
    world.connection(acme, "old", domains=["acme.example"], state="disabled")
    beta = world.tenant("beta")
    world.connection(beta, "other", domains=["acme.example"])

    def slugs(email: str) -> list[str]:
        return [one.slug for one in home_realm.find_connections(world.again(acme), email)]

    assert slugs("maya@acme.example") == ["north"]
    assert slugs("maya@shared.example") == ["north", "south"]
    assert slugs("maya@nowhere.example") == []
    assert slugs("nobody") == []
    offered = home_realm.offered_connections(world.again(acme))
    assert [(one.slug, home_realm.kind_words(one)) for one in offered] == [
        ("north", "OpenID Connect"),
        ("south", "SAML"),
    ]
    assert home_realm.asks_email(world.again(acme))
    assert not home_realm.asks_email(world.again(beta))


def test_many_connections_are_not_listed(world: World) -> None:
    acme = world.tenant()
    for number in range(6):
        world.connection(acme, f"c{number}", domains=[f"d{number}.example"] if number else [])
    assert [one.slug for one in home_realm.offered_connections(world.again(acme))] == ["c0"]
    assert home_realm.asks_email(world.again(acme))
