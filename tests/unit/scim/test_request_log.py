"""The request log shows what providers do and tells nothing of people; it is bounded and ends by itself."""

import pytest

from broker.housekeeping import EXPIRING
from broker.kernel.jobs import sweep
from broker.scim.request_log import (
    KEEP_SECONDS,
    RequestFilter,
    list_requests,
    redact_body,
    redact_query,
    trim_log,
)
from tests.builders.provisioning import Provider

PERSONAL = ("Maya", "Lind", "maya@acme.example", "hunter2", "Street")


def entries(pusher: Provider, **given: str):
    with pusher.rt.database.read(pusher.tenant.id) as session:
        return list_requests(session, pusher.tenant.id, RequestFilter(**given)).requests


def test_every_authenticated_request_is_there_with_its_answer(pusher: Provider):
    maya = pusher.user("maya@acme.example", displayName="Maya Lind", password="hunter2").id
    pusher.world.clock.advance(1)
    pusher.user("maya@acme.example")
    pusher.world.clock.advance(1)
    pusher.patch(f"Users/{maya}", {"op": "Replace", "path": "active", "value": "False"}, user_agent="Entra")
    pusher.call("GET", "Users", token="brk_scim_wrong")
    patched, conflict, created = entries(pusher)
    assert (patched.method, patched.path, patched.status) == ("PATCH", f"/Users/{maya}", 204)
    assert '"path":"active","value":"False"' in patched.body
    assert (patched.user_agent, patched.token_id) == ("Entra", pusher.token.view.id)
    assert (conflict.status, conflict.scim_type) == (409, "uniqueness")
    assert (created.status, created.detail) == (201, "")
    assert entries(pusher, connection_id="con_other") == ()
    assert entries(pusher, method="PATCH") == entries(pusher, request_id=patched.request_id)[:1] == (patched,)
    assert entries(pusher, outcome="refused") == (conflict,)
    assert entries(pusher, outcome="ok", kind="Users") == (patched, created)
    assert entries(pusher, kind="Groups") == entries(pusher, kind="%") == ()


def test_a_log_is_read_page_by_page_and_nothing_twice(pusher: Provider):
    for number in range(7):
        pusher.get(f"Users?startIndex={number + 1}")
        pusher.world.clock.advance(number % 2)
    seen: list[str] = []
    cursor = ""
    for _ in range(4):
        with pusher.rt.database.read(pusher.tenant.id) as session:
            page = list_requests(session, pusher.tenant.id, RequestFilter(), cursor=cursor, limit=2)
        seen += [one.id for one in page.requests]
        cursor = page.next_cursor
    assert (len(seen), len(set(seen)), cursor) == (7, 7, "")
    with pusher.rt.database.read(pusher.tenant.id) as session:
        for odd in ("x", "1e5.scr", "-1.scr", "٣.scr", "9" * 40):
            assert len(list_requests(session, pusher.tenant.id, RequestFilter(), cursor=odd).requests) == 7


def test_nobodys_name_or_address_is_in_it(pusher: Provider):
    email = {"type": "work", "value": "maya@acme.example"}
    name = {"givenName": "Maya", "familyName": "Lind"}
    maya = pusher.user("maya@acme.example", name=name, emails=[email], password="hunter2").id
    pusher.find("Users", 'userName eq "maya@acme.example"')
    pusher.find("Users", 'userName eq "maya@acme.example')
    pusher.patch(
        f"Users/{maya}", {"op": "add", "path": 'emails[value eq "maya@acme.example"].type', "value": "x"}
    )
    pusher.patch(f"Users/{maya}", {"op": "add", "value": {'addresses[formatted eq "Street"].type': "Maya"}})
    pusher.patch(f"Users/{maya}", {"op": "add", "path": "active", "value": "Maya Lind"})
    pusher.call("POST", "Users", raw=b'{"userName": "Maya Lind"')
    text = str(entries(pusher))
    assert [word for word in PERSONAL if word in text] == []
    assert maya in text


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", ""),
        (b"not json", "(8 bytes that are not JSON)"),
        (b'{"active": false, "userName": "maya", "n": 5}', '{"active":false,"username":"(4 characters)"'),
        (b"[" * 5_000, "(5000 bytes that are not JSON)"),
    ],
)
def test_a_body_keeps_its_shape(body: bytes, shown: str):
    assert redact_body(body).lower().startswith(shown.lower())


def test_long_bodies_are_cut():
    members = ",".join(f'{{"value":"scu_{number:020}"}}' for number in range(1_000))
    shown = redact_body(f'{{"members":[{members}]}}'.encode())
    assert "(980 more)" in shown
    assert len(shown) < 4_100


def test_a_filter_keeps_its_shape():
    query = "filter=userName%20eq%20%22maya%22&count=1"
    assert "maya" not in redact_query(query)
    assert "count=1" in redact_query(query)


def test_only_the_newest_are_kept_and_only_for_a_week(pusher: Provider):
    for _ in range(6):
        pusher.get("Users")
        pusher.world.clock.advance(10)
    with pusher.rt.database.core_write() as connection:
        assert trim_log(connection, pusher.tenant.id, keep=4) == 2
        assert trim_log(connection, pusher.tenant.id, keep=4) == 0
    assert len(entries(pusher)) == 4
    pusher.world.clock.advance(KEEP_SECONDS - 30)
    expiring = [one for one in EXPIRING if one.table.name == "scim_requests"]
    assert sweep(pusher.rt, expiring, now=pusher.world.now)["scim_requests"] > 0
    assert 0 < len(entries(pusher)) < 4
