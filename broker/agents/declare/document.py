"""The shape of a document. Unknown keys are errors that name the key which was probably meant."""

from collections.abc import Hashable
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from broker.agents.declare.faults import DocumentRefused, place_of
from broker.tenants.spelling import unknown_key

MAX_BYTES = 2_000_000
WRITE_A_REFERENCE = "write {env: NAME} or {file: PATH}, so that the document holds no secret"

Seconds = Annotated[int, Field(strict=True)]


class Declared(BaseModel):
    """An object of the document; fields that were not given stay as they are stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, given: Any) -> Any:
        if isinstance(given, dict):
            unknown = [key for key in given if key not in cls.model_fields]
            if unknown:
                raise ValueError("; ".join(unknown_key(key, cls.model_fields) for key in unknown))
        return given

    def given(self, *names: str) -> dict[str, Any]:
        """Return those of the fields that the document gives, as plain values."""
        plain = self.model_dump(include=set(names) & self.model_fields_set)
        return {name: value for name, value in plain.items() if value is not None}


class Reference(Declared):
    """A value that stands outside of the document: ``{env: NAME}`` or ``{file: PATH}``."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Reference":
        if (self.env is None) == (self.file is None):
            raise ValueError("write {env: NAME} or {file: PATH}")
        return self


class ConnectionEntry(Declared):
    """An identity provider; ``config`` is what the connector of its kind asks for, ``preset`` its make."""

    slug: str
    kind: str | None = None
    name: str | None = None
    preset: str | None = None
    config: dict[str, Any] | None = None
    domains: list[str] | None = None


class RoleEntry(Declared):
    """A named set of scopes."""

    name: str
    description: str | None = None
    scopes: list[str] | None = None


class MappingEntry(Declared):
    """A rule that gives a role to the members of groups."""

    connection: str
    kind: str
    match: str = "exact"
    pattern: str
    role: str


class ScopeEntry(Declared):
    """One permission of a resource, in words, and how much harm it can do."""

    description: str
    effect: str


class ClientEntry(Declared):
    """OAuth software; its secret is never written in the document itself."""

    client_id: str
    name: str | None = None
    auth_method: str | None = None
    client_secret: Reference | None = None
    jwks: dict[str, Any] | None = None
    redirect_uris: list[str] | None = None
    grant_types: list[str] | None = None
    scopes: list[str] | None = None
    application_type: str | None = None
    options: dict[str, Any] | None = None


class ResourceEntry(Declared):
    """An MCP server or API, with the client that it introspects with."""

    identifier: str
    name: str | None = None
    scopes: dict[str, ScopeEntry] | None = None
    roles: list[str] | None = None
    ttl_seconds: Seconds | None = None
    max_depth: Seconds | None = None
    options: dict[str, Any] | None = None
    client: ClientEntry | None = None


class OwnerEntry(Declared):
    """Who answers for an agent."""

    name: str
    email: str


class AgentEntry(Declared):
    """A non-human actor; ``expires_in_days`` counts from the day it is first applied."""

    slug: str
    name: str | None = None
    description: str | None = None
    owner: OwnerEntry | None = None
    scopes: list[str] | None = None
    roles: list[str] | None = None
    resources: list[str] | None = None
    delegable_to: list[str] | None = None
    ttl_seconds: Seconds | None = None
    max_depth: Seconds | None = None
    options: dict[str, Any] | None = None
    expires_at: Seconds | None = None
    expires_in_days: Annotated[int, Field(strict=True, ge=1, le=730)] | None = None
    client: ClientEntry | None = None
    clients: list[ClientEntry] | None = None

    @model_validator(mode="after")
    def _one_spelling(self) -> "AgentEntry":
        if self.client is not None and self.clients is not None:
            raise ValueError("give client or clients, not both")
        if self.expires_at is not None and self.expires_in_days is not None:
            raise ValueError("give expires_at or expires_in_days, not both")
        return self


class TrustEntry(Declared):
    """Somebody outside whom the tenant deals with; ``config`` is what its kind asks for."""

    slug: str
    kind: str | None = None
    name: str | None = None
    config: dict[str, Any] | None = None


class TenantEntry(Declared):
    """A tenant and everything in it."""

    slug: str
    name: str | None = None
    settings: dict[str, Any] | None = None
    connections: list[ConnectionEntry] = []
    roles: list[RoleEntry] = []
    group_mappings: list[MappingEntry] = []
    resources: list[ResourceEntry] = []
    agents: list[AgentEntry] = []
    clients: list[ClientEntry] = []
    trusts: list[TrustEntry] = []


class Document(Declared):
    """The whole document."""

    tenants: list[TenantEntry]


def parse_document(text: str) -> Document:
    """Return the document; raises ``DocumentRefused`` with every fault of its shape and their places."""
    if len(text) > MAX_BYTES:
        raise DocumentRefused(["the document is larger than any honest one"])
    try:
        loaded = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506, TID251 (a SafeLoader, only stricter)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the document"
        raise DocumentRefused([f"{where}: {fault.problem}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise DocumentRefused(["the document is not YAML"]) from None
    if not isinstance(loaded, dict):
        raise DocumentRefused(["the document needs a list `tenants`"])
    try:
        return Document.model_validate(loaded)
    except ValidationError as fault:
        raise DocumentRefused([_sentence(one) for one in fault.errors(include_url=False)]) from None


def _sentence(fault: Any) -> str:
    why = str(fault["msg"]).removeprefix("Value error, ")
    place = place_of(fault["loc"])
    if place.endswith(".client_secret") and fault["type"] == "model_type":
        why = WRITE_A_REFERENCE
    return f"{place}: {why}" if place else why


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice; plain YAML would let the last one win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
