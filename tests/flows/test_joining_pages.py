"""An administrator joins a pushed person with who signs in, seeing both sides first, and takes it back."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.directory.models import User
from broker.directory.provisioning import find_provisioned
from broker.directory.roles import live_roles
from tests.builders.oauth import claims_of
from tests.builders.office import Office, open_office, submit
from tests.builders.provisioning import Provider

HOME = "/t/acme/admin"


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path, admin_role="broker.admin") as opened:
        yield opened


@pytest.fixture
def okta(office: Office) -> Provider:
    """A provider whose ``externalId`` says nothing of who signs in."""
    return Provider(office.world, office.tenant, office.scene.okta, matching="manual")


def people_page(office: Office) -> str:
    return f"{HOME}/connections/{office.scene.okta.id}/scim/people"


def user_of(office: Office, person_id: str) -> str | None:
    with office.rt.database.core_read() as core:
        person = find_provisioned(core, office.tenant.id, person_id)
    assert person is not None
    return person.user_id


def roles(office: Office, user_id: str) -> list[str]:
    with office.rt.database.core_read() as core:
        found = live_roles(core, office.rt, office.tenant.id, user_id, office.world.now)
    return sorted(found.roles)


def state(office: Office, user_id: str) -> str:
    with office.rt.database.read(office.tenant.id) as session:
        user = session.get(User, (user_id,))
        assert user is not None
        return user.state


def test_a_pushed_person_is_joined_by_hand_and_separated_again(office: Office, okta: Provider):
    admin, maya = office.admin(), office.scene.maya
    pushed = okta.user(
        "m.lind", displayName="Maya Lind", externalId="HR-17", emails=[{"value": "m@x.example"}]
    )
    okta.group("support", pushed.id)
    page = f"{people_page(office)}/{pushed.id}"
    assert people_page(office) in admin.get(f"{HOME}/connections/{office.scene.okta.id}/scim").text
    assert page in admin.get(people_page(office)).text
    assert f"user={maya}" in admin.get(f"{page}?q=maya").text
    both = admin.get(f"{page}?user={maya}").text
    shown = ["m.lind", "HR-17", "m@x.example", "support", "Are these two the same person?"]
    assert [one for one in shown if one not in both] == []
    assert user_of(office, pushed.id) is None, "looking joins nobody"

    done = submit(admin, page, page, user_id=maya)
    assert "The two are one person now." in admin.get(done.location).text
    assert (user_of(office, pushed.id), roles(office, maya)) == (maya, ["support.agent"])
    (event,) = office.events("scim.person_bound")
    assert (event.target_id, event.subject_id, event.reason) == (pushed.id, maya, "by_admin")
    assert (event.actor or {})["kind"] == "admin"
    assert page not in admin.get(people_page(office)).text
    assert page in admin.get(f"{people_page(office)}?kind=joined").text

    done = submit(admin, page, f"{page}/separate")
    assert "The two were separated." in admin.get(done.location).text
    assert (user_of(office, pushed.id), roles(office, maya)) == (None, [])
    (event,) = office.events("scim.person_unbound")
    assert ((event.actor or {})["kind"], event.subject_id) == ("admin", maya)
    # Nothing is left: the same two can be joined again.
    assert submit(admin, page, page, user_id=maya).status_code == 303


def test_joining_one_who_left_switches_the_user_off(office: Office, okta: Provider):
    admin, maya = office.admin(), office.scene.maya
    pushed = okta.user("m.lind", active=False).id
    page = f"{people_page(office)}/{pushed}"
    assert "is disabled here, and sessions" in admin.get(f"{page}?user={maya}").text
    assert submit(admin, page, page, user_id=maya).status_code == 303
    assert state(office, maya) == "disabled"
    submit(admin, page, f"{page}/separate")
    assert (user_of(office, pushed), state(office, maya)) == (None, "disabled")
    person = f"{HOME}/people/{maya}"
    submit(admin, person, person, action="enable")
    assert state(office, maya) == "active"


def test_c05_tokens_with_a_role_that_joining_or_separating_takes_end_at_once(office: Office, okta: Provider):
    scene, admin, maya = office.scene, office.admin(), office.scene.maya
    pushed = okta.user("m.lind")
    group = okta.group("support", pushed.id).id
    page = f"{people_page(office)}/{pushed.id}"
    submit(admin, page, page, user_id=maya)
    token = scene.person_token()
    assert (claims_of(token)["roles"], scene.introspect(token)["active"]) == (["support.agent"], True)
    submit(admin, page, f"{page}/separate")
    assert scene.introspect(token) == {"active": False}
    # The other way round: what a sign-in told gave the role, and the record that she is joined with does not.
    office.world.clock.advance(1)
    office.world.user(office.tenant, scene.okta, "maya", groups=["support"])
    token = scene.person_token()
    assert scene.introspect(token)["active"]
    okta.patch(f"Groups/{group}", {"op": "remove", "path": f'members[value eq "{pushed.id}"]'})
    assert scene.introspect(token)["active"], "the record is nobody's"
    submit(admin, page, page, user_id=maya)
    assert scene.introspect(token) == {"active": False}
    assert {one.reason for one in office.events("token.revoked")} == {"role_lost"}


def test_the_list_is_searched_and_paged(office: Office, okta: Provider):
    admin = office.admin()
    for number in range(27):
        okta.user(f"person-{number:02}", displayName=f"Number {number}", externalId=f"HR-{number:02}")
        office.world.clock.advance(1)
    first = admin.get(people_page(office)).text
    assert ("27 people" in first, first.count('class="row-title"')) == (True, 25)
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    last = admin.get(following[1].replace("&amp;", "&")).text
    assert (last.count('class="row-title"'), "person-26" in last) == (2, True)
    for text in ("PERSON-07", "number 7", "hr-07"):
        assert admin.get(f"{people_page(office)}?q={text}").text.count('class="row-title"') == 1, text
    for odd in ("q=%25", "q=%5C", "kind=%00", "after=%27", "q=" + "x" * 400):
        assert admin.get(f"{people_page(office)}?{odd}").status_code == 200, odd
    assert "Nobody matches" in admin.get(f"{people_page(office)}?q=%25").text


def test_who_is_expected_at_sign_in_is_told_apart(office: Office):
    admin = office.admin()
    okta = Provider(office.world, office.tenant, office.scene.okta)
    tom = okta.user("tom", externalId="00u-tom").id
    nobody = okta.user("kim@acme.example", externalId="kim@acme.example").id
    unmatched = admin.get(people_page(office)).text
    assert (nobody in unmatched, tom in unmatched) == (True, False)
    assert tom in admin.get(f"{people_page(office)}?kind=expected").text


# -- attacks, each beside its valid twin ------------------------------------------------------------------


def test_C10_an_equal_address_joins_nobody_by_itself(office: Office, okta: Provider):
    pushed = okta.user("maya@acme.example", emails=[{"value": "maya@acme.example"}], externalId="HR-17").id
    office.world.user(office.tenant, office.scene.okta, "maya")
    office.admin().get(f"{people_page(office)}/{pushed}?user={office.scene.maya}")
    assert user_of(office, pushed) is None
    page = f"{people_page(office)}/{pushed}"
    assert submit(office.admin(), page, page, user_id=office.scene.maya).status_code == 303
    assert user_of(office, pushed) == office.scene.maya


def test_T01_nobody_of_another_connection_or_tenant_is_joined(office: Office, okta: Provider):
    admin, world = office.admin(), office.world
    pushed = okta.user("m.lind").id
    page = f"{people_page(office)}/{pushed}"
    beta = world.tenant("beta")
    entra = world.connection(office.tenant, "entra")
    theirs = world.user(beta, world.connection(beta, "okta"), "maya")
    sibling = world.user(office.tenant, entra, "maya")
    taken = world.user(office.tenant, office.scene.okta, "tom")
    other = okta.user("t.berg").id
    assert submit(admin, page, f"{people_page(office)}/{other}", user_id=taken).status_code == 303
    for user_id in (theirs, sibling, taken, "usr_00000000000000000000", "", "\x00"):
        assert submit(admin, page, page, user_id=user_id).status_code == 400, user_id
        assert "Are these two" not in admin.get(f"{page}?user={user_id}").text
    assert user_of(office, pushed) is None
    foreign = Provider(world, beta, world.connection(beta, "second")).user("kim").id
    for person_id in (foreign, "scu_00000000000000000000", "%00"):
        assert admin.get(f"{people_page(office)}/{person_id}").status_code == 404, person_id
        wrong = submit(admin, page, f"{people_page(office)}/{person_id}", user_id=office.scene.maya)
        assert wrong.status_code == 404, person_id
    assert submit(admin, page, page, user_id=office.scene.maya).status_code == 303


def test_who_is_bound_by_their_key_is_not_separated(office: Office):
    admin, maya = office.admin(), office.scene.maya
    pushed = Provider(office.world, office.tenant, office.scene.okta).user("maya", externalId="maya").id
    page = f"{people_page(office)}/{pushed}"
    assert user_of(office, pushed) == maya
    assert "Separate" not in admin.get(page).text
    assert submit(admin, page, f"{page}/separate").status_code == 400
    assert user_of(office, pushed) == maya


def test_W01_a_forged_form_joins_nobody(office: Office, okta: Provider):
    admin, maya = office.admin(), office.scene.maya
    pushed = okta.user("m.lind").id
    page = f"{people_page(office)}/{pushed}"
    for form in ({}, {"csrf_token": "forged"}):
        assert admin.post(page, {"user_id": maya, **form}).status_code == 400
    assert user_of(office, pushed) is None
    assert office.person().get(page).status_code == 403
    assert office.browser().get(page).status_code == 303
    assert submit(admin, page, page, user_id=maya).status_code == 303


def test_names_that_are_markup_are_text(office: Office, okta: Provider):
    admin = office.admin()
    hostile = "<script>alert(1)</script>"
    pushed = okta.user(hostile, displayName=hostile, externalId='"><b>').id
    okta.group(hostile, pushed)
    for path in ("", f"/{pushed}", f"/{pushed}?user={office.scene.maya}", f"?q={hostile}"):
        text = admin.get(people_page(office) + path).text
        assert ("<script>alert" in text, '"><b>' in text) == (False, False), path
