"""`broker key saml`: our keys towards a provider change one step at a time, each written down."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from broker.audit.models import AuditRecord
from broker.cli import main
from broker.cli.opening import opened_runtime
from broker.federation import service_keys
from tests.builders.saml_idp import IDP_ENTITY_ID, SSO_URL, key_and_certificate

DECLARATION = """
tenants:
  - slug: acme
    connections:
      - slug: corp
        kind: saml
        config: {{idp_entity_id: "{entity}", sso_url: "{url}", certificates: ["{certificate}"]}}
"""


def broker(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BROKER_PROFILE", "development")
    # The rules are the same for keys that are found faster.
    monkeypatch.setattr(service_keys, "RSA_BITS", 2048)
    certificate = "".join(key_and_certificate("idp")[1].decode().splitlines()[1:-1])
    file = tmp_path / "acme.yaml"
    file.write_text(DECLARATION.format(entity=IDP_ENTITY_ID, url=SSO_URL, certificate=certificate))
    applied = broker("apply", str(file))
    assert applied.exit_code == 0, applied.output


@pytest.mark.usefixtures("connection")
def test_keys_change_one_step_at_a_time():
    def step(*arguments: str) -> tuple[int, str]:
        done = broker("key", "saml", "acme", "corp", *arguments)
        return done.exit_code, done.stdout.strip()

    # The first ones are in use at once, because no provider can know others.
    assert step("publish") == (0, "publish 1")
    assert step("publish") == (0, "publish 2")
    assert step("use")[0] != 0
    assert step("use", "--now") == (0, "use 2")
    assert step("drop") == (0, "drop 2")
    with opened_runtime() as rt, rt.database.unscoped() as session:
        rows = session.scalars(select(AuditRecord).where(AuditRecord.event == "connection.keys_changed"))
        assert sorted(row.reason for row in rows) == ["drop", "publish", "publish", "use"]


@pytest.mark.usefixtures("connection")
def test_a_connection_that_is_not_there_is_named():
    refused = broker("key", "saml", "acme", "other", "publish")
    assert refused.exit_code == 1
    assert "'other'" in refused.stderr
