"""The `broker` command as an operator uses it: output, exit codes, one-line errors, secrets kept back."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from broker.audit.models import AuditRecord
from broker.cli import main
from broker.cli.opening import opened_runtime
from broker.cli.serve import prepare
from broker.kernel.runtime import Runtime
from broker.tenants.models import Tenant
from broker.tenants.snapshot import find_tenant
from broker.tokens.keys import public_jwks
from broker.tokens.links import spend_link
from tests.builders.world import SECRET, TICKETS

DECLARATION = f"""
tenants:
  - slug: acme
    name: Acme
    connections:
      - slug: okta
        kind: oidc
        config:
          issuer: https://acme.okta.example
          client_id: broker
          client_secret: {{file: okta.secret}}
    resources:
      - identifier: {TICKETS}
        scopes: {{"tickets:read": {{description: Read your tickets, effect: read}}}}
    agents:
      - slug: writer
        owner: {{name: Olu, email: olu@acme.example}}
        scopes: ["tickets:read"]
        resources: [{TICKETS}]
        expires_in_days: 90
        client: {{client_id: writer, client_secret: {{env: WRITER_SECRET}}, scopes: ["tickets:read"],
                  grant_types: [client_credentials]}}
"""


class Shell:
    """Runs commands with one configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            "BROKER_DATA_DIR": str(folder / "data"),
            "BROKER_PROFILE": "development",
            "WRITER_SECRET": SECRET,
        }

    def __call__(self, *arguments: str, stdin: str | None = None, **environ: str) -> Result:
        return CliRunner().invoke(
            main, list(arguments), env={**self.environ, **environ}, input=stdin, catch_exceptions=False
        )

    def write(self, name: str, text: str) -> str:
        """Put a file beside the data and return its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(tmp_path)
    for name, value in shell.environ.items():
        monkeypatch.setenv(name, value)
    shell.write("okta.secret", "upstream-secret\n")
    return shell


def events(rt: Runtime) -> list[str]:
    with rt.database.unscoped() as session:
        return list(session.scalars(select(AuditRecord.event).order_by(AuditRecord.at, AuditRecord.seq)))


def test_help_names_every_command(shell: Shell):
    result = shell("--help")
    assert result.exit_code == 0
    for name in ("serve", "demo", "apply", "admin-link", "audit", "config", "db", "key"):
        assert f"\n  {name} " in result.output
        assert shell(name, "--help").exit_code == 0


@pytest.mark.parametrize("arguments", [("aply",), ("--colour",), ("key", "rotate"), ("apply",)])
def test_wrong_usage_exits_with_2(shell: Shell, arguments: tuple[str, ...]):
    result = shell(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    if arguments == ("aply",):
        assert "did you mean 'apply'?" in result.stderr


def test_applying_twice_changes_nothing(shell: Shell):
    file = shell.write("acme.yaml", DECLARATION)
    first = shell("apply", file)
    assert (first.exit_code, first.stderr) == (0, "")
    assert "acme: + agent writer" in first.stdout.splitlines()
    assert first.stdout.splitlines()[-1] == "5 changes"
    second = shell("apply", file)
    assert (second.exit_code, second.stdout) == (0, "0 changes\n")
    with opened_runtime() as rt:
        acme = find_tenant(rt, "acme")
        assert acme is not None
        assert len(public_jwks(rt, acme.id)["keys"]) == 2


def test_a_dry_run_writes_nothing(shell: Shell):
    file = shell.write("acme.yaml", DECLARATION)
    planned = json.loads(shell("apply", file, "--dry-run", "--json").stdout)
    assert (planned["dry_run"], len(planned["changes"])) == (True, 5)
    assert planned["changes"][0] == {
        "tenant": "acme",
        "action": "create",
        "noun": "tenant",
        "name": "acme",
        "fields": [],
    }
    assert json.loads(shell("apply", file, "--json").stdout) == {**planned, "dry_run": False}


def test_every_fault_of_a_file_is_one_line(shell: Shell):
    broken = DECLARATION.replace("scopes: [", "scops: [").replace("kind: oidc", "kynd: oidc")
    result = shell("apply", shell.write("acme.yaml", broken))
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[0] == "error: tenants[0].connections[0]: unknown key 'kynd'; did you mean 'kind'?"
    assert all(line.startswith("error: tenants[0]") for line in lines)
    assert len(lines) == 2
    assert shell("apply", shell.write("acme.yaml", DECLARATION)).exit_code == 0


def test_a_declaration_may_come_from_the_standard_input(shell: Shell):
    result = shell("apply", "-", stdin="tenants: [{slug: acme}]")
    assert result.stdout == "acme: + tenant acme\n1 change\n"


def test_a_file_that_cannot_be_read_is_one_line(shell: Shell):
    result = shell("apply", "/nonexistent.yaml")
    assert result.exit_code == 1
    assert result.stderr == "error: /nonexistent.yaml cannot be read: No such file or directory\n"


def test_an_admin_link_works_once_and_is_in_the_log(shell: Shell):
    shell("apply", shell.write("acme.yaml", DECLARATION))
    result = shell("admin-link", "acme")
    assert result.exit_code == 0
    address, _, code = result.stdout.strip().partition("?code=")
    assert address == "http://127.0.0.1:8080/t/acme/admin/setup"
    with opened_runtime() as rt:
        acme = find_tenant(rt, "acme")
        assert acme is not None
        assert "admin.link_made" in events(rt)
        with rt.database.core_write() as connection:
            spent = [
                spend_link(connection, tenant_id=acme.id, purpose="setup", code=code, now=rt.clock.now())
                for _ in range(2)
            ]
    assert spent == [True, False]


def test_a_link_is_refused_for_an_unknown_and_for_a_disabled_tenant(shell: Shell):
    shell("apply", "-", stdin="tenants: [{slug: acme}]")
    unknown = shell("admin-link", "globex")
    assert (unknown.exit_code, unknown.stderr) == (3, "error: there is no tenant 'globex'\n")
    with opened_runtime() as rt, rt.database.unscoped(write=True) as session:
        session.execute(update(Tenant).values(state="disabled"))
    disabled = shell("admin-link", "acme")
    assert (disabled.exit_code, disabled.stdout) == (4, "")


def test_a_first_start_makes_a_tenant_and_a_link_until_an_administrator_came(
    shell: Shell, capsys: pytest.CaptureFixture[str]
):
    prepare()
    first = capsys.readouterr().err
    assert "Made the tenant 'default'" in first
    assert "/t/default/admin/setup?code=" in first
    prepare()
    second = capsys.readouterr().err
    assert "Made the tenant" not in second
    assert second.count("/admin/setup?code=") == 1
    with opened_runtime() as rt:
        default = find_tenant(rt, "default")
        assert default is not None
        assert len(public_jwks(rt, default.id)["keys"]) == 2
        note_admin(rt, default.id)
    prepare()
    assert capsys.readouterr().err == ""


def note_admin(rt: Runtime, tenant_id: str) -> None:
    from broker.audit.events import AuditEvent
    from broker.audit.log import ActorRef, record
    from broker.cli.opening import operator_context

    with rt.database.core_write() as connection:
        record(
            connection,
            operator_context(rt),
            tenant_id=tenant_id,
            event=AuditEvent.ADMIN_SIGNED_IN,
            writer_id=rt.writer_id,
            actor=ActorRef("admin", "adm_1"),
        )


def test_rotating_a_key_publishes_the_new_one_beside_the_old_one(shell: Shell):
    shell("apply", "-", stdin="tenants: [{slug: acme}]")
    result = shell("key", "rotate", "acme", "--use", "access")
    assert result.exit_code == 0
    use, kid = result.stdout.split()
    assert use == "access"
    with opened_runtime() as rt:
        acme = find_tenant(rt, "acme")
        assert acme is not None
        kids = [key["kid"] for key in public_jwks(rt, acme.id)["keys"]]
        assert kid in kids
        assert len(kids) == 3
        assert "key.created" in events(rt)
        assert "key.rotated" not in events(rt)
    assert shell("key", "rotate", "globex").exit_code == 3


def test_keys_are_listed_used_at_once_and_revoked(shell: Shell):
    shell("apply", "-", stdin="tenants: [{slug: acme, settings: {id_token_algorithms: [ES256, RS256]}}]")
    states = [line.split()[0:4:3] for line in shell("key", "list", "acme").stdout.splitlines()]
    assert states == [["access", "active"], ["id", "active"], ["id", "active"]]
    made = shell("key", "rotate", "acme", "--use", "access", "--algorithm", "EdDSA", "--now").stdout.split()[
        1
    ]
    listed = shell("key", "list", "acme").stdout
    assert f"access {made} EdDSA active until" in listed
    assert "ES256 retiring until" in listed
    assert shell("key", "revoke", "acme", made).stdout == f"revoked {made}\n"
    assert f"{made} EdDSA revoked" in shell("key", "list", "acme").stdout
    assert shell("key", "revoke", "acme", made).exit_code == 1
    with opened_runtime() as rt:
        assert {"key.rotated", "key.revoked"} <= set(events(rt))


def test_an_algorithm_that_a_declaration_adds_gets_its_key_published(shell: Shell):
    shell("apply", "-", stdin="tenants: [{slug: acme}]")
    shell("apply", "-", stdin="tenants: [{slug: acme, settings: {id_token_algorithms: [ES256, PS256]}}]")
    assert " PS256 next until" in shell("key", "list", "acme").stdout


def test_verification_tells_a_whole_log_from_an_edited_one(shell: Shell):
    shell("apply", shell.write("acme.yaml", DECLARATION))
    shell("apply", "-", stdin="tenants: [{slug: globex}]")
    whole = shell("audit", "verify")
    assert whole.exit_code == 0
    assert [line.split(",")[0] for line in whole.stdout.splitlines()] == ["acme: whole", "globex: whole"]
    with opened_runtime() as rt, rt.database.unscoped(write=True) as session:
        acme = session.scalar(select(Tenant.id).where(Tenant.slug == "acme"))
        session.execute(update(AuditRecord).where(AuditRecord.tenant_id == acme).values(outcome="refused"))
    edited = shell("audit", "verify")
    assert edited.exit_code == 1
    assert edited.stdout.splitlines()[0].startswith("acme: NOT WHOLE, edited at chain")
    findings: list[dict[str, Any]] = json.loads(shell("audit", "verify", "--json").stdout)
    assert [(one["tenant"], one["ok"]) for one in findings] == [("acme", False), ("globex", True)]
    assert shell("audit", "verify", "--tenant", "globex").exit_code == 0
    assert shell("audit", "verify", "--tenant", "initech").exit_code == 3


def test_the_schema_is_named_made_and_compared(shell: Shell):
    before = shell("db", "current")
    assert (before.exit_code, before.stdout) == (1, "empty\n")
    assert shell("audit", "verify").stderr.startswith("error: the database is empty")
    assert shell("db", "upgrade").stdout.startswith("brought to revision")
    assert shell("db", "upgrade").stdout.startswith("already at revision")
    assert shell("db", "current").exit_code == 0
    compared = shell("db", "check", "--json")
    assert (compared.exit_code, json.loads(compared.stdout)) == (0, [])


def test_effective_settings_never_show_a_secret(shell: Shell):
    secret = "c" * 43
    result = shell(
        "config",
        "check",
        "--json",
        BROKER_KEY_ENCRYPTION_KEY=secret,
        BROKER_DATABASE_URL="postgresql+psycopg://broker:hunter2hunter2@db/broker",
    )
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert values["port"] == 8080
    assert values["database_url"] == "postgresql+psycopg://broker:***@db/broker"
    assert secret not in result.output
    assert "hunter2" not in shell("config", "check", BROKER_DATABASE_URL="postgresql://u:hunter2@db/b").output


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        pytest.param("BROKER_PORT", "99999", "error: BROKER_PORT: Input should be less", id="out-of-range"),
        pytest.param("BROKER_HOST", "0.0.0.0", "error: the development profile only listens", id="exposed"),
    ],
)
def test_wrong_settings_are_named_by_their_variable(shell: Shell, name: str, value: str, fault: str):
    result = shell("config", "check", **{name: value})
    assert result.exit_code == 1
    assert result.stderr.startswith(fault)
    assert len(result.stderr.splitlines()) == 1


def test_a_database_that_is_away_is_one_line(shell: Shell):
    result = shell("audit", "verify", BROKER_DATABASE_URL="postgresql+psycopg://u:hunter2@127.0.0.1:1/b")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the database cannot be used: ")
    assert len(result.stderr.splitlines()) == 1
    assert "hunter2" not in result.stderr
