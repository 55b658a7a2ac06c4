"""O60, O61: who somebody is hangs on the provider's stable key, never on an e-mail address."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from broker.directory.models import IdentityLink, User
from broker.directory.people import get_person
from broker.directory.sign_in import bind_identity
from broker.kernel.errors import ErrorCode, Refusal
from tests.builders.world import World, identity, open_world


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as world:
        yield world


def count_users(world: World, tenant_id: str) -> int:
    with world.rt.database.read(tenant_id) as session:
        return session.scalar(select(func.count()).select_from(User)) or 0


def test_the_same_subject_twice_is_one_user(world: World):
    acme = world.tenant()
    okta = world.connection(acme, "okta")
    first = world.user(acme, okta, "maya", email="maya@acme.example")
    second = world.user(acme, okta, "maya", email="maya.married@acme.example")
    assert first == second
    assert count_users(world, acme.id) == 1
    with world.rt.database.read(acme.id) as session:
        assert get_person(session, acme.id, first).person.email == "maya.married@acme.example"


@pytest.mark.parametrize(
    "difference",
    [
        pytest.param({"subject": "somebody-else"}, id="O60-same-email-other-subject"),
        pytest.param({"issuer": "https://evil.example"}, id="O60-same-email-other-issuer"),
        pytest.param({"subject_kind": "oid+tid"}, id="O60-same-subject-other-kind"),
        pytest.param({"subject": "MAYA"}, id="O60-subject-differs-in-case"),
    ],
)
def test_another_key_with_the_same_email_is_another_user(world: World, difference: dict[str, str]):
    acme = world.tenant()
    okta = world.connection(acme, "okta")
    victim = world.user(acme, okta, "maya", email="maya@acme.example")
    subject = difference.get("subject", "maya")
    rest = {name: value for name, value in difference.items() if name != "subject"}
    attacker = world.user(
        acme, okta, subject, email="maya@acme.example", email_verified_by="idp_verified_domain", **rest
    )
    assert attacker != victim
    assert count_users(world, acme.id) == 2
    assert world.user(acme, okta, "maya", email="maya@acme.example") == victim


@pytest.mark.parametrize(
    "verified_by",
    [
        pytest.param("none", id="O60-unverified-email-merge"),
        pytest.param("idp_asserted", id="O60-asserted-email-merge"),
        pytest.param("idp_verified_domain", id="O60-verified-email-merge"),
    ],
)
def test_two_connections_never_share_a_user(world: World, verified_by: str):
    acme = world.tenant()
    okta, entra = world.connection(acme, "okta"), world.connection(acme, "entra")
    one = world.user(acme, okta, "maya", email="maya@acme.example", groups=["payroll"])
    other = world.user(acme, entra, "maya", email="maya@acme.example", email_verified_by=verified_by)
    assert one != other
    with world.rt.database.read(acme.id) as session:
        known = get_person(session, acme.id, other)
    assert [link.connection_id for link in known.identities] == [entra.id]
    assert [told.groups for told in known.groups] == [[]]


def test_a_second_upstream_account_takes_over_nothing(world: World):
    # O61: a link is made by the broker for the key that signed in; no call adds a key to a user.
    acme = world.tenant()
    okta = world.connection(acme, "okta")
    victim = world.user(acme, okta, "maya")
    world.user(acme, okta, "mallory", display_name="Maya", email="maya@acme.example")
    with world.rt.database.read(acme.id) as session:
        links = session.scalars(select(IdentityLink).where(IdentityLink.user_id == victim)).all()
    assert [link.subject for link in links] == ["maya"]


def test_parallel_first_sign_ins_make_one_user(world: World):
    acme = world.tenant()
    okta = world.connection(acme, "okta")
    with ThreadPoolExecutor(8) as pool:
        users = list(pool.map(lambda _: world.user(acme, okta, "maya"), range(16)))
    assert len(set(users)) == 1
    assert count_users(world, acme.id) == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"subject": ""}, id="empty-subject"),
        pytest.param({"issuer": ""}, id="empty-issuer"),
        pytest.param({"subject": "maya\x00"}, id="control-character"),
        pytest.param({"subject": "m" * 501}, id="longer-than-the-column"),
        pytest.param({"subject_kind": "k" * 65}, id="kind-longer-than-the-column"),
    ],
)
def test_a_key_that_cannot_be_told_apart_is_refused(world: World, broken: dict[str, str]):
    acme = world.tenant()
    okta = world.connection(acme, "okta")
    with world.rt.database.core_write() as core:
        assert bind_identity(core, world.again(acme), okta, identity("maya"), 1).is_new
    told = identity(broken.get("subject", "maya"), **{k: v for k, v in broken.items() if k != "subject"})
    with pytest.raises(Refusal) as refused, world.rt.database.core_write() as core:
        bind_identity(core, world.again(acme), okta, told, 1)
    assert (refused.value.code, refused.value.reason) == (ErrorCode.SIGN_IN_REFUSED, "unusable_subject")
    assert count_users(world, acme.id) == 1


def test_a_disabled_user_is_refused_and_nothing_changes(world: World):
    acme = world.tenant()
    okta = world.connection(acme, "okta")
    maya = world.user(acme, okta, "maya", groups=["support"])
    with world.rt.database.write(acme.id) as session:
        session.get_one(User, maya).state = "disabled"
    with pytest.raises(Refusal) as refused:
        world.user(acme, okta, "maya", display_name="Changed", groups=["payroll"])
    assert (refused.value.code, refused.value.reason) == (ErrorCode.ACCESS_DENIED, "user_disabled")
    with world.rt.database.read(acme.id) as session:
        known = get_person(session, acme.id, maya)
    assert known.person.display_name == "Maya"
    assert [group["value"] for group in known.groups[0].groups] == ["support"]
    assert world.user(acme, okta, "sam") != maya


def test_a_disabled_connection_signs_nobody_in(world: World):
    acme = world.tenant()
    okta = world.connection(acme, "okta")
    closed = world.connection(acme, "entra", state="disabled")
    assert world.user(acme, okta, "maya")
    with pytest.raises(Refusal) as refused:
        world.user(acme, closed, "maya")
    assert refused.value.reason == "connection_disabled"
