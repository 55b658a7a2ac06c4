"""Forged forms: without a token, with another browser's, from another site."""

import pytest
from flask import Flask

from tests.builders.site import Site, form_token

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# Programs call these, and each proves its caller in a way of its own: clients authenticate, and an
# assertion counts only in the browser that asked for it. None of them looks at a session cookie.
PROTOCOLS = frozenset(
    {
        "oauth.endpoint",
        "oauth.authorization",
        "sign_in.acs",
        "scim.scim",
        "back_channel.logout",
        "logout.take_post",
        "oauth.registered_client",
    }
)
SAMPLES = {
    "tenant": "acme",
    "connection": "okta",
    "kind": "oidc",
    "handle": "h" * 43,
    "name": "token",
    "filename": "x",
}


def unsafe_routes(app: Flask) -> list[tuple[str, str, str]]:
    """Every (endpoint, method, path) that may change something."""
    adapter = app.url_map.bind("")
    routes = []
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) & UNSAFE):
            values = {name: SAMPLES.get(name, "x" * 20) for name in rule.arguments}
            routes.append((rule.endpoint, method, adapter.build(rule.endpoint, values, method)))
    return routes


def test_W01_every_changing_route_refuses_a_form_without_token_and_from_elsewhere(site: Site) -> None:
    browser = site.browser()
    token = form_token(browser.get("/t/acme/sign-in"))
    seen = set()
    for endpoint, method, path in unsafe_routes(site.app):
        if endpoint in PROTOCOLS:
            continue
        seen.add(endpoint)
        client = browser._client
        base = {"base_url": site.base_url, "method": method}
        without = client.open(path, **base)
        forged = client.open(path, data={"csrf_token": "x"}, **base)
        foreign = [
            client.open(path, data={"csrf_token": token}, headers=headers, **base)
            for headers in (
                {"Origin": "https://evil.example"},
                {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site"},
                {"Origin": site.base_url + ".evil.example"},
            )
        ]
        for answer in (without, forged, *foreign):
            assert answer.status_code == 400, (endpoint, method)
            assert "bad_form" in answer.text, (endpoint, method)
    assert {"sign_in.choose", "sign_in.begin", "sign_in.sign_out", "consent.ask"} <= seen


def test_W01_a_browsers_cookies_open_no_protocol_endpoint(site: Site) -> None:
    """What is exempt from form tokens must not be opened by what a browser sends by itself."""
    browser = site.browser()
    site.sign_in(browser)
    for endpoint, method, path in unsafe_routes(site.app):
        if endpoint in {"oauth.endpoint", "scim.scim"}:
            answer = browser._client.open(path, base_url=site.base_url, method=method)
            assert answer.status_code in {400, 401, 405}, (endpoint, method)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-header"),
        pytest.param({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, id="no-referrer-policy"),
        pytest.param({"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}, id="same-origin"),
        pytest.param({"Sec-Fetch-Site": "none"}, id="reloaded"),
    ],
)
def test_W01_twin_our_own_form_is_taken(site: Site, headers: dict[str, str]) -> None:
    browser = site.browser()
    token = form_token(browser.get("/t/acme/sign-in"))
    answer = browser._client.post(
        "/t/acme/sign-out", data={"csrf_token": token}, headers=headers, base_url=site.base_url
    )
    assert answer.status_code == 200


def test_W01_a_token_belongs_to_one_browser_and_one_sign_in(site: Site) -> None:
    mine, other = site.browser(), site.browser()
    token = form_token(mine.get("/t/acme/sign-in"))
    form_token(other.get("/t/acme/sign-in"))
    assert other.post("/t/acme/sign-out", {"csrf_token": token}).status_code == 400

    site.sign_in(mine)
    assert mine.post("/t/acme/sign-out", {"csrf_token": token}).status_code == 400
    fresh = form_token(mine.get("/t/acme/sign-in"))
    assert mine.post("/t/acme/sign-out", {"csrf_token": fresh}).status_code == 200


def test_W01_a_token_belongs_to_one_tenant(site: Site) -> None:
    site.world.tenant("beta")
    browser = site.browser()
    token = form_token(browser.get("/t/acme/sign-in"))
    assert browser.post("/t/beta/sign-out", {"csrf_token": token}).status_code == 400
    assert browser.post("/t/acme/sign-out", {"csrf_token": token}).status_code == 200
