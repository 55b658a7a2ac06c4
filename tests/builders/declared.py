"""A declared tenant, a connector that nobody signs in with, and a way to apply documents in tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import yaml
from pydantic import SecretStr
from sqlalchemy import func, select

from broker.agents.declare import Offer, apply_document, parse_document
from broker.audit.log import ActorRef
from idp_connectors.presets import PRESETS, Preset
from tests.builders.world import SECRET, TICKETS, TOKEN_EXCHANGE, World


class PretendConfig(pydantic.BaseModel):
    """A connector's configuration as connectors declare it."""

    model_config = pydantic.ConfigDict(extra="forbid")

    issuer: str
    client_id: str = "broker"
    client_secret: SecretStr = pydantic.Field(json_schema_extra={"secret": True})
    groups: tuple[str, ...] = ("groups",)


class PretendConnector:
    """A kind of connection for documents."""

    kind = "oidc"
    config_model = PretendConfig

    def interactive(self, config: Any, secrets: Any) -> Any:
        """Nobody signs in here."""
        raise AssertionError("nobody signs in here")


OFFER = Offer(
    connectors={"oidc": PretendConnector()},
    grant_types=frozenset({"authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE}),
    presets={**PRESETS, "saml-only": Preset(title="Of another protocol")},
)
ENVIRON = {"OKTA_SECRET": "upstream-secret", "WRITER_SECRET": SECRET, "TICKETS_SECRET": SECRET + "-2"}

ACME = f"""
tenants:
  - slug: acme
    name: Acme
    settings: {{max_depth: 3, admin_role: admin}}
    connections:
      - slug: okta
        kind: oidc
        name: Okta
        config: {{issuer: "https://acme.okta.example", client_secret: {{env: OKTA_SECRET}}}}
        domains: [acme.example, acme.test]
    roles:
      - {{name: support, description: Answers tickets, scopes: ["tickets:read", "tickets:write"]}}
      - {{name: admin}}
    group_mappings:
      - {{connection: okta, kind: name, match: exact, pattern: Support, role: support}}
      - {{connection: okta, kind: name, match: prefix, pattern: IT-, role: admin}}
    resources:
      - identifier: {TICKETS}
        name: Tickets
        scopes:
          "tickets:read": {{description: Read your tickets, effect: read}}
          "tickets:write": {{description: Change your tickets, effect: change}}
        roles: [support]
        client: {{client_id: tickets-mcp, client_secret: {{env: TICKETS_SECRET}}}}
    agents:
      - slug: writer
        name: Writer
        owner: {{name: Olu, email: olu@acme.example}}
        scopes: ["tickets:read", "tickets:write"]
        roles: [support]
        resources: [{TICKETS}]
        delegable_to: [reader]
        expires_in_days: 90
        client:
          client_id: writer
          client_secret: {{env: WRITER_SECRET}}
          redirect_uris: ["https://writer.example/callback"]
          grant_types: [authorization_code, refresh_token]
          scopes: [openid, "tickets:read"]
      - slug: reader
        owner: {{name: Olu, email: olu@acme.example}}
        scopes: ["tickets:read"]
        resources: [{TICKETS}]
        expires_in_days: 30
    clients:
      - {{client_id: desktop, auth_method: none, application_type: native, scopes: [openid],
         grant_types: [authorization_code], redirect_uris: ["http://127.0.0.1:8000/cb"]}}
"""


class Applying:
    """Applies documents to a world and remembers for which tenants keys were wanted."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.new_tenants: list[str] = []

    def __call__(self, text: str, *, environ: Any = ENVIRON, **options: Any) -> list[str]:
        applied = apply_document(
            self.world.rt,
            parse_document(text),
            OFFER,
            self.world.ctx,
            on_new_tenant=lambda _session, tenant_id: self.new_tenants.append(tenant_id),
            actor=ActorRef("operator", "cli"),
            folder=self.folder,
            environ=environ,
            **options,
        )
        return [str(change) for one in applied for change in one.changes]


def count_rows(world: World, model: Any) -> int:
    """How many rows of all tenants there are."""
    with world.rt.database.unscoped() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def edited(text: str, change: Callable[[Any], object]) -> str:
    """The document after ``change(first tenant)``."""
    loaded = yaml.safe_load(text)
    change(loaded["tenants"][0])
    return yaml.safe_dump(loaded)


def put_into(*steps: Any, value: Any) -> Callable[[Any], None]:
    """A change that sets the value at the end of ``steps``."""

    def change(tenant: Any) -> None:
        target = tenant
        for step in steps[:-1]:
            target = target[step]
        target[steps[-1]] = value

    return change
