"""What a view may ask about the request at hand: runtime, tenant, call context."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from flask import Flask, current_app, g, request

from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot, find_tenant, require_tenant
from broker.web.callers import read_context
from idp_connectors.base import AskedProof, Connector
from idp_connectors.presets.preset import Preset

_EXTENSION = "broker"


class WaitingRequests(Protocol):
    """What sign-in pages may know and do about the request that waits behind them."""

    def agent_name(self, rt: Runtime, tenant: TenantSnapshot, handle: str, secret: str | None) -> str:
        """Return the name of the agent that waits, or an empty string if nothing of this browser waits."""
        ...

    def wanted_proof(
        self, rt: Runtime, tenant: TenantSnapshot, handle: str, secret: str | None
    ) -> AskedProof:
        """Return what the waiting request wants its sign-in to prove; nothing if nothing waits."""
        ...

    def release(
        self, rt: Runtime, tenant: TenantSnapshot, handle: str, secret: str | None, session_id: str
    ) -> bool:
        """Let somebody else answer the request that ``session_id`` was bound to; False if it was not."""
        ...


@dataclass(frozen=True, slots=True)
class Shell:
    """What the composition root hands to the views of one application."""

    rt: Runtime
    connectors: Mapping[str, Connector]
    waiting: WaitingRequests
    presets: Mapping[str, Preset]


def install_shell(app: Flask, shell: Shell) -> None:
    """Make ``shell`` the one that the views of ``app`` use."""
    app.extensions[_EXTENSION] = shell


def shell_of(app: Flask) -> Shell:
    """Return the shell of ``app``; for the composition root and tests."""
    return cast(Shell, app.extensions[_EXTENSION])


def runtime() -> Runtime:
    """Return the runtime of the application that answers this request."""
    return shell_of(current_app).rt


def connectors() -> Mapping[str, Connector]:
    """Return the connectors by kind."""
    return shell_of(current_app).connectors


def presets() -> Mapping[str, Preset]:
    """Return what is known of each make of identity provider, by name, in the order of offering."""
    return shell_of(current_app).presets


def waiting_requests() -> WaitingRequests:
    """Return the requests that wait for a sign-in."""
    return shell_of(current_app).waiting


def tenant() -> TenantSnapshot:
    """Return the active tenant that the URL names; raises ``Refusal(not_found)``."""
    if "tenant" not in g:
        g.tenant = require_tenant(runtime(), tenant_slug())
    return cast(TenantSnapshot, g.tenant)


def shown_tenant() -> TenantSnapshot | None:
    """Return the tenant whose name a page may show, or None where the URL names none that is active."""
    if "tenant" not in g:
        found = find_tenant(runtime(), tenant_slug())
        if found is None or not found.is_active:
            return None
        g.tenant = found
    return cast(TenantSnapshot, g.tenant)


def tenant_slug() -> str:
    """Return the tenant's name as the path spells it, or an empty string; nothing is looked up."""
    return slug_in(request.path)


def slug_in(path: str) -> str:
    """Return the segment after ``/t/`` of a request path, or an empty string."""
    head, _, rest = path.partition("/t/")
    return "" if head else rest.partition("/")[0]


def call_context() -> CallContext:
    """Return the context of this request, the same one however often it is asked."""
    if "call_context" not in g:
        g.call_context = read_context(request.environ, runtime())
    return cast(CallContext, g.call_context)
