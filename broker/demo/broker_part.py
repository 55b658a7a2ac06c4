"""The broker inside the demo: the real application on a throw-away database, configured by a declaration."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Flask
from sqlalchemy.orm import Session

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
from broker.tokens.keys import create_key
from broker.tokens.links import make_link
from broker.web.current import shell_of

SETUP_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class DemoBroker:
    """The running broker, and what the rest of the demo has to know of it."""

    app: Flask
    runtime: Runtime
    tenant: TenantSnapshot
    setup_code: str

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

    def give_keys(session: Session, tenant_id: str) -> None:
        for use in ("access", "id"):
            create_key(session, rt, tenant_id, use, now=ctx.now)

    apply_document(
        rt,
        parse_document(declaration),
        Offer(shell.connectors, frozenset(GRANTS)),
        ctx,
        on_new_tenant=give_keys,
        actor=ActorRef("operator", "demo"),
        environ=environ,
    )
    tenant = require_tenant(rt, slug)
    with rt.database.core_write() as connection:
        code = make_link(
            connection, tenant_id=tenant.id, purpose="setup", now=ctx.now, ttl_seconds=SETUP_SECONDS
        )
    return DemoBroker(app, rt, tenant, code)
