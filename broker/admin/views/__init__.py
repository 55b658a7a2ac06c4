"""The pages of the administration, one module per kind of thing; importing this registers all of them."""

from broker.admin.views import (
    agents,
    audit_log,
    clients,
    connection_documents,
    connection_editing,
    connection_tests,
    connection_wizard,
    connections,
    directory_sync,
    entry,
    joining,
    overview,
    people,
    provisioning,
    resources,
    role_preview,
    roles,
)
from broker.admin.views.gate import blueprint

__all__ = [
    "agents",
    "audit_log",
    "blueprint",
    "clients",
    "connection_documents",
    "connection_editing",
    "connection_tests",
    "connection_wizard",
    "connections",
    "directory_sync",
    "entry",
    "joining",
    "overview",
    "people",
    "provisioning",
    "resources",
    "role_preview",
    "roles",
]
