"""Addresses: none comes from a header, and no sign-in ends at one that is not ours."""

from urllib.parse import quote

import pytest

from broker.web.onward import is_own_path
from tests.builders.site import Site

SPOOFS = [
    {name: value}
    for name in (
        "Host",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Host",
        "Forwarded",
        "X-Forwarded-Server",
    )
    for value in ("evil.example", "host=evil.example;proto=https")
]


@pytest.mark.parametrize("headers", SPOOFS, ids=lambda given: "W07-" + "".join(given))
def test_W07_no_header_changes_an_address(site: Site, headers: dict[str, str]) -> None:
    client = site.app.test_client()
    for path in ("/t/acme/sign-in", "/t/acme/sign-in/okta", "/t/acme/saml/adfs/metadata", "/t/acme//sign-in"):
        answer = client.get(path, headers=headers)
        assert "evil.example" not in answer.text + str(answer.headers), path
    begun = client.get("/t/acme/sign-in/okta", headers=headers).location
    assert quote(f"{site.acme.issuer}/oidc/okta/callback", safe="") in begun


EVIL = ["https://evil.example", "//evil.example", "http:evil.example", "javascript:alert(1)"]
WRAPPED = [
    *EVIL,
    *(f"/\\{one}" for one in EVIL),
    *(f"\\{one}" for one in EVIL),
    *(f"/{one}" for one in EVIL),
    *(f"/t/acme/me/..//{one}" for one in EVIL),
    *(f"/t/acme/me/../../..{one}" for one in EVIL),
    *(f"/t/acme/me@{one}" for one in EVIL),
    *(f"/t/acme@evil.example/{one}" for one in EVIL),
    *(f"{one}/t/acme/me/agents" for one in EVIL),
    *(f"/t/acme/me/agents\r\nLocation: {one}" for one in EVIL),
    *(f"/t/acme/me/agents\t{one}" for one in EVIL),
    *(f"/t/acme/me\x00{one}" for one in EVIL),
    *(f" {one}" for one in EVIL),
    *(f"\t{one}" for one in EVIL),
    *(quote(one, safe="") for one in EVIL),
    *(quote(quote(one, safe=""), safe="") for one in EVIL),
    *(one.replace("/", "\\") for one in EVIL),
    *(one.replace(".", "。") for one in EVIL),
    *(one.replace("e", "е", 1) for one in EVIL),  # a Cyrillic letter
    *(f"/t/evil/me/agents?{one}" for one in EVIL),
    *(f"/t/acme/me/agents#{one}" for one in EVIL),
    *(f"/t/acme/sign-out?{one}" for one in EVIL),
    *(f"/t/acmes/me/{one}" for one in EVIL),
    *(f"/t/acme/mean/{one}" for one in EVIL),
    *(f"/static/{one}" for one in EVIL),
    *(f"/t/acme/%2e%2e/{one}" for one in EVIL),
    *(f"/t/acme/me/.%2e/{one}" for one in EVIL),
    *(f"/t/acme/me/;{one}" for one in EVIL),
    *(f"/T/ACME/me/{one}" for one in EVIL),
    *(f"data:text/html,{one}" for one in EVIL),
    *(f"/t/acme/me/agents?x={one}" for one in EVIL[:2]),
    *(f'/t/acme/consent/x?"><script>{one}' for one in EVIL),
]


def test_W08_the_corpus_is_large() -> None:
    assert len(set(WRAPPED)) >= 120


@pytest.mark.parametrize("target", WRAPPED)
def test_W08_next_is_a_page_of_ours_or_nothing(target: str) -> None:
    assert not is_own_path(target, "acme")


@pytest.mark.parametrize("target", [WRAPPED[1], WRAPPED[4], WRAPPED[36], "/t/beta/me/agents", "x" * 3000])
def test_W08_a_bad_next_ends_at_home(site: Site, target: str) -> None:
    browser = site.browser()
    done = site.sign_in(browser, query=f"next={quote(target, safe='')}")
    assert done.location == "/t/acme/me/agents"
    assert target not in browser.get(f"/t/acme/sign-in?next={quote(target, safe='')}").text


@pytest.mark.parametrize(
    "target",
    [
        "/t/acme/me/agents",
        "/t/acme/me/agents/agt_0123",
        "/t/acme/admin",
        "/t/acme/admin/audit?after=12&event=token.issued",
        "/t/acme/consent/" + "h" * 43,
    ],
)
def test_W08_twin_a_page_of_ours_is_where_the_sign_in_ends(site: Site, target: str) -> None:
    browser = site.browser()
    assert site.sign_in(browser, query=f"next={quote(target, safe='')}").location == target


def test_W08_resume_is_a_handle_or_nothing(site: Site) -> None:
    for given, expected in (
        ("h" * 43, "/t/acme/authorize?resume=" + "h" * 43),
        ("../../evil", "/t/acme/me/agents"),
        ("x&next=//evil.example", "/t/acme/me/agents"),
        ("//evil.example/" + "h" * 43, "/t/acme/me/agents"),
    ):
        done = site.sign_in(site.browser(), query=f"resume={quote(given, safe='')}")
        assert done.location == expected
