"""The protocol's core with this house's rules: scopes, limits, what a PUT keeps, large groups."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json
from scim2_models import (
    Context,
    ForbiddenException,
    InvalidFilterException,
    InvalidSyntaxException,
    PatchOp,
    Reference,
    Resource,
    ResourceType,
    SearchRequest,
)
from scim2_server.conditions import Conditions
from scim2_server.handler import ScimHandler
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse
from scim2_server.routing import Operation, Target
from scim2_server.service import ScimService, scim_exception_of
from scim2_server.storage import SearchPage

from broker.scim.access import READ, WRITE
from broker.scim.dialects import check_media_type, plain_patch
from broker.scim.members import split_patch
from broker.scim.resources import PROVIDER
from broker.scim.searching import check_filter
from broker.scim.storage import SqlStorage

_READING = frozenset({Operation.query, Operation.search, Operation.search_with_body})


class BrokerScimService(ScimService):
    """Validates and applies requests; the subject of a request is the token that it came with."""

    def authorize(self, request: ScimRequest, target: Target, resource_type: ResourceType) -> None:
        """Refuse an operation that the token's scopes do not cover (C02)."""
        needed = READ if target.operation in _READING else WRITE
        if needed not in request.subject.scopes:
            raise ForbiddenException(detail=f"This token lacks the scope {needed}.")

    @staticmethod
    def ensure_json(content_type: str | None) -> None:
        """Refuse a body that is not JSON; Okta also says ``text/json``."""
        check_media_type(content_type)

    def read_search(self, resource_types: list[ResourceType], payload: Any) -> tuple[SearchRequest[Any], Any]:
        """Read a search whose filter is of an honest size."""
        if isinstance(payload, Mapping):
            for name, value in payload.items():
                if name.lower() == "filter" and isinstance(value, str):
                    check_filter(value)
        try:
            return super().read_search(resource_types, payload)
        except RecursionError:
            raise InvalidFilterException(detail="the filter is too deep") from None

    def read_patch(
        self, resource_type: ResourceType, body: bytes, content_type: str | None
    ) -> "PatchOp[Any]":
        """Read a PATCH in Entra's, Okta's or the standard's spelling."""
        self.ensure_patch_supported()
        self.ensure_json(content_type)
        try:
            payload = from_json(body)
        except ValueError:
            raise InvalidSyntaxException(detail="the body is not JSON") from None
        model = self.get_model(resource_type)
        patch_model: Any = PatchOp.__class_getitem__(model)
        try:
            read: PatchOp[Any] = patch_model.model_validate(
                plain_patch(model, payload), scim_ctx=Context.RESOURCE_PATCH_REQUEST
            )
        except ValidationError as fault:
            raise scim_exception_of(fault) from fault
        return read

    def publish(self, base_url: str, resource: Resource[Any]) -> Resource[Any]:
        """Return the resource with its addresses as the client sees them; what the storage made is its own.

        The core would copy the whole of it and look for references everywhere; here are two, and known.
        """
        if resource.meta is not None:
            location = self.resource_location(base_url, self.get_resource_type_of(resource), str(resource.id))
            resource.meta.location = Reference(location)
        for entry in getattr(resource, "groups", None) or getattr(resource, "members", None) or ():
            if entry.ref is not None:
                entry.ref = Reference(self.reference_location(base_url, entry.ref))
        return resource

    def search_response(
        self,
        base_url: str,
        resource_types: list[ResourceType],
        page: SearchPage,
        search_request: SearchRequest[Any],
    ) -> ScimResponse:
        """Return a page as a list, each resource written once."""
        written = [
            self.publish(base_url, resource).model_dump(
                scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=search_request
            )
            for resource in page.resources
        ]
        document = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": page.total,
            "startIndex": search_request.start_index,
            "itemsPerPage": len(written),
            "Resources": written,
        }
        return ScimResponse(HTTPStatus.OK, document)

    def apply_replacement(
        self, current: Resource[Any], replacement: Resource[Any], conditions: Conditions
    ) -> Resource[Any] | None:
        """Apply a PUT; it keeps ``active`` and ``externalId`` where it does not name them.

        Okta replaces whole people and leaves them out. Without this: each of its updates would switch a
        suspended person on again, or forget who they are.
        """
        for name in ("active", "external_id"):
            if hasattr(current, name) and getattr(replacement, name) is None:
                setattr(replacement, name, getattr(current, name))
        return super().apply_replacement(current, replacement, conditions)


class BrokerScimHandler(ScimHandler):
    """Serves one request on one desk's storage; ``asks_for_body``: a PATCH is to answer with the resource."""

    storage: SqlStorage

    def __init__(self, service: ScimService, storage: SqlStorage, *, asks_for_body: bool) -> None:
        super().__init__(service, storage)
        self.asks_for_body = asks_for_body

    def patch_resource(
        self, resource_type: ResourceType, resource_id: str, patch_op: "PatchOp[Any]", conditions: Conditions
    ) -> Resource[Any]:
        """Apply a PATCH; a group's members change row by row, however many there are."""
        split = split_patch(patch_op.operations or ()) if resource_type.name == "Group" else None
        if split is None or not split.changes:
            return super().patch_resource(resource_type, resource_id, patch_op, conditions)
        group = self.storage.get_without_members(resource_type, resource_id)
        version = group.meta.version if group.meta else None
        self.service.check_preconditions(group, "PATCH", conditions)
        if split.rest:
            patch_op.model_copy(update={"operations": list(split.rest)}).patch(group)
        stored = self.storage.update_group(resource_type, group, split.changes, expected_version=version)
        return self.storage.get(resource_type, resource_id) if self.asks_for_body else stored


SERVICE = BrokerScimService(PROVIDER)
"""One for the process: it holds the description of the service and nothing of a tenant."""
