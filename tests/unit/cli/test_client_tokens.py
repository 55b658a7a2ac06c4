"""`broker client token`: made once, listed without its secret, ended."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from broker.audit.models import AuditRecord
from broker.cli import main
from broker.cli.opening import opened_runtime


@pytest.fixture
def applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker with one tenant, set up by the environment."""
    monkeypatch.setenv("BROKER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BROKER_PROFILE", "development")
    declaration = tmp_path / "acme.yaml"
    declaration.write_text("tenants: [{slug: acme, name: Acme}]")
    assert run("apply", str(declaration)).exit_code == 0


def run(*arguments: str) -> Result:
    """Run the command as an operator does."""
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.mark.usefixtures("applied")
def test_a_token_is_printed_once_and_ended() -> None:
    made = run("client", "token", "acme", "--name", "Build server", "--uses", "3")
    secret = made.stdout.strip()
    assert secret.startswith("brk_iat_")
    assert "/t/acme/register" in made.stderr
    listed = run("client", "token", "acme", "--list").stdout
    assert secret not in listed
    assert "Build server" in listed
    assert "3 left" in listed
    token_id = listed.split()[0]
    assert run("client", "token", "acme", "--revoke", token_id).stdout.strip() == f"{token_id} ended"
    assert "had ended before" in run("client", "token", "acme", "--revoke", token_id).stdout
    with opened_runtime() as rt, rt.database.unscoped() as session:
        wanted = AuditRecord.event.startswith("registration.")
        events = list(session.scalars(select(AuditRecord.event).where(wanted).order_by(AuditRecord.seq)))
    assert events == ["registration.token_created", "registration.token_revoked"]


@pytest.mark.usefixtures("applied")
def test_what_does_not_fit_is_one_line_and_no_token() -> None:
    for arguments in (
        ("acme", "--days", "900"),
        ("acme", "--uses", "0"),
        ("globex",),
        ("acme", "--revoke", "iat_none"),
    ):
        refused = run("client", "token", *arguments)
        assert refused.exit_code != 0
        assert refused.stdout == ""
    assert run("client", "token", "acme", "--list").stdout == ""
