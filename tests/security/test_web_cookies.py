"""Cookies: how they are set, and bent ones that must count as none."""

from typing import Any

import pytest
from flask import Flask

from broker.web.cookies import find_cookie
from broker.web.sessions import find_person
from tests.builders.site import Site, cookies_set, form_token


def test_W03_every_cookie_is_bound_to_the_host_and_hidden_from_scripts(https_site: Site) -> None:
    browser = https_site.browser()
    page = browser.get("/t/acme/sign-in")
    done = https_site.sign_in(browser)
    found = {**cookies_set(page), **cookies_set(done)}
    assert {"__Host-c", "__Host-f-acme", "__Host-s-acme", "__Host-l-acme"} <= set(found)
    for line in found.values():
        attributes = {part.strip().lower() for part in line.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
        assert not any(part.startswith("domain") for part in attributes)


def test_W05_a_form_cookie_signed_with_another_key_counts_as_none(site: Site) -> None:
    browser = site.browser()
    token = form_token(browser.get("/t/acme/sign-in"))
    cookie = browser.cookie("c")
    assert cookie
    serializer = site.app.session_interface.get_signing_serializer(site.app)  # type: ignore[attr-defined]
    assert serializer is not None
    seed = serializer.loads(cookie)
    twin = Flask("twin")
    twin.secret_key = "an earlier key"
    forged = site.app.session_interface.get_signing_serializer(twin)  # type: ignore[attr-defined]
    browser.set_cookie("c", forged.dumps(seed))
    assert browser.post("/t/acme/sign-out", {"csrf_token": token}).status_code == 400
    browser.set_cookie("c", cookie)
    assert browser.post("/t/acme/sign-out", {"csrf_token": token}).status_code == 200


@pytest.mark.parametrize(
    "bend",
    [
        pytest.param(lambda name, value: f"{name}=", id="W06-empty"),
        pytest.param(lambda name, value: f"{name}={value}; {name}={value}", id="W06-twice-the-same"),
        pytest.param(lambda name, value: f"{name}=x; {name}={value}", id="W06-planted-first"),
        pytest.param(lambda name, value: f"{name}={value}; {name}=x", id="W06-planted-last"),
        pytest.param(lambda name, value: f"{name}={value}%00", id="W06-encoded-zero"),
        pytest.param(lambda name, value: f'{name}="{value}"', id="W06-quoted"),
        pytest.param(lambda name, value: f"{name}={value[:-1]}", id="W06-shortened"),
        pytest.param(lambda name, value: f"{name}={'A' * 20_000}", id="W06-huge-value"),
        pytest.param(lambda name, value: f"{name}={value}; x={'A' * 20_000}", id="W06-huge-header"),
        pytest.param(lambda name, value: f"{name}={value}\xff", id="W06-not-ascii"),
        pytest.param(lambda name, value: f"{name.upper()}={value}", id="W06-other-case"),
        pytest.param(lambda name, value: f"a-acme={value}", id="W06-of-another-kind"),
        pytest.param(lambda name, value: f"s-beta={value}", id="W06-of-another-tenant"),
        pytest.param(lambda name, value: "remember_token=1|abc; " + f"{name}=x", id="W06-remember-token"),
    ],
)
def test_W06_a_bent_cookie_is_nobody(site: Site, bend: Any) -> None:
    browser = site.browser()
    site.sign_in(browser)
    secret = browser.cookie("s-acme")
    assert secret

    def who(header: str) -> str | None:
        with site.app.test_request_context("/t/acme/sign-in", headers={"Cookie": header}):
            found = find_person()
            return found.user_id if found else None

    assert who(f"s-acme={secret}")
    assert who(f"other=1; s-acme={secret}; more=2")
    assert who(bend("s-acme", secret)) is None


def test_W06_a_garbage_remember_cookie_does_not_hide_the_session(site: Site) -> None:
    browser = site.browser()
    site.sign_in(browser)
    browser.set_cookie("remember_token", "garbage")
    assert (
        "Okta"
        in browser.post("/t/acme/sign-out", {"csrf_token": form_token(browser.get("/t/acme/sign-in"))}).text
    )


def test_a_session_counts_at_its_own_tenant_only(site: Site) -> None:
    site.world.tenant("beta")
    browser = site.browser()
    site.sign_in(browser)
    secret = browser.cookie("s-acme")
    assert secret
    for path, cookie, expected in (
        ("/t/acme/sign-in", "s-acme", True),
        ("/t/beta/sign-in", "s-beta", False),
        ("/t/beta/sign-in", "s-acme", False),
    ):
        with site.app.test_request_context(path, headers={"Cookie": f"{cookie}={secret}"}):
            assert bool(find_person()) is expected


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param("s=" + "a" * 43, "a" * 43, id="one"),
        pytest.param("x=1; s=" + "a" * 43, "a" * 43, id="among-others"),
        pytest.param("s=short", None, id="too-short"),
        pytest.param("", None, id="none"),
        pytest.param("s", None, id="no-value"),
        pytest.param(";;;=;s=" + "a" * 43, "a" * 43, id="odd-neighbours"),
    ],
)
def test_reading_cookies(header: str, found: str | None) -> None:
    assert find_cookie(header, "s") == found
