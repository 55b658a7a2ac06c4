"""The main job against software of other people: SimpleSAMLphp or node oidc-provider behind the broker,
the official MCP SDK in front, in a process of its own whose every incoming byte is recorded.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
import pytest

from broker.app import create_app
from broker.demo.loopback import AsgiServer, WsgiServer
from broker.demo.mcp_server import CREATE, READ, TicketDesk, create_mcp_app
from broker.demo.person_browser import PersonBrowser
from broker.kernel.clock import FixedClock
from broker.kernel.settings import load_settings
from broker.resource_server import ClientCredentials
from broker.tokens.keys import create_key
from broker.web.current import shell_of
from tests.builders.oauth import claims_of
from tests.builders.world import SECRET, World
from tests.interop.agent.recording_proxy import Record, recording_proxy

pytestmark = pytest.mark.interop

CALLBACK = "http://127.0.0.1:1/callback"
AGENT = Path(__file__).parent / "agent" / "process.py"
SCOPES = {
    READ: {"description": "Read your tickets", "effect": "read"},
    CREATE: {"description": "Create tickets in your name", "effect": "change"},
}


@dataclass
class Setting:
    """A broker with one real identity provider, an MCP server, and an agent's client."""

    provider: Any
    tenant_url: str
    mcp_url: str
    folder: Path
    upstream: list[bytes] = field(default_factory=list)


@pytest.fixture(params=["simplesamlphp", "node_op"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setting]:
    provider = request.getfixturevalue(request.param)
    with ExitStack() as stack:
        server, mcp = WsgiServer("127.0.0.1"), AsgiServer()
        stack.callback(server.stop)
        stack.callback(mcp.stop)
        settings = load_settings(
            profile="development", public_url=server.url, data_dir=tmp_path / "data", log_level="debug"
        )
        app = create_app(settings)
        rt = shell_of(app).rt
        stack.callback(rt.database.close)
        builder = World(rt, FixedClock(rt.clock.now()))
        tenant = builder.tenant()
        _declare(builder, tenant, provider, f"{mcp.url}/mcp")
        setting = Setting(provider, tenant.issuer, f"{mcp.url}/mcp", tmp_path)
        rt.egress.client().event_hooks["response"].append(lambda answer: _keep(setting, answer))
        server.start(app)
        provider.register(*_addresses(tenant.issuer, provider.kind))
        mcp.start(
            create_mcp_app(
                resource=setting.mcp_url,
                issuer=tenant.issuer,
                introspection=ClientCredentials("desk", SECRET),
                desk=TicketDesk(),
            )
        )
        yield setting


def _declare(builder: World, tenant: Any, provider: Any, mcp_url: str) -> None:
    with builder.rt.database.write(tenant.id) as session:
        create_key(session, builder.rt, tenant.id, now=builder.now)
    connection = builder.connection(
        tenant, "corp", kind=provider.kind, config=provider.config, secrets=provider.secrets
    )
    builder.role(tenant, "engineer", [CREATE])
    builder.mapping(tenant, connection, "engineering", "engineer")
    resource = builder.resource(tenant, mcp_url, scopes=SCOPES, roles=["engineer"])
    builder.client(tenant, "desk", resource=resource, grant_types=(), scopes=())
    agent = builder.agent(tenant, "sdk", scopes=SCOPES, roles=["engineer"], resources=[mcp_url])
    builder.client(
        tenant, "sdk-client", agent=agent, redirect_uris=[CALLBACK], application_type="native", scopes=SCOPES
    )


def _addresses(issuer: str, kind: str) -> tuple[str, str]:
    if kind == "saml":
        return f"{issuer}/saml/corp/acs", f"{issuer}/saml/corp/metadata"
    return f"{issuer}/oidc/corp/callback", issuer


def _keep(setting: Setting, answer: httpx2.Response) -> None:
    """Keep the secrets that the provider's token endpoint gave to the broker."""
    if answer.request.method != "POST":
        return
    answer.read()
    if b"id_token" in answer.content:
        told = json.loads(answer.content)
        setting.upstream += [told[name].encode() for name in ("id_token", "access_token") if told.get(name)]


class Person:
    """Ada at her browser: signs in with her password, allows, and brings the answer to the agent."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.secrets: set[str] = {"ada-password"}
        self.brought_back = ""
        self.http = httpx2.Client(
            timeout=30,
            trust_env=False,
            event_hooks={"request": [self._sent], "response": [self._received]},
        )

    def _sent(self, request: httpx2.Request) -> None:
        body = dict(parse_qsl(request.read().decode("latin-1")))
        if "SAMLResponse" in body:
            self.secrets.add(body["SAMLResponse"])

    def _received(self, response: httpx2.Response) -> None:
        if response.headers.get("location", "").startswith(CALLBACK):
            self.brought_back = urlsplit(response.headers["location"]).query
        for cookie in response.headers.get_list("set-cookie"):
            value = cookie.partition(";")[0].partition("=")[2]
            if len(value) >= 8:
                self.secrets.add(value)

    def answer(self, url: str) -> str:
        """Follow the agent's link to the end; return the query that comes back to its callback."""
        chooser = self.http.get(url, follow_redirects=True)
        link = re.search(r'(?:href|action)="([^"]*/sign-in/corp[^"]*)"', chooser.text)
        assert link, chooser.text
        start = urljoin(str(chooser.url), link[1].replace("&amp;", "&"))
        try:
            page = self.setting.provider.sign_in(self.http, start, "ada", "ada-password")
        except httpx2.ConnectError:
            # She agreed before, so the sign-in leads to the agent's callback at once; nobody listens there.
            return self.brought_back
        browser = PersonBrowser(stop_at=CALLBACK)
        browser._http = self.http
        arrived = browser.open(str(page.url))
        form = arrived.form_with("decision", "allow")
        done = browser.press(arrived, form, "decision", "allow")
        assert done.url.startswith(CALLBACK), (done.url, done.status)
        return urlsplit(done.url).query


@dataclass
class AgentRun:
    """What an agent's process received, stored and logged, and what it told."""

    record: Record
    stored: bytes
    logged: bytes
    told: dict[str, Any]
    token: str

    def everything(self) -> bytes:
        return self.record.received() + self.stored + self.logged


def run_agent(setting: Setting, person: Person) -> AgentRun:
    folder = setting.folder / f"agent-{time.monotonic_ns()}"
    folder.mkdir()
    with recording_proxy() as (proxy, record):
        environ = {
            "PATH": os.environ["PATH"],
            "HTTP_PROXY": proxy,
            "http_proxy": proxy,
            "AGENT_SERVER": setting.mcp_url,
            "AGENT_ID": "sdk-client",
            "AGENT_SECRET": SECRET,
            "AGENT_CALLBACK": CALLBACK,
        }
        process = subprocess.Popen(
            [sys.executable, str(AGENT)],
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "log.txt").open("wb"),
            text=True,
        )
        stop = threading.Timer(60, process.kill)
        stop.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http"), (folder / "log.txt").read_text()[-3000:]
            out, _ = process.communicate(person.answer(url) + "\n")
        finally:
            stop.cancel()
            process.kill()
    logged = (folder / "log.txt").read_bytes()
    assert process.returncode == 0, logged.decode()[-3000:]
    stored = b"".join(path.read_bytes() for path in folder.iterdir() if path.name != "log.txt")
    token = json.loads((folder / "tokens.json").read_text())["access_token"]
    return AgentRun(record, stored, logged + url.encode() + out.encode(), json.loads(out), token)


def test_the_agent_never_had_it(setting: Setting, capfd: pytest.CaptureFixture[str]) -> None:
    """No password, cookie, upstream token or assertion in what the agent received, stored or logged."""
    person = Person(setting)
    run = run_agent(setting, person)

    secrets = [secret.encode() for secret in person.secrets] + setting.upstream
    kinds = 1 + (1 if setting.provider.kind == "saml" else len(setting.upstream))
    assert len(secrets) > kinds + 1, "the recorder saw cookies as well"
    everything = run.everything()
    assert [secret for secret in secrets if secret in everything] == []
    # The twin: the recorder works, for the agent's own token is in what it received.
    assert run.token.encode() in run.record.received()
    assert run.told["for"] == claims_of(run.token)["sub"]
    # And the broker's own log has none of them either (W18), nor the agent's token or secret.
    log = capfd.readouterr()
    broker_log = (log.out + log.err).encode()
    for secret in [*secrets, run.token.encode(), SECRET.encode()]:
        assert secret not in broker_log


def test_roles_follow_the_providers_groups_of_now(setting: Setting) -> None:
    first = claims_of(run_agent(setting, Person(setting)).token)
    assert first["roles"] == ["engineer"]
    assert first["scope"] == f"{CREATE} {READ}"
    assert first["act"]["sub_profile"] == "ai_agent"

    setting.provider.set_person("ada", "ada-password", ["agents"])
    second = claims_of(run_agent(setting, Person(setting)).token)
    assert second["sub"] == first["sub"]
    assert "roles" not in second
    assert second["scope"] == READ
