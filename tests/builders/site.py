"""The broker's pages over HTTP in this process: a tenant with an OpenID and a SAML provider, and browsers."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from werkzeug.test import TestResponse

from broker.app import build_app
from broker.audit.models import AuditRecord
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.keys import create_key
from broker.tokens.models import BrowserSession
from idp_connectors.base import Begun
from idp_connectors.registry import CONNECTORS
from tests.builders.oidc_op import CLIENT_ID, CLIENT_SECRET, OpenIdProvider
from tests.builders.saml_idp import SamlIdentityProvider
from tests.builders.world import World, open_world

PUBLIC_URL = "http://127.0.0.1:8080"


class Browser:
    """A browser with its own cookies; it sends the headers that a browser sends with a form."""

    def __init__(self, app: Any, base_url: str) -> None:
        self._client = app.test_client()
        self._base_url = base_url

    def get(self, path: str, **given: Any) -> TestResponse:
        """Go to an address of the broker; redirects are left to the caller."""
        parts = urlsplit(path)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return self._client.get(target, base_url=self._base_url, **given)

    def post(self, path: str, data: Mapping[str, Any] | None = None, **given: Any) -> TestResponse:
        """Submit a form of the broker's own page."""
        headers = {"Origin": self._base_url, "Sec-Fetch-Site": "same-origin", **given.pop("headers", {})}
        return self._client.post(path, data=data or {}, headers=headers, base_url=self._base_url, **given)

    def post_from_elsewhere(self, path: str, data: Mapping[str, Any], origin: str) -> TestResponse:
        """Submit a form of a page of another site, which brings no SameSite cookie of ours."""
        stranger = self._client.application.test_client()
        headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        return stranger.post(path, data=data, headers=headers, base_url=self._base_url)

    def cookie(self, name: str) -> str | None:
        """The value of a cookie that this browser holds."""
        found = self._client.get_cookie(name, domain=urlsplit(self._base_url).hostname or "")
        return found.value if found else None

    def set_cookie(self, name: str, value: str) -> None:
        """Plant a cookie."""
        self._client.set_cookie(name, value, domain=urlsplit(self._base_url).hostname or "")

    def delete_cookie(self, name: str) -> None:
        """Lose a cookie."""
        self._client.delete_cookie(name, domain=urlsplit(self._base_url).hostname or "")


class Site:
    """A world with its pages; tenant ``acme`` signs in through ``okta`` (OpenID) and ``adfs`` (SAML)."""

    def __init__(self, world: World, op: OpenIdProvider | None = None) -> None:
        self.op = op or OpenIdProvider()
        self.saml = SamlIdentityProvider()
        self.rt = replace(world.rt, egress=self.op)  # type: ignore[arg-type]
        self.world = world
        self.app = build_app(self.rt, CONNECTORS)
        self.base_url = world.rt.settings.public_url
        self.acme = world.tenant("acme")
        with world.rt.database.write(self.acme.id) as session:
            create_key(session, self.rt, self.acme.id, now=world.now)
        self.okta = world.connection(
            self.acme,
            "okta",
            config={"issuer": self.op.issuer, "client_id": CLIENT_ID, "groups_claim": "groups"},
            secrets={"client_secret": CLIENT_SECRET},
            domains=["okta.example"],
        )
        self.adfs = world.connection(
            self.acme, "adfs", kind="saml", config={**self.saml.config(), "subject": "nameid-any-format"}
        )

    @property
    def tenant(self) -> TenantSnapshot:
        """The tenant as it is now."""
        return self.world.again(self.acme)

    def browser(self) -> Browser:
        """A new browser."""
        return Browser(self.app, self.base_url)

    def begin(self, browser: Browser, connection: str = "okta", query: str = "", slug: str = "acme") -> Begun:
        """Start a sign-in and return where the browser is sent."""
        self.op.now = self.saml.now = self.world.now
        answer = browser.get(f"/t/{slug}/sign-in/{connection}?{query}")
        assert answer.status_code == 303, answer.text
        return Begun(answer.location, {})

    def come_back(self, browser: Browser, begun: Begun, sub: str = "maya", **claims: Any) -> TestResponse:
        """Have the OpenID provider sign ``sub`` in, and bring its answer."""
        return browser.get(
            "/t/acme/oidc/okta/callback", query_string=self.op.sign_in(begun, sub=sub, **claims).query
        )

    def sign_in(self, browser: Browser, sub: str = "maya", query: str = "", **claims: Any) -> TestResponse:
        """Sign a person in through the OpenID provider."""
        return self.come_back(browser, self.begin(browser, query=query), sub, **claims)

    def events(self, name: str) -> list[AuditRecord]:
        """The tenant's events of one kind."""
        with self.rt.database.read(self.acme.id) as session:
            rows = select(AuditRecord).where(AuditRecord.event == name).order_by(AuditRecord.seq)
            return list(session.scalars(rows))

    def live_sessions(self) -> list[BrowserSession]:
        """The tenant's browser sessions that have not ended."""
        with self.rt.database.read(self.acme.id) as session:
            return list(session.scalars(select(BrowserSession).where(BrowserSession.ended_at.is_(None))))


@contextmanager
def open_site(
    database_url: str, data_dir: Path, *, op: OpenIdProvider | None = None, **settings: Any
) -> Iterator[Site]:
    """Yield the broker's pages on a new database; ``op`` is all that they can call."""
    with open_world(database_url, data_dir, **settings) as world:
        yield Site(world, op)


def form_token(page: TestResponse) -> str:
    """The CSRF token of the first form on a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found, page.text[:2000]
    return unescape(found.group(1))


def refreshed_to(page: TestResponse) -> str:
    """Where a page goes on to by itself."""
    delay, _, target = page.headers["Refresh"].partition("; url=")
    assert delay == "0"
    return target


def cookies_set(page: TestResponse) -> dict[str, str]:
    """The Set-Cookie headers of an answer by cookie name."""
    return {line.partition("=")[0]: line for line in page.headers.getlist("Set-Cookie")}
