"""Tenant first: every table holds one tenant's rows, and every hot statement says whose."""

import importlib

from sqlalchemy import Table

from tests.builders.source_tree import files_with, module_name

# A table without a tenant, and the reason why it cannot have one.
WITHOUT_TENANT = {
    "tenants": "a row is the tenant",
    "alembic_version": "the schema's own version",
    "setup_links": "the first link is made before there is a tenant",
    "leases": "jobs of the process, such as the expiry sweeper, run once for all tenants",
}


def mapped_tables() -> dict[str, Table]:
    """Import every models module and return all tables that are declared with SQLAlchemy."""
    models = [
        module_name(path)
        for path in files_with(".py", under=("broker",))
        if path.stem == "models" or "models" in path.parts or path.parent.name == "kernel"
    ]
    for name in models:
        importlib.import_module(name)
    base = importlib.import_module("broker.kernel.database").Base
    return dict(base.metadata.tables)


def test_every_table_has_a_tenant():
    tables = mapped_tables()
    assert tables, "no table is declared"
    without = {name for name, table in tables.items() if "tenant_id" not in table.columns}
    assert without - WITHOUT_TENANT.keys() == set()


def test_no_tenant_column_may_be_empty():
    nullable = {
        name
        for name, table in mapped_tables().items()
        if getattr(table.columns.get("tenant_id"), "nullable", False)
    }
    assert nullable == set()


def test_every_unique_rule_is_a_rule_within_a_tenant():
    # Without this: one tenant's choice of a name would be refused because of another tenant's rows,
    # and would tell that those rows exist. Primary keys and hashes of random secrets are unique anyway.
    wide = [
        f"{name}: {constraint.name or [column.name for column in constraint.columns]}"
        for name, table in mapped_tables().items()
        if name not in WITHOUT_TENANT
        for constraint in (*table.constraints, *(index for index in table.indexes if index.unique))
        if type(constraint).__name__ in {"UniqueConstraint", "Index"}
        and not any(
            column.name == "tenant_id" or column.name.endswith("_hash") for column in constraint.columns
        )
    ]
    assert wide == []
