"""Writing one tenant's entry through the registries, in an order in which ids are known when needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.agents.declare.document import (
    AgentEntry,
    ClientEntry,
    ConnectionEntry,
    MappingEntry,
    ResourceEntry,
    TenantEntry,
    TrustEntry,
)
from broker.agents.declare.faults import Faults
from broker.agents.declare.references import Surroundings
from broker.agents.registry import save_agent, save_client, save_resource
from broker.agents.trusts.registry import Place, save_trust
from broker.directory.registry import save_mapping, save_role
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.tenants.models import Connection
from broker.tenants.registry import save_connection, save_domains
from broker.tenants.rows import Change
from broker.tenants.spelling import did_you_mean
from idp_connectors.base import Connector, secret_fields
from idp_connectors.presets.preset import Preset


@dataclass(frozen=True, slots=True)
class Offer:
    """What this broker can do: connectors by kind, grant types of its token endpoint, makes of provider."""

    connectors: Mapping[str, Connector]
    grant_types: frozenset[str]
    presets: Mapping[str, Preset]


class TenantWriter:
    """Writes the parts of one tenant's entry and keeps what changed."""

    def __init__(
        self,
        session: Session,
        rt: Runtime,
        tenant_id: str,
        offer: Offer,
        around: Surroundings,
        faults: Faults,
        now: int,
    ) -> None:
        self._session = session
        self._rt = rt
        self._tenant_id = tenant_id
        self._offer = offer
        self._around = around
        self._faults = faults
        self._now = now
        self._seen: set[tuple[str, str]] = set()
        self.changes: list[Change] = []

    def write(self, place: str, entry: TenantEntry) -> None:
        """Write everything of the entry; what cannot be written is noted with its place."""
        for index, connection in enumerate(entry.connections):
            with self._faults.at(f"{place}.connections[{index}]"):
                self._connection(connection)
        for index, resource in enumerate(entry.resources):
            self._resource(f"{place}.resources[{index}]", resource)
        for index, role in enumerate(entry.roles):
            with self._faults.at(f"{place}.roles[{index}]"):
                self._once("role", role.name)
                given = role.given("description", "scopes")
                self._note(save_role(self._session, self._tenant_id, role.name, given)[1])
        for index, mapping in enumerate(entry.group_mappings):
            with self._faults.at(f"{place}.group_mappings[{index}]"):
                self._mapping(mapping)
        for index, agent in enumerate(entry.agents):
            self._agent(f"{place}.agents[{index}]", agent)
        for index, client in enumerate(entry.clients):
            with self._faults.at(f"{place}.clients[{index}]"):
                self._client(client, {"agent_id": None, "resource_id": None})
        issuer = self._rt.settings.issuer(entry.slug)
        for index, trust in enumerate(entry.trusts):
            with self._faults.at(f"{place}.trusts[{index}]"):
                self._trust(trust, Place(self._tenant_id, issuer, self._now))

    def _connection(self, entry: ConnectionEntry) -> None:
        self._once("connection", entry.slug)
        given = entry.given("kind", "name", "preset", "config")
        stored = self._session.scalar(
            select(Connection.kind).where(
                Connection.tenant_id == self._tenant_id, Connection.slug == entry.slug
            )
        )
        kind = entry.kind or stored
        if kind is None:
            raise _refuse("kind: is needed")
        given["kind"] = kind
        if entry.preset:
            self._require_preset(entry.preset, kind)
        if "config" in given and kind in self._offer.connectors:
            secret_names = secret_fields(self._offer.connectors[kind].config_model)
            given["config"] = self._around.resolve_config(given["config"], secret_names)
        row, change = save_connection(
            self._session, self._rt, self._tenant_id, entry.slug, given, self._offer.connectors, self._now
        )
        self._note(change)
        if entry.domains is not None:
            self._note(save_domains(self._session, row, entry.domains), made=change)

    def _require_preset(self, preset: str, kind: str) -> None:
        known = self._offer.presets
        if preset not in known:
            raise _refuse(f"preset: there is no preset {preset!r}{did_you_mean(preset, known)}")
        if kind not in known[preset].sides:
            raise _refuse(f"preset: {preset!r} says nothing of connections of kind {kind!r}")

    def _resource(self, place: str, entry: ResourceEntry) -> None:
        with self._faults.at(place):
            self._once("resource", entry.identifier)
            given = entry.given("name", "scopes", "roles", "ttl_seconds", "max_depth", "options")
            row, change = save_resource(self._session, self._tenant_id, entry.identifier, given, self._now)
            self._note(change)
            if entry.client is not None:
                with self._faults.at(f"{place}.client"):
                    defaults = {"agent_id": None, "resource_id": row.id}
                    self._client(entry.client, defaults, name=row.name)

    def _mapping(self, entry: MappingEntry) -> None:
        rows = self._session.execute(
            select(Connection.slug, Connection.id).where(Connection.tenant_id == self._tenant_id)
        )
        connections = {row.slug: row.id for row in rows}
        if entry.connection not in connections:
            # Declared here and not written: that fault was told already.
            if ("connection", entry.connection) in self._seen:
                return
            hint = did_you_mean(entry.connection, connections)
            raise _refuse(f"connection: there is no connection {entry.connection!r}{hint}")
        _, change = save_mapping(
            self._session,
            self._tenant_id,
            connections[entry.connection],
            entry.kind,
            entry.match,
            entry.pattern,
            entry.role,
        )
        self._note(change)

    def _agent(self, place: str, entry: AgentEntry) -> None:
        with self._faults.at(place):
            self._once("agent", entry.slug)
            row, change = save_agent(
                self._session,
                self._tenant_id,
                entry.slug,
                self._agent_values(entry),
                self._now,
                defaults=self._agent_defaults(entry),
            )
            self._note(change)
            clients = {f"{place}.clients[{i}]": one for i, one in enumerate(entry.clients or [])}
            if entry.client is not None:
                clients[f"{place}.client"] = entry.client
            for where, client in clients.items():
                with self._faults.at(where):
                    self._client(client, {"agent_id": row.id, "resource_id": None}, name=row.name)

    def _agent_values(self, entry: AgentEntry) -> dict[str, Any]:
        given = entry.given(
            "name",
            "description",
            "scopes",
            "roles",
            "resources",
            "delegable_to",
            "ttl_seconds",
            "max_depth",
            "options",
            "expires_at",
        )
        if entry.owner is not None:
            given |= {"owner_name": entry.owner.name, "owner_email": entry.owner.email}
        return given

    def _agent_defaults(self, entry: AgentEntry) -> dict[str, Any]:
        # Only for a new agent: counted again with each application, the end would never come.
        days = entry.expires_in_days
        return {"expires_at": self._now + days * 86400} if days is not None else {}

    def _client(self, entry: ClientEntry, owner: Mapping[str, str | None], name: str = "") -> None:
        self._once("client", entry.client_id)
        given = entry.given(
            "name", "redirect_uris", "grant_types", "scopes", "application_type", "auth_method", "options"
        )
        given |= owner
        if entry.client_secret is not None:
            given["secret"] = self._around.resolve(entry.client_secret)
            given.setdefault("auth_method", "client_secret_basic")
        if entry.jwks is not None:
            given["jwks"] = self._around.resolve_jwks(entry.jwks)
            given.setdefault("auth_method", "private_key_jwt")
        _, change = save_client(
            self._session,
            self._rt,
            self._tenant_id,
            entry.client_id,
            given,
            self._offer.grant_types,
            self._now,
            defaults={"name": name} if name else {},
        )
        self._note(change)

    def _trust(self, entry: TrustEntry, where: Place) -> None:
        self._once("trust", entry.slug)
        given = entry.given("kind", "name", "config")
        jwks = given.get("config", {}).get("jwks")
        if jwks is not None:
            given["config"] |= {"jwks": self._around.resolve_jwks(jwks)}
        self._note(save_trust(self._session, where, entry.slug, given)[1])

    def _once(self, noun: str, name: str) -> None:
        if (noun, name) in self._seen:
            raise _refuse(f"the {noun} {name!r} is declared twice")
        self._seen.add((noun, name))

    def _note(self, change: Change | None, *, made: Change | None = None) -> None:
        # The domains of a connection that was just made are part of its making.
        if change is not None and (made is None or made.action != "create"):
            self.changes.append(change)


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_document", whose_move=WhoseMove.ADMIN)
