"""A broker whose tenant signs in at an LDAP directory: pages, directory, and a browser at the form."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from broker.app import build_app
from broker.tenants.snapshot import ConnectionView
from idp_connectors.registry import CONNECTORS
from tests.builders.ldap_server import LdapServer, ldap_deps, serving
from tests.builders.ldap_trees import Tree, openldap
from tests.builders.site import Browser, Site, form_token
from tests.builders.world import open_world

SIGN_IN = "/t/acme/sign-in/corp"


class CorpSite(Site):
    """The usual site, and a connection ``corp`` to a directory with ada and bob."""

    server: LdapServer
    corp: ConnectionView

    def join(self, server: LdapServer, **settings: Any) -> None:
        """Connect the tenant to a directory."""
        self.server = server
        self.dialled: list[str] = []
        self.rt = replace(self.rt, dial=ldap_deps(dialled=self.dialled).dial)
        self.app = build_app(self.rt, CONNECTORS)
        config, secrets = server.settings(**settings)
        self.corp = self.world.connection(
            self.acme, "corp", kind="ldap", config=config, secrets=secrets, domains=["corp.example"]
        )

    def try_password(
        self,
        browser: Browser,
        username: str = "ada",
        password: str = "ada-password",
        *,
        query: str = "",
        ip: str = "127.0.0.1",
        **form: str,
    ) -> TestResponse:
        """Open the form and send it."""
        page = browser.get(f"{SIGN_IN}?{query}")
        assert page.status_code == 200, page.text
        fields = {"csrf_token": form_token(page), "username": username, "password": password, **form}
        return browser.post(SIGN_IN, fields, environ_base={"REMOTE_ADDR": ip})


@contextmanager
def open_corp(
    database_url: str, data_dir: Path, tree: Tree | None = None, **settings: Any
) -> Iterator[CorpSite]:
    """Yield the pages with a directory that runs until the block ends."""
    wanted = tree or openldap(ada="ada-password", bob="bob-password")
    with open_world(database_url, data_dir) as world, serving(wanted) as server:
        site = CorpSite(world)
        site.join(server, **settings)
        yield site
