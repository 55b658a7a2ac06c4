"""A broker on loopback with one connection to a foreign provider, and people with browsers."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from broker.app import create_app
from broker.demo.loopback import WsgiServer
from broker.demo.person_browser import PersonBrowser
from broker.kernel.clock import FixedClock
from broker.kernel.runtime import Runtime
from broker.kernel.settings import load_settings
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from broker.tokens.keys import create_key
from broker.web.current import shell_of
from tests.builders.oauth import REDIRECT_URI
from tests.builders.world import World
from tests.interop.servers.browser import VisitedProvider, walk


@dataclass
class ServedBroker:
    """The broker as people and their provider reach it."""

    rt: Runtime
    provider: VisitedProvider
    tenant_url: str
    kind: str

    @property
    def here(self) -> str:
        """What the addresses of the connection begin with."""
        return f"{self.tenant_url}/{self.kind}/corp"

    def sign_in(self, http: httpx2.Client, user: str = "ada", start: str = "") -> str:
        """Let a person sign in, by the link `start` if they have one; return where the browser ends."""
        link = start or f"{self.tenant_url}/sign-in/corp"
        found = walk(http, link, self.provider.base_url, user, f"{user}-password", stop_at=REDIRECT_URI)
        return str(found.url)

    def is_signed_in(self, http: httpx2.Client) -> bool:
        """Whether the broker knows the person at this browser."""
        return http.get(f"{self.tenant_url}/me/agents", follow_redirects=False).status_code == 200

    def sign_out(self, http: httpx2.Client) -> str:
        """Let a person sign out here and follow the offer to sign out there; return the last page's text."""
        browser = PersonBrowser()
        browser._http = http
        home = browser.open(f"{self.tenant_url}/me/agents")
        offer = browser.press(home, home.form_to("/sign-out"))
        found = walk(http, offer.link_to(self.provider.base_url), self.provider.base_url, "", "")
        assert isinstance(found, httpx2.Response)
        return found.text


@dataclass
class OpenBroker:
    """A broker that answers, with the tenant and its connection `corp`."""

    world: World
    tenant: TenantSnapshot
    connection: ConnectionView


@contextmanager
def open_broker(
    data_dir: Path, kind: str, config: Mapping[str, Any], secrets: Mapping[str, str]
) -> Iterator[OpenBroker]:
    """Serve a broker until the block ends."""
    with ExitStack() as stack:
        server = WsgiServer("127.0.0.1")
        stack.callback(server.stop)
        app = create_app(load_settings(profile="development", public_url=server.url, data_dir=data_dir))
        rt = shell_of(app).rt
        stack.callback(rt.database.close)
        world = World(rt, FixedClock(rt.clock.now()))
        tenant = world.tenant()
        with rt.database.write(tenant.id) as session:
            create_key(session, rt, tenant.id, now=world.now)
        connection = world.connection(tenant, "corp", kind=kind, config=config, secrets=secrets)
        server.start(app)
        yield OpenBroker(world, tenant, connection)
