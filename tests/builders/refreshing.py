"""A tenant whose people sign in at Entra and whose groups Microsoft Graph tells, between sign-ins too."""

from dataclasses import replace
from typing import Any

from sqlalchemy import select

from broker.audit.models import AuditRecord
from broker.directory.group_facts import AskAgain
from broker.directory.models import GroupSnapshot
from broker.directory.roles import LiveRoles, live_roles
from broker.directory.sign_in import bind_identity
from broker.federation.group_refresh import refresh_groups
from broker.kernel.ids import new_id
from broker.tokens.models import Grant
from idp_connectors.base import Group
from idp_connectors.registry import CONNECTORS
from tests.builders.graph import ISSUER, TENANT, MicrosoftCloud, group_id
from tests.builders.oidc_op import CLIENT_ID, CLIENT_SECRET
from tests.builders.world import World, identity

HOUR = 3600
ENTRA = {
    "issuer": ISSUER,
    "client_id": CLIENT_ID,
    "client_auth": "client_secret_post",
    "subject": "oid+tid",
    "group_kind": "id",
    "group_lookup": "entra_graph",
    "group_refresh_minutes": 60,
}


def object_id(number: int) -> str:
    """Return the object id of a person."""
    return f"aaaaaaaa-0000-0000-0000-{number:012d}"


class Refreshing:
    """The tenant, its cloud, and what a run of the job does there; group 1 gives the role ``support``."""

    def __init__(self, world: World, **config: Any) -> None:
        self.world = world
        self.cloud = MicrosoftCloud()
        self.rt = replace(world.rt, egress=self.cloud)  # type: ignore[arg-type]
        self.tenant = world.tenant()
        self.entra = world.connection(
            self.tenant, "entra", config={**ENTRA, **config}, secrets={"client_secret": CLIENT_SECRET}
        )
        world.role(self.tenant, "support", ["tickets:read"])
        world.mapping(self.tenant, self.entra, group_id(1), "support", kind="id")

    def person(self, number: int = 1, groups: tuple[int, ...] = (1,), *, is_acted_for: bool = True) -> str:
        """The id of a person who signs in now with these groups, which Graph knows as well."""
        self.cloud.graph.members[object_id(number)] = list(groups)
        key = f"{TENANT}/{object_id(number)}"
        told = identity(
            key, issuer=ISSUER, subject_kind="oid+tid", groups=[Group("id", group_id(one)) for one in groups]
        )
        with self.world.rt.database.core_write() as core:
            tenant = self.world.again(self.tenant)
            user_id = bind_identity(
                core, tenant, self.entra, told, self.world.now, again=AskAgain(key, HOUR)
            ).user_id
        if is_acted_for:
            self.world.add(self.tenant, self._grant(user_id))
        return user_id

    def _grant(self, user_id: str) -> Grant:
        now = self.world.now
        return Grant(
            id=new_id("grt"),
            user_id=user_id,
            client_id="cli_a",
            agent_id="agt_a",
            resources=[],
            scopes=[],
            created_at=now,
            expires_at=now + 30 * 86_400,
        )

    def run(self, **given: Any) -> dict[str, int]:
        """One run of the job."""
        return refresh_groups(given.pop("rt", self.rt), CONNECTORS, **given)

    def asked(self) -> int:
        """How many requests Graph itself got so far."""
        return len(self.cloud.graph.api_requests())

    def roles(self, user_id: str) -> LiveRoles:
        """The person's roles now."""
        with self.rt.database.core_read() as core:
            return live_roles(core, self.rt, self.tenant.id, user_id, self.world.now)

    def stored(self, user_id: str) -> GroupSnapshot:
        """What is stored of the person's groups."""
        with self.rt.database.read(self.tenant.id) as session:
            return session.scalars(select(GroupSnapshot).where(GroupSnapshot.user_id == user_id)).one()

    def events(self) -> list[dict[str, Any]]:
        """What the event log says of changed groups."""
        with self.rt.database.read(self.tenant.id) as session:
            rows = session.scalars(select(AuditRecord).where(AuditRecord.event == "groups.changed"))
            return [dict(row.data or {}) for row in rows]
