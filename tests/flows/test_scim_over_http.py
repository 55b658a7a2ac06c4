"""SCIM through the whole application: its routes, its limits, and nothing of the browser's world."""

import json

import pytest

from tests.builders.provisioning import ERROR, USER, Provider
from tests.builders.site import Site

ROOT = "/t/acme/scim/v2"


@pytest.fixture
def okta(site: Site) -> Provider:
    return Provider(site.world, site.tenant, site.okta)


def send(site: Site, okta: Provider, method: str, path: str, **given: object):
    headers = {"Authorization": f"Bearer {okta.secret}", "Content-Type": "application/scim+json"}
    return site.app.test_client().open(
        f"{ROOT}{path}", method=method, headers=headers, base_url=site.base_url, **given
    )


def test_a_person_pushed_over_http_signs_in_and_is_stopped(site: Site, okta: Provider):
    made = send(
        site,
        okta,
        "POST",
        "/Users",
        data=json.dumps({"schemas": [USER], "userName": "m", "externalId": "maya"}),
    )
    assert made.status_code == 201
    assert made.headers["Location"] == f"{site.tenant.issuer}/scim/v2/Users/{made.json['id']}"
    assert "Set-Cookie" not in made.headers
    browser = site.browser()
    assert site.sign_in(browser, "maya").status_code == 303
    assert len(site.live_sessions()) == 1
    off = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
    off["Operations"] = [{"op": "Replace", "path": "active", "value": "False"}]  # type: ignore[assignment]
    done = send(site, okta, "PATCH", f"/Users/{made.json['id']}", data=json.dumps(off))
    assert (done.status_code, done.data) == (204, b"")
    assert site.live_sessions() == []
    refused = site.sign_in(site.browser(), "maya")
    assert (refused.status_code, "switched off" in refused.text) == (400, True)
    assert site.live_sessions() == []


def test_the_root_is_found_with_and_without_a_slash(site: Site, okta: Provider):
    for path in ("", "/", "/Users", "/Users/"):
        assert send(site, okta, "GET", path).status_code == 200, path
    for path in ("/Nothing", "/Groups/x/y"):
        missing = send(site, okta, "GET", path)
        assert (missing.status_code, missing.json["schemas"]) == (404, [ERROR]), path
    wrong = send(site, okta, "DELETE", "/Users")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET, POST")


def test_larger_bodies_than_elsewhere_but_not_without_end(site: Site, okta: Provider):
    def body(size: int) -> str:
        return json.dumps({"schemas": [USER], "userName": "maya", "padding": "x" * size})

    assert send(site, okta, "POST", "/Users", data=body(400_000)).status_code == 201
    refused = send(site, okta, "POST", "/Users", data=body(2_200_000))
    assert (refused.status_code, refused.json["status"]) == (413, "413")


def test_a_browsers_cookies_open_nothing(site: Site, okta: Provider):
    browser = site.browser()
    site.sign_in(browser, "maya")
    assert browser.get(f"{ROOT}/Users").status_code == 401
    assert send(site, okta, "GET", "/Users").status_code == 200
