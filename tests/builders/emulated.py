"""The broker's pages in this process, with connections to the demo's providers, which really listen."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select, update
from werkzeug.test import TestResponse

from broker.admin.entry import LINK_PURPOSE
from broker.app import build_app
from broker.audit.models import AuditRecord
from broker.demo.idps.entra_like import EntraLike
from broker.demo.idps.google_like import GoogleLike
from broker.demo.idps.okta_like import OktaLike
from broker.demo.loopback import WsgiServer
from broker.demo.people import ENTRA_SUPPORT_GROUP
from broker.directory.models import User
from broker.tenants.models import Connection
from broker.tenants.snapshot import ConnectionView
from broker.tokens.keys import create_key
from broker.tokens.links import make_link
from broker.tokens.models import BrowserSession
from idp_connectors.registry import CONNECTORS
from tests.builders.site import Browser, form_token
from tests.builders.world import World, open_world

Provider = OktaLike | EntraLike | GoogleLike
PEOPLE = {"okta": "maya", "entra": "jonas", "google": "aiko"}
"""Somebody of each provider whose groups give the role `support`."""
GROUPS = {
    "okta": ("name", "agents-support"),
    "entra": ("id", ENTRA_SUPPORT_GROUP),
    "google": ("name", "Agents Support"),
}


class EmulatedSite:
    """Tenant `acme` with the connections `okta`, `entra` and `google`."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self.world, self.rt = world, world.rt
        self.app = build_app(world.rt, CONNECTORS)
        self.acme = world.tenant("acme", admin_role="broker.admin")
        with world.rt.database.write(self.acme.id) as session:
            create_key(session, world.rt, self.acme.id, now=world.now)
        # Slow answers are what some of the tests are about, so each provider serves with its own threads.
        servers = {name: WsgiServer("localhost") for name in PEOPLE}
        self.okta = OktaLike(servers["okta"].url, clock=lambda: world.now)
        self.entra = EntraLike(servers["entra"].url, clock=lambda: world.now)
        self.google = GoogleLike(servers["google"].url, clock=lambda: datetime.fromtimestamp(world.now, UTC))
        self.providers: dict[str, Provider] = {
            "okta": self.okta,
            "entra": self.entra,
            "google": self.google,
        }
        for name, server in servers.items():
            server.start(self.providers[name].create_app())
            stack.callback(server.stop)
            stack.callback(self.providers[name].switch.turn, None)
        self.connections = {name: self._connect(name) for name in PEOPLE}
        world.role(self.acme, "support", ["tickets:read"])
        for name, (kind, pattern) in GROUPS.items():
            world.mapping(self.acme, self.connections[name], pattern, "support", kind=kind)

    def _connect(self, name: str) -> ConnectionView:
        base = f"{self.world.again(self.acme).issuer}/{'saml' if name == 'google' else 'oidc'}/{name}"
        if name == "google":
            self.google.register(f"{base}/metadata", f"{base}/acs")
            config = self.google_config()
            return self.world.connection(self.acme, name, kind="saml", config=config, preset=name)
        provider = self.providers[name]
        assert isinstance(provider, OktaLike | EntraLike)
        party = provider.register(f"{base}/callback")
        config = {"issuer": provider.issuer, "client_id": party.client_id, "groups_claim": "groups"}
        extra: dict[str, Any] = {"scopes": ["openid", "profile", "email", "groups"]}
        if name == "entra":
            extra = {"subject": "oid+tid", "group_kind": "id"}
        secrets = {"client_secret": party.client_secret}
        return self.world.connection(
            self.acme, name, config={**config, **extra}, secrets=secrets, preset=name
        )

    def configure(self, name: str, config: dict[str, Any]) -> None:
        """Change a connection's settings, as its page does."""
        wanted = update(Connection).where(Connection.id == self.connections[name].id).values(config=config)
        with self.rt.database.write(self.acme.id) as session:
            session.execute(wanted)
        # Counted, so that requests see it.
        self.world.add(self.acme)

    def google_config(self) -> dict[str, Any]:
        """The settings of the SAML connection, with the certificate that the provider shows now."""
        lines = [line for line in self.google.certificate_pem.splitlines() if "-----" not in line]
        return {
            "idp_entity_id": self.google.entity_id,
            "sso_url": self.google.sso_url,
            "certificates": ["".join(lines)],
            "subject": "nameid-any-format",
            "groups_attribute": "groups",
        }

    def browser(self) -> Browser:
        """A new browser."""
        return Browser(self.app, self.rt.settings.public_url)

    def setup_code(self) -> str:
        """The code of a new setup link."""
        ends = {"now": self.world.now, "ttl_seconds": 3600}
        with self.rt.database.core_write() as core:
            return make_link(core, tenant_id=self.acme.id, purpose=LINK_PURPOSE, **ends)

    def admin(self) -> Browser:
        """A browser that came in by a setup link."""
        code, browser = self.setup_code(), self.browser()
        token = form_token(browser.get(f"/t/acme/admin/setup?code={code}"))
        entered = browser.post("/t/acme/admin/setup", {"csrf_token": token, "code": code})
        assert entered.status_code == 303, entered.text
        return browser

    def sign_in(self, name: str, browser: Browser | None = None) -> TestResponse:
        """Sign somebody of the provider in; returns the broker's last answer."""
        browser = browser or self.browser()
        begun = browser.get(f"/t/acme/sign-in/{name}")
        return begun if begun.status_code != 303 else self.come_back(name, browser, begun.location)

    def come_back(self, name: str, browser: Browser, location: str) -> TestResponse:
        """Have the provider sign its person in at `location`, and bring the answer to the broker."""
        parts = urlsplit(location)
        client = self.providers[name].create_app().test_client()
        answer = client.post(f"{parts.path}?{parts.query}", data={"person": PEOPLE[name]})
        if name != "google":
            assert answer.status_code == 303, answer.text
            return browser.get(answer.location)
        action, fields = _form_of(answer.text)
        kept = browser.post_from_elsewhere(urlsplit(action).path, fields, self.google.entity_id)
        return browser.get(kept.location) if kept.status_code == 303 else kept

    def reason(self) -> str:
        """Why the last sign-in was refused, as the event log has it."""
        with self.rt.database.read(self.acme.id) as session:
            wanted = select(AuditRecord).where(AuditRecord.event == "sign_in.refused")
            return str(session.scalars(wanted.order_by(AuditRecord.seq.desc())).first().reason)

    def count(self, model: type[User] | type[BrowserSession]) -> int:
        """How many rows of a table the tenant has."""
        with self.rt.database.read(self.acme.id) as session:
            return len(session.scalars(select(model)).all())


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given.get("action", "")
        elif tag == "input":
            self.fields[given.get("name", "")] = given.get("value", "")


def _form_of(page: str) -> tuple[str, dict[str, str]]:
    reader = _FormReader()
    reader.feed(page)
    return reader.action, reader.fields


@contextmanager
def open_emulated(database_url: str, data_dir: Path, **settings: Any) -> Iterator[EmulatedSite]:
    """Yield the site on a new database."""
    with open_world(database_url, data_dir, **settings) as world, ExitStack() as stack:
        yield EmulatedSite(world, stack)


@contextmanager
def serve_emulated(database_url: str, data_dir: Path) -> Iterator[EmulatedSite]:
    """Yield the site at an address that browsers can open."""
    server = WsgiServer("127.0.0.1")
    try:
        with open_emulated(database_url, data_dir, public_url=server.url) as site:
            server.start(site.app)
            yield site
    finally:
        server.stop()
