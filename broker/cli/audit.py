"""`broker audit verify`: recomputes every chain of events and names the first that was tampered with."""

import json
from typing import TYPE_CHECKING, Any

import click

from broker.cli.faults import FAILED

if TYPE_CHECKING:
    from broker.audit.verify import Report


@click.group()
def audit() -> None:
    """Verify the event log."""


@audit.command()
@click.option("--tenant", help="Only this tenant; without it, all of them.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def verify(tenant: str | None, as_json: bool) -> None:
    """Recompute the chained hashes and the signed checkpoints. Exits with 1 when a log is not whole.

    \b
    Examples:
      broker audit verify
      broker audit verify --tenant acme --json
    """
    from sqlalchemy import select

    from broker.audit.checkpoint import HmacSigner
    from broker.audit.verify import verify as verify_log
    from broker.cli.opening import named_tenant, opened_runtime
    from broker.tenants.models import Tenant

    reports: dict[str, Report] = {}
    with opened_runtime() as rt:
        if tenant is not None:
            wanted = [(named_tenant(rt, tenant).id, tenant)]
        else:
            with rt.database.unscoped() as session:
                rows = session.execute(select(Tenant.id, Tenant.slug).order_by(Tenant.slug))
                wanted = [(row.id, row.slug) for row in rows]
        signer = HmacSigner(rt.sealer)
        for tenant_id, slug in wanted:
            with rt.database.core_read() as connection:
                reports[slug] = verify_log(connection, tenant_id, signer=signer)
    if as_json:
        click.echo(json.dumps([_plain(slug, report) for slug, report in reports.items()], indent=2))
    else:
        for slug, report in reports.items():
            click.echo(_line(slug, report))
    if not all(report.ok for report in reports.values()):
        raise SystemExit(FAILED)


def _line(slug: str, report: "Report") -> str:
    if report.fault is not None:
        chain = f"chain {report.fault.writer}" if report.fault.writer else "checkpoints"
        return f"{slug}: NOT WHOLE, {report.fault.kind.value} at {chain}, number {report.fault.seq}"
    steps = f", {len(report.clock_steps)} times the clock went back" if report.clock_steps else ""
    return (
        f"{slug}: whole, {report.events} events in {report.writers} chains, "
        f"{report.checkpoints} checkpoints{steps}"
    )


def _plain(slug: str, report: "Report") -> dict[str, Any]:
    fault = report.fault
    return {
        "tenant": slug,
        "ok": report.ok,
        "fault": {"kind": fault.kind.value, "writer": fault.writer, "seq": fault.seq} if fault else None,
        "events": report.events,
        "writers": report.writers,
        "checkpoints": report.checkpoints,
        "clock_steps": [{"writer": writer, "seq": seq} for writer, seq in report.clock_steps],
    }
