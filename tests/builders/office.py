"""The pages of administrators and employees on the scene's tenant, with browsers that are signed in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select
from werkzeug.test import TestResponse

from broker.admin.entry import LINK_PURPOSE
from broker.app import build_app
from broker.audit.log import ActorRef
from broker.audit.models import AuditRecord
from broker.federation.connection_tests import begin_test
from broker.federation.steps import Signing
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from broker.tokens.links import make_link
from broker.tokens.sessions import start_session
from broker.web.cookies import SessionKind, session_cookie_name
from idp_connectors.registry import CONNECTORS
from tests.builders.oauth import Scene
from tests.builders.site import Browser, form_token
from tests.builders.world import World, open_world


class Office:
    """The scene of ``builders.oauth`` behind its pages."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = world
        self.rt = world.rt
        self.scene = Scene(world, settings=settings)
        self.app = build_app(world.rt, CONNECTORS)

    @property
    def tenant(self) -> TenantSnapshot:
        """The tenant ``acme``."""
        return self.scene.tenant

    def browser(self) -> Browser:
        """A new browser."""
        return Browser(self.app, self.rt.settings.public_url)

    def link(self, tenant: TenantSnapshot | None = None, *, ttl_seconds: int = 3600) -> str:
        """The code of a new setup link."""
        home = tenant or self.tenant
        with self.rt.database.core_write() as connection:
            return make_link(
                connection,
                tenant_id=home.id,
                purpose=LINK_PURPOSE,
                now=self.world.now,
                ttl_seconds=ttl_seconds,
            )

    def tested(self, tenant: TenantSnapshot, connection: ConnectionView) -> str:
        """The id of a test of a connection without settings, which ends at once."""
        oidc = CONNECTORS["oidc"]
        step = Signing(self.rt, tenant, connection, oidc, CONNECTORS, self.world.ctx)
        started = begin_test(
            step, {}, actor=ActorRef("admin", "ses_1"), browser_secret="b", result_path=lambda one: one
        )
        assert not started.address
        return started.id

    def admin(self) -> Browser:
        """A browser that came in by a setup link."""
        browser = self.browser()
        path = f"/t/acme/admin/setup?code={self.link()}"
        token = form_token(browser.get(path))
        code = path.partition("code=")[2]
        entered = browser.post("/t/acme/admin/setup", {"csrf_token": token, "code": code})
        assert entered.status_code == 303, entered.text
        return browser

    def person(self, user_id: str | None = None, tenant: TenantSnapshot | None = None) -> Browser:
        """A browser in which a person is signed in, Maya unless told otherwise."""
        browser = self.browser()
        home = tenant or self.tenant
        secret = self.secret("person", user_id or self.scene.maya, home)
        browser.set_cookie(session_cookie_name(self.rt.settings, home.slug, "person"), secret)
        return browser

    def secret(self, kind: SessionKind, user_id: str | None, tenant: TenantSnapshot | None = None) -> str:
        """The cookie secret of a new session."""
        home = tenant or self.tenant
        with self.rt.database.core_write() as connection:
            _, secret = start_session(
                connection, self.rt, tenant_id=home.id, kind=kind, now=self.world.now, user_id=user_id
            )
        return secret

    def events(self, name: str) -> list[AuditRecord]:
        """The tenant's events of one kind, oldest first."""
        with self.rt.database.read(self.tenant.id) as session:
            rows = select(AuditRecord).where(AuditRecord.event == name).order_by(AuditRecord.seq)
            return list(session.scalars(rows))


def submit(browser: Browser, page: str, target: str, **fields: Any) -> TestResponse:
    """Post a form of ``page`` to ``target`` with the page's token."""
    token = form_token(browser.get(page))
    return browser.post(target, {"csrf_token": token, **fields})


@contextmanager
def open_office(database_url: str, data_dir: Path, **settings: Any) -> Iterator[Office]:
    """Yield the pages on a new database; keyword arguments are the tenant's settings."""
    with open_world(database_url, data_dir) as world:
        yield Office(world, **settings)
