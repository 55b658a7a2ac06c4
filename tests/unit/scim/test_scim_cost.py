"""What a push costs in statements and commits, and that the short way writes what the core would."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scim2_models import Context, SearchRequest
from scim2_server.service import ScimService
from scim2_server.storage import SearchPage
from sqlalchemy import event

from broker.scim import request_log
from broker.scim.desk import push_desk
from broker.scim.resources import PROVIDER
from broker.scim.service import SERVICE
from broker.scim.storage import SqlStorage
from tests.builders.minting import Statements
from tests.builders.provisioning import ENTERPRISE, Provider

MAYA = {
    "externalId": "00u1",
    "displayName": "Maya O.",
    "name": {"givenName": "Maya", "familyName": "O."},
    "emails": [{"value": "maya@x.example", "type": "work", "primary": True}],
    ENTERPRISE: {"department": "Claims"},
}


@contextmanager
def commits_of(pusher: Provider) -> Iterator[list[object]]:
    """Count the commits of the broker's database."""
    seen: list[object] = []

    def note(connection: object) -> None:
        seen.append(connection)

    event.listen(pusher.rt.database.engine, "commit", note)
    try:
        yield seen
    finally:
        event.remove(pusher.rt.database.engine, "commit", note)


def test_a_push_and_its_line_in_the_log_are_one_commit(pusher: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_log, "_TRIM_EVERY", 1_000_000)
    pusher.user("the-first")  # begins the chain of events, and is the token's use of this minute
    with commits_of(pusher) as commits, Statements(pusher.rt.database.engine) as seen:
        person = pusher.user("maya", **MAYA)
    assert (person.status, len(commits)) == (201, 1)
    # The person, their address, what the directory knows of them, the event, the line in the log.
    assert (seen.count("INSERT"), seen.count("UPDATE"), seen.count("DELETE")) == (5, 1, 0), seen.texts
    with commits_of(pusher) as commits:
        group = pusher.group("claims")
        assert pusher.patch(
            f"Groups/{group.id}", {"op": "add", "path": "members", "value": [{"value": person.id}]}
        )
    assert len(commits) == 2


def test_a_push_whose_line_cannot_be_written_has_not_happened(
    pusher: Provider, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> str:
        raise ValueError("no line")

    with monkeypatch.context() as broken:
        broken.setattr(request_log, "redact_body", fail)
        assert pusher.user("maya", **MAYA).status == 500
    assert pusher.get("Users").json["totalResults"] == 0
    assert pusher.user("maya", **MAYA).status == 201


def test_a_change_of_many_members_takes_as_many_statements_as_one_of_few(
    pusher: Provider, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(request_log, "_TRIM_EVERY", 1_000_000)
    ids = [pusher.user(f"person-{number}").id for number in range(60)]
    group = pusher.group("everybody").id

    def statements(*members: str) -> int:
        change = {"op": "Add", "path": "members", "value": [{"value": one} for one in members]}
        with Statements(pusher.rt.database.engine) as seen:
            assert pusher.patch(f"Groups/{group}", change).status == 204
        # What the process keeps is compared with the database by the clock, whoever asks.
        return sum("state_versions" not in text and text != "BEGIN" for text in seen.texts)

    statements(ids[0])  # the first one loads what is cached
    assert statements(*ids[1:3]) == statements(*ids[3:])


def test_resources_are_written_as_the_core_would_write_them(pusher: Provider):
    person = pusher.user("maya", **MAYA)
    pusher.group("claims", person.id, externalId="g1")
    core = ScimService(PROVIDER)
    tenant = pusher.world.again(pusher.tenant)
    desk = push_desk(pusher.rt, tenant, pusher.connection, pusher.token.view, pusher.world.ctx)
    storage = SqlStorage(desk, writes=False)
    base = f"{tenant.issuer}/scim/v2"
    for kind in PROVIDER.resource_types:
        asked = SearchRequest(start_index=1, count=10)
        with core.provider:

            def page(kind=kind, asked=asked) -> SearchPage:
                return storage.search([kind], asked)

            theirs = core.search_response(base, [kind], page(), asked)
            ours = SERVICE.search_response(base, [kind], page(), asked)
            assert (ours.status, ours.body) == (theirs.status, theirs.body)
            one = page().resources[0]
            written = core.publish(base, one).model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
            assert SERVICE.publish(base, one).model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE) == written
            assert written["meta"]["location"].startswith(base)


def test_no_change_reads_a_whole_tenant(pusher: Provider):
    """What SQLite does for each statement; it has no statistics, so it is the same in a large directory."""
    if not pusher.rt.database.is_sqlite:
        pytest.skip("PostgreSQL chooses by its statistics")
    ids = [pusher.user(f"person-{number}").id for number in range(40)]
    group = pusher.group("everybody").id
    change = {"op": "Add", "path": "members", "value": [{"value": one} for one in ids]}
    with Statements(pusher.rt.database.engine) as seen:
        assert pusher.patch(f"Groups/{group}", change).status == 204
    reading = [text for text in seen.texts if text.startswith("SELECT") and " IN (" in text]
    assert len(reading) == 5, reading
    with pusher.rt.database.core_read() as core:
        for text in reading:
            values = ("x",) * text.count("?")
            plan = [row[3] for row in core.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            by_id = [step for step in plan if "(id=?)" in step or "scim_user_id=?" in step]
            assert by_id == plan, (text, plan)
