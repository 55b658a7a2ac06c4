"""The broker inside the demo: the real application on a throw-away database, configured by a declaration."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from flask import Flask

from broker.admin.setup_links import make_setup_link
from broker.agents.declare import Offer, apply_document, parse_document
from broker.agents.snapshot import load_agents
from broker.app import create_app
from broker.audit.checkpoint import HmacSigner
from broker.audit.log import ActorRef
from broker.audit.verify import Report, verify
from broker.kernel.context import CallContext
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime
from broker.kernel.settings import Settings
from broker.oauth.grants import GRANTS
from broker.tenants.snapshot import TenantSnapshot, require_tenant
from broker.tokens.keys import create_first_keys
from broker.web.current import shell_of

DEMO = ActorRef("operator", "demo")


@dataclass(frozen=True, slots=True)
class DemoBroker:
    """The running broker, and what the rest of the demo has to know of it."""

    app: Flask
    runtime: Runtime
    tenant: TenantSnapshot
    setup_link: str

    def agent_ids(self) -> dict[str, str]:
        """The ids of the tenant's agents by slug."""
        agents = load_agents(self.runtime, self.tenant.id).agents.values()
        return {agent.slug: agent.id for agent in agents}

    def event_log(self) -> Report:
        """What a check of the tenant's event log finds."""
        with self.runtime.database.core_read() as connection:
            return verify(connection, self.tenant.id, signer=HmacSigner(self.runtime.sealer))

    def close(self) -> None:
        """Let go of the database and of connections to others."""
        self.runtime.egress.close()
        self.runtime.database.close()


def start_broker(settings: Settings, declaration: str, environ: Mapping[str, str], slug: str) -> DemoBroker:
    """The broker with the declared tenant `slug`; `environ` holds the secrets that the declaration names.

    Raises DocumentRefused when the declaration does not fit.
    """
    app = create_app(settings)
    shell = shell_of(app)
    rt = shell.rt
    ctx = CallContext(now=rt.clock.now(), request_id=new_id("req"), ip="127.0.0.1")

    apply_document(
        rt,
        parse_document(declaration),
        Offer(shell.connectors, frozenset(GRANTS), shell.presets),
        ctx,
        on_new_tenant=partial(create_first_keys, rt=rt, now=ctx.now),
        actor=DEMO,
        environ=environ,
    )
    tenant = require_tenant(rt, slug)
    link = make_setup_link(rt, ctx, tenant.id, tenant.slug, actor=DEMO)
    return DemoBroker(app, rt, tenant, link.url)
