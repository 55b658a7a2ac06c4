"""The SCIM conformance checks of scim2-tester against the whole application."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_tester import Status, check_server

from tests.builders.provisioning import Provider
from tests.builders.site import Site, open_site

GOOD = {Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE}


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(database_url, tmp_path) as opened:
        yield opened


def test_every_check_passes(site: Site):
    provider = Provider(site.world, site.tenant, site.okta)
    client = WSGISCIMClient(
        site.app,
        base_url=f"{site.tenant.issuer}/scim/v2",
        headers={"Authorization": f"Bearer {provider.secret}"},
    )
    results = check_server(client)
    failed = [f"{one.title} {one.resource_type}: {one.reason}" for one in results if one.status not in GOOD]
    assert failed == []
    assert len(results) > 100


def test_without_a_token_the_checks_fail(site: Site):
    client = WSGISCIMClient(site.app, base_url=f"{site.tenant.issuer}/scim/v2")
    assert {one.status for one in check_server(client)} & {Status.ERROR, Status.CRITICAL}
