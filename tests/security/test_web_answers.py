"""Answers: headers, caches, error pages, logs and limits."""

import logging

import pytest
from sqlalchemy.exc import OperationalError

from tests.builders.site import Browser, Site, cookies_set, form_token


def test_W30_every_answer_carries_the_headers(https_site: Site) -> None:
    browser = https_site.browser()
    for path in (
        "/t/acme/sign-in",
        "/t/acme/sign-in/okta",
        "/t/nobody/sign-in",
        "/nothing",
        "/static/theme.css",
        "/t/acme/jwks",
        "/.well-known/openid-configuration/t/acme",
    ):
        headers = browser.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "no-referrer", path
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
        assert headers["Strict-Transport-Security"].startswith("max-age=31536000"), path
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy, path
        assert "form-action 'self'" in policy, path
        assert "unsafe" not in policy, path


def test_W30_plain_http_promises_no_https(site: Site) -> None:
    assert "Strict-Transport-Security" not in site.browser().get("/t/acme/sign-in").headers


def test_W04_pages_are_not_kept_and_static_files_are(site: Site) -> None:
    browser = site.browser()
    site.sign_in(browser)
    page = browser.get("/t/acme/sign-in")
    assert page.headers["Cache-Control"] == "no-store"
    assert "Cookie" in page.headers["Vary"]
    found = [part.split('"')[0] for part in page.text.split('href="') if part.startswith("/static/theme.css")]
    versioned = browser.get(found[0])
    assert versioned.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Set-Cookie" not in versioned.headers
    assert browser.get("/static/theme.css").headers["Cache-Control"] == "public, max-age=300"
    assert browser.get("/static/theme.css?v=other").headers["Cache-Control"] == "public, max-age=300"


def test_an_answer_without_a_form_sets_no_form_cookie(site: Site) -> None:
    browser = site.browser()
    assert "c" not in cookies_set(browser.get("/t/nobody/sign-in"))
    assert "c" in cookies_set(browser.get("/t/acme/sign-in"))
    assert "c" not in cookies_set(browser.get("/t/acme/sign-in"))


def failing(site: Site, error: Exception) -> Browser:
    """A browser on a site where one address fails with ``error``."""

    def fail() -> str:
        raise error

    site.app.add_url_rule("/t/acme/fails", "fails", fail)
    return site.browser()


def test_W19_a_fault_tells_its_request_id_and_nothing_else(
    site: Site, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = failing(site, RuntimeError("the secret is canary-4711"))
    with caplog.at_level(logging.DEBUG):
        page = browser.get("/t/acme/fails")
    assert page.status_code == 500
    assert "req_" in page.text
    printed = capsys.readouterr()
    for text in (page.text, str(page.headers), caplog.text, printed.out, printed.err):
        assert "canary-4711" not in text
    for word in ("Traceback", "RuntimeError", ".py", "Werkzeug", "Flask"):
        assert word not in page.text + str(page.headers)


def test_W19_a_missing_database_is_said_in_words(site: Site) -> None:
    browser = failing(site, OperationalError("INSERT canary-4711", {}, Exception("disk")))
    page = browser.get("/t/acme/fails")
    assert page.status_code == 503
    assert page.headers["Retry-After"] == "1"
    assert "canary-4711" not in page.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/nothing", 404, id="unknown"),
        pytest.param("/t/acme/nothing", 404, id="unknown-page"),
        pytest.param("/t/%00/sign-in", 404, id="zero-byte"),
        pytest.param("/t/ACME/sign-in", 404, id="other-case"),
        pytest.param("/t/acme/sign-in/" + "x" * 5000, 404, id="long"),
        pytest.param("/t/acme/sign-in/nothing", 404, id="unknown-connection"),
        pytest.param("/static/../app.py", 404, id="traversal"),
        pytest.param("/t/acme/consent/" + "h" * 43, 400, id="unknown-handle"),
    ],
)
def test_W19_odd_addresses_get_our_page(site: Site, path: str, status: int) -> None:
    page = site.browser().get(path)
    assert page.status_code == status
    assert "Request id" in page.text
    assert page.headers["Cache-Control"] == "no-store"


def test_W18_a_sign_in_logs_no_secret(
    site: Site, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = site.browser()
    with caplog.at_level(logging.DEBUG):
        begun = site.begin(browser)
        callback = site.op.sign_in(begun, sub="maya", email="canary@acme.example")
        browser.get("/t/acme/oidc/okta/callback", query_string=callback.query)
        browser.get("/t/acme/oidc/okta/callback", query_string=callback.query)
    printed = capsys.readouterr()
    logs = caplog.text + printed.out + printed.err
    secrets = [
        callback.query["code"],
        callback.query["state"],
        browser.cookie("s-acme"),
        browser.cookie("f-acme"),
        "canary@acme.example",
    ]
    for secret in secrets:
        assert secret
        assert secret not in logs


def test_a_large_or_encoded_body_is_refused(site: Site) -> None:
    browser = site.browser()
    token = form_token(browser.get("/t/acme/sign-in"))
    large = browser.post("/t/acme/sign-out", {"csrf_token": token, "x": "x" * 300_000})
    assert large.status_code == 413
    packed = browser.post("/t/acme/sign-out", {"csrf_token": token}, headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 400
    fits = browser.post("/t/acme/sign-out", {"csrf_token": token, "x": "x" * 200_000})
    assert fits.status_code == 200


def test_W29_pages_are_closed_to_other_origins(site: Site) -> None:
    browser = site.browser()
    for path in ("/t/acme/sign-in", "/t/acme/consent/x", "/t/acme/authorize"):
        page = browser.get(path, headers={"Origin": "https://evil.example"})
        assert not any(name.lower().startswith("access-control") for name, _ in page.headers), path
    assert browser.get("/t/acme/jwks").headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in browser.get("/t/acme/jwks").headers


def test_programs_are_answered_in_json(site: Site) -> None:
    browser = site.browser()
    answer = browser.get("/t/acme/nothing", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["error"] == "not_found"
    assert answer.json["request_id"].startswith("req_")
