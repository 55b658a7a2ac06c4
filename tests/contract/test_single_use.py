"""Whatever may be used once is used once: two processes, two hundred tries together, one winner."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from broker.kernel.database import Base, Database
from broker.kernel.ids import new_id, new_secret, sha256_hex
from broker.kernel.replay import spend
from broker.tokens.codes import CodeView, issue_code, spend_code
from broker.tokens.links import make_link
from broker.tokens.models import DeviceCode
from broker.tokens.pushed import keep_request
from broker.tokens.refresh import issue_refresh
from tests.builders.minting import import_models
from tests.builders.racer import NOW, TENANT

ROOT = Path(__file__).parents[2]
TRIES = 100
PROCESSES = 2
SECRETS = 5_000


def code(connection: Connection) -> str:
    return issue_code(
        connection,
        tenant_id=TENANT,
        grant_id="grt",
        client_id="cli",
        redirect_uri="https://a.example/",
        code_challenge="c",
        resources=[],
        scopes=[],
        nonce="",
        expires_at=NOW + 60,
    )


def refresh(connection: Connection) -> str:
    return issue_refresh(
        connection, tenant_id=TENANT, grant_id="grt", client_id="cli", scopes=[], now=NOW, expires_at=NOW + 60
    )


def link(connection: Connection) -> str:
    return make_link(connection, tenant_id=TENANT, purpose="admin", now=NOW, ttl_seconds=60)


def device(connection: Connection) -> str:
    secret = new_secret()
    row = {
        "id": new_id("dvc"),
        "tenant_id": TENANT,
        "code_hash": sha256_hex(secret),
        "user_code_hash": "u",
        "client_id": "cli",
        "request": {},
        "ip": "",
        "user_agent": "",
        "state": "allowed",
        "grant_id": "grt",
        "cnf_jkt": "",
        "pause_seconds": 5,
        "polled_at": 0,
        "created_at": NOW,
        "expires_at": NOW + 60,
    }
    connection.execute(insert(DeviceCode).values(row))
    return secret


def replay(_connection: Connection) -> str:
    return new_secret()


def pushed(connection: Connection) -> str:
    return keep_request(
        connection, tenant_id=TENANT, client_id="cli", params=[("state", "x")], expires_at=NOW + 60
    )


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    import_models()
    database = Database(database_url)
    Base.metadata.create_all(database.engine)
    yield database
    database.close()


def race(url: str, kind: str, secret: str, tries: int = TRIES) -> list[tuple[int, int, int]]:
    """Run the racers and return what each counted: won, spent, refused."""
    command = [sys.executable, "-m", "tests.builders.racer", url, kind, secret, str(tries)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(PROCESSES)
    ]
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline().strip() == "ready"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        told = [racer.communicate(timeout=300)[0].split() for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    return [(int(won), int(spent), int(refused)) for won, spent, refused in told]


@pytest.mark.parametrize(
    ("kind", "make", "is_told_apart"),
    [
        pytest.param("code", code, True, id="O20-code"),
        pytest.param("refresh", refresh, True, id="refresh-token"),
        pytest.param("device", device, False, id="O56-device-code"),
        pytest.param("link", link, False, id="one-time-link"),
        pytest.param("replay", replay, False, id="replay-mark"),
        pytest.param("dpop", replay, False, id="DP-02-dpop-proof"),
        pytest.param("pushed", pushed, False, id="PAR-03-pushed-request"),
    ],
)
def test_one_of_two_hundred_wins(
    database: Database, database_url: str, kind: str, make: Callable[[Connection], str], is_told_apart: bool
):
    with database.core_write() as connection:
        secret = make(connection)
    counted = race(database_url, kind, secret)
    won, spent, refused = (sum(column) for column in zip(*counted, strict=True))
    assert won == 1
    assert spent + refused == PROCESSES * TRIES - 1
    assert (refused == 0) is is_told_apart


@pytest.mark.proof
@pytest.mark.parametrize(
    ("kind", "make"),
    [
        pytest.param("code", code, id="O20-code"),
        pytest.param("refresh", refresh, id="O31-refresh-token"),
        pytest.param("replay", replay, id="O33-client-assertion"),
        pytest.param("device", device, id="O56-device-code"),
        pytest.param("dpop", replay, id="O58-DP-02-dpop-proof"),
        pytest.param("pushed", pushed, id="O43-PAR-03-pushed-request"),
    ],
)
def test_each_of_five_thousand_is_won_once_by_one_of_four(
    database: Database, database_url: str, tmp_path: Path, kind: str, make: Callable[[Connection], str]
):
    if database_url.startswith("sqlite"):
        pytest.skip("two processes on one server are meant; SQLite has the race of two hundred")
    with database.core_write() as connection:
        secrets = [make(connection) for _ in range(SECRETS)]
    file = tmp_path / "secrets"
    file.write_text("\n".join(secrets))
    counted = race(database_url, kind, f"@{file}", tries=2)
    won = Counter(line for each in tmp_path.glob("secrets.*") for line in each.read_text().split())
    assert won == Counter(secrets)
    assert sum(sum(column) for column in counted) == PROCESSES * 2 * SECRETS
    # The two really met: neither was done before the other began.
    assert min(each[0] for each in counted) > SECRETS // 50


def test_t03_the_same_key_in_two_tenants_or_kinds_never_collides(database: Database):
    with database.core_write() as connection:
        mark = {"kind": "assertion", "tenant_id": "ten_a", "key": "same", "expires_at": NOW}
        assert spend(connection, **mark)  # type: ignore[arg-type]
        for other in ({"tenant_id": "ten_b"}, {"kind": "client_assertion"}):
            assert spend(connection, **{**mark, **other})  # type: ignore[arg-type]
        assert not spend(connection, **mark)  # type: ignore[arg-type]


def test_o22_a_secret_of_another_kind_is_no_code(database: Database):
    """A secret of one store is nothing in another (CVE-2026-4282)."""
    with database.core_write() as connection:
        others = [refresh(connection), link(connection)]
        mark = new_secret()
        spend(connection, kind="assertion", tenant_id=TENANT, key=mark, expires_at=NOW)
        mine = code(connection)
    with database.core_write() as connection:
        for secret in (*others, mark):
            assert spend_code(connection, tenant_id=TENANT, code=secret, now=NOW) is None
        assert isinstance(spend_code(connection, tenant_id=TENANT, code=mine, now=NOW), CodeView)
