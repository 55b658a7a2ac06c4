"""Tokens: shown once, kept as a hash, bounded, replaced with overlap, and made on the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from broker.audit.models import AuditRecord
from broker.cli import main
from broker.cli.opening import opened_runtime
from broker.kernel.errors import Refusal
from broker.scim.access import MAX_LIVE_TOKENS, issue_token, list_tokens
from broker.scim.models import ScimToken
from broker.tenants.snapshot import find_tenant
from tests.builders.provisioning import OPERATOR, Provider


def test_only_the_hash_is_kept_and_use_is_noted_once_a_minute(pusher: Provider):
    with pusher.rt.database.core_read() as connection:
        row = connection.execute(select(ScimToken.__table__)).one()
    assert pusher.secret not in str(tuple(row))
    assert len(pusher.secret) > 50

    def last_used() -> int | None:
        with pusher.rt.database.read(pusher.tenant.id) as session:
            return list_tokens(session, pusher.tenant.id)[0].last_used_at

    assert last_used() is None
    pusher.get("Users")
    first = last_used()
    pusher.world.clock.advance(30)
    pusher.get("Users")
    assert last_used() == first == pusher.world.now - 30
    pusher.world.clock.advance(31)
    pusher.get("Users")
    assert last_used() == pusher.world.now


@pytest.mark.parametrize(
    "given",
    [{"days": 0}, {"days": 731}, {"scopes": []}, {"scopes": ["admin"]}, {"matching": "email"}, {"name": ""}],
)
def test_senseless_tokens_are_refused(pusher: Provider, given: dict[str, object]):
    with pytest.raises(Refusal) as refused:
        Provider(pusher.world, pusher.tenant, pusher.connection, **given)
    assert refused.value.reason == "bad_scim_token"


def test_live_tokens_are_bounded(pusher: Provider):
    for _ in range(MAX_LIVE_TOKENS - 1):
        Provider(pusher.world, pusher.tenant, pusher.connection)
    with pytest.raises(Refusal), pusher.rt.database.write(pusher.tenant.id) as session:
        issue_token(
            session,
            pusher.rt,
            pusher.world.ctx,
            pusher.world.again(pusher.tenant),
            pusher.connection,
            OPERATOR,
            name="one too many",
            days=1,
        )


class Shell:
    def __init__(self, folder: Path) -> None:
        self.environ = {
            "BROKER_DATA_DIR": str(folder / "data"),
            "BROKER_PROFILE": "development",
            "OKTA_SECRET": "x" * 32,
        }

    def __call__(self, *arguments: str):
        return CliRunner().invoke(
            main, ["scim", "token", *arguments], env=self.environ, catch_exceptions=False
        )


DECLARATION = """
tenants:
  - slug: acme
    name: Acme
    connections:
      - slug: okta
        kind: oidc
        config: {issuer: "https://acme.okta.example", client_id: broker, client_secret: {env: OKTA_SECRET}}
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    made = Shell(tmp_path)
    for name, value in made.environ.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "acme.yaml").write_text(DECLARATION)
    applied = CliRunner().invoke(main, ["apply", str(tmp_path / "acme.yaml")], env=made.environ)
    assert applied.exit_code == 0, applied.output
    return made


def test_an_operator_makes_replaces_lists_and_ends_tokens(shell: Shell):
    first = shell("acme", "okta", "--name", "Okta")
    assert first.exit_code == 0, first.output
    secret = first.stdout.strip()
    assert secret.startswith("brk_scim_")
    assert "/t/acme/scim/v2\n" in first.stderr
    assert "_" not in first.stderr.split("Base URL: ")[1].splitlines()[0].rsplit("/t/", 1)[1]

    second = shell("acme", "okta", "--replace", "24", "--read-only")
    assert "1 other token(s) end in 24 hour(s)." in second.stderr
    listed = shell("acme", "okta", "--list").stdout
    assert secret not in listed
    assert listed.count("live") == 2
    token_id = listed.split()[0]
    assert shell("acme", "okta", "--revoke", token_id).stdout == f"{token_id} ended\n"
    assert shell("acme", "okta", "--revoke", token_id).stdout == f"{token_id} had ended before\n"
    with opened_runtime() as rt:
        tenant = find_tenant(rt, "acme")
        assert tenant is not None
        with rt.database.read(tenant.id) as session:
            events = session.scalars(select(AuditRecord).where(AuditRecord.event.like("scim.%"))).all()
            names = sorted(one.event for one in events)
            assert names == ["scim.token_created"] * 2 + ["scim.token_revoked", "scim.tokens_replaced"]
            assert all((one.actor or {})["kind"] == "operator" for one in events)


def test_slips_are_answered_plainly(shell: Shell):
    assert (shell("acme", "adfs").exit_code, shell("nobody", "okta").exit_code) == (3, 3)
    assert "its connections: okta" in shell("acme", "adfs").stderr
    assert shell("acme", "okta", "--revoke", "sct_x").exit_code == 3
    assert shell("acme", "okta", "--list", "--revoke", "sct_x").exit_code == 2
