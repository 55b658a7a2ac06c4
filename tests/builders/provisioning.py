"""An identity provider that pushes people and groups into a tenant, as plain requests."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import select

from broker.audit.log import ActorRef
from broker.audit.models import AuditRecord
from broker.kernel.plain import PlainReply, PlainRequest
from broker.scim.access import SCOPES, issue_token
from broker.scim.serving import answer
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from tests.builders.world import World

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
OPERATOR = ActorRef("operator", "test")


@dataclass
class Pushed:
    """An answer to a push."""

    reply: PlainReply

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.reply.body) if self.reply.body else {}

    @property
    def id(self) -> str:
        return str(self.json["id"])

    @property
    def scim_type(self) -> str:
        return str(self.json.get("scimType", ""))

    @property
    def names(self) -> list[str]:
        """The user or display names of a list."""
        return [one.get("userName") or one.get("displayName") for one in self.json["Resources"]]

    def header(self, name: str) -> str:
        return dict(self.reply.headers).get(name, "")


class Provider:
    """One connection's provisioning, with a token of its own."""

    def __init__(
        self, world: World, tenant: TenantSnapshot, connection: ConnectionView, **token: Any
    ) -> None:
        self.world = world
        self.rt = world.rt
        self.tenant = tenant
        self.connection = connection
        with self.rt.database.write(tenant.id) as session:
            given = {"name": "test", "days": 30, "scopes": SCOPES, **token}
            self.token = issue_token(
                session, self.rt, world.ctx, world.again(tenant), connection, OPERATOR, **given
            )
        self.secret = self.token.secret

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        slug: str | None = None,
        token: str | None = None,
        raw: bytes | None = None,
        **headers: str,
    ) -> Pushed:
        """Send a request; ``body`` becomes JSON, header names are written with underscores."""
        sent = {"authorization": f"Bearer {self.secret if token is None else token}"}
        if body is not None or raw is not None:
            sent["content-type"] = "application/scim+json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        path, _, query = path.partition("?")
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        request = PlainRequest(method, f"/{path}", query, sent, content, self.world.ctx)
        return Pushed(answer(self.rt, slug or self.tenant.slug, path, request))

    def get(self, path: str, **headers: str) -> Pushed:
        """Read."""
        return self.call("GET", path, **headers)

    def find(self, kind: str, scim_filter: str, rest: str = "") -> Pushed:
        """Search with a filter."""
        return self.get(f"{kind}?filter={quote(scim_filter)}{rest}")

    def user(self, user_name: str, **attributes: Any) -> Pushed:
        """Push a new person."""
        body = {"schemas": [USER], "userName": user_name, "active": True, **attributes}
        return self.call("POST", "Users", body)

    def group(self, display_name: str, *members: str, **attributes: Any) -> Pushed:
        """Push a new group."""
        body = {"schemas": [GROUP], "displayName": display_name, **attributes}
        if members:
            body["members"] = [{"value": one} for one in members]
        return self.call("POST", "Groups", body)

    def patch(self, path: str, *operations: Any, **headers: str) -> Pushed:
        """Change with PATCH operations."""
        return self.call("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, **headers)

    def events(self, name: str) -> list[AuditRecord]:
        """The tenant's events of one kind."""
        with self.rt.database.read(self.tenant.id) as session:
            rows = select(AuditRecord).where(AuditRecord.event == name).order_by(AuditRecord.seq)
            return list(session.scalars(rows))
