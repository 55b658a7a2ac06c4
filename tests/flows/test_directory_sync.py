"""Walking a directory: who is gone is switched off, groups follow, a kill loses nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from broker.agents.snapshot import load_agents
from broker.audit.log import ActorRef
from broker.directory.models import GroupSnapshot, User
from broker.federation import directory_leaving, directory_schedule, directory_sync, directory_walking
from broker.federation.directory_sync import (
    SyncDesk,
    SyncStatus,
    cancel_sync,
    confirm_sync,
    continue_sync,
    start_sync,
    sync_status,
)
from broker.federation.models import DirectoryPerson
from broker.kernel.errors import Refusal
from broker.kernel.jobs import acquire_lease
from broker.tokens.switching_off import end_user
from idp_connectors import walk
from idp_connectors.ldap import walking
from idp_connectors.registry import CONNECTORS
from tests.builders.corp_directory import CorpSite, open_corp
from tests.builders.ldap_server import SEARCH, Request
from tests.builders.ldap_trees import BASE, active_directory, add_group, add_person, openldap, sid

ADA, BOB = f"uid=ada,ou=people,{BASE}", f"uid=bob,ou=people,{BASE}"
CROWD = 60


def crowd() -> Any:
    tree = openldap(ada="ada-password", bob="bob-password")
    for number in range(CROWD):
        add_person(tree, f"user{number:03}", "secret", 100 + number)
    return tree


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[CorpSite]:
    with open_corp(database_url, tmp_path, crowd()) as opened:
        for user in ("ada", "bob"):
            assert opened.try_password(opened.browser(), user, f"{user}-password").status_code == 303
        opened.world.clock.advance(60)
        yield opened


def desk_of(site: CorpSite) -> SyncDesk:
    return SyncDesk(site.rt, CONNECTORS, site.tenant, site.corp, site.world.ctx, ActorRef("operator", "test"))


def carry_on(site: CorpSite, **given: Any) -> SyncStatus:
    continue_sync(site.rt, CONNECTORS, site.tenant, site.corp, **given)
    found = sync_status(site.rt, site.acme.id, site.corp.id)
    assert found is not None
    return found


def walk_once(site: CorpSite) -> SyncStatus:
    site.world.clock.advance(60)
    start_sync(desk_of(site))
    return carry_on(site)


def state_of(site: CorpSite, name: str) -> str:
    with site.rt.database.read(site.acme.id) as rows:
        return rows.scalars(select(User.state).where(User.display_name == name)).one()


def groups_of(site: CorpSite, name: str) -> tuple[set[str], str, str]:
    with site.rt.database.read(site.acme.id) as rows:
        user = rows.scalars(select(User).where(User.display_name == name)).one()
        told = rows.scalars(select(GroupSnapshot).where(GroupSnapshot.user_id == user.id)).one()
        return {one["value"] for one in told.groups if one["kind"] == "name"}, told.state, told.source


def test_a_walk_finds_everybody_and_brings_groups_up_to_date(site: CorpSite) -> None:
    inner = add_group(site.server.tree, "inner", ADA)
    outer = add_group(site.server.tree, "outer", inner)
    site.server.tree.put(inner, member=[ADA, outer])
    assert groups_of(site, "Ada")[0] == set()
    found = walk_once(site)
    assert (found.state, found.people, found.groups, found.problem) == ("done", CROWD + 2, 2, "")
    assert groups_of(site, "Ada") == ({"inner", "outer"}, "complete", "ldap:walk")
    assert groups_of(site, "Bob") == (set(), "complete", "ldap:walk")
    assert [event.target_id for event in site.events("directory.sync_finished")] == [site.corp.id]
    site.server.tree.put(inner, member=[BOB])
    assert walk_once(site).state == "done"
    assert groups_of(site, "Ada")[0] == set()
    assert groups_of(site, "Bob")[0] == {"inner", "outer"}


def test_what_a_sign_in_told_meanwhile_stands(site: CorpSite) -> None:
    group = add_group(site.server.tree, "old", ADA)
    start_sync(desk_of(site))
    site.server.tree.put(group, cn="new", sAMAccountName="new")
    site.world.clock.advance(5)
    site.try_password(site.browser())
    site.server.tree.put(group, cn="old", sAMAccountName="old")
    assert carry_on(site).state == "done"
    assert groups_of(site, "Ada")[0] == {"new"}


@pytest.mark.parametrize("leaves", ["gone", "disabled"])
def test_who_left_is_switched_off_and_who_is_back_is_let_in(site: CorpSite, leaves: str) -> None:
    assert walk_once(site).state == "done"
    entry = site.server.tree.entries[ADA]
    if leaves == "gone":
        del site.server.tree.entries[ADA]
    else:
        site.server.tree.put(ADA, nsAccountLock="true")
    found = walk_once(site)
    assert (found.state, found.leaving, found.known) == ("done", 1, CROWD + 2)
    assert (state_of(site, "Ada"), state_of(site, "Bob")) == ("disabled", "active")
    assert [one.user_id for one in site.live_sessions()] == [site.events("sign_in.succeeded")[1].subject_id]
    (event,) = site.events("user.disabled")
    assert event.reason == "directory"

    site.server.tree.entries[ADA] = entry
    entry.pop("nsAccountLock", None)
    assert walk_once(site).state == "done"
    assert state_of(site, "Ada") == "active"
    assert site.try_password(site.browser()).status_code == 303


def test_the_agents_of_somebody_who_left_are_suspended(sqlite_url: str, tmp_path: Path) -> None:
    tree = openldap(ada="ada-password", bob="bob-password")
    with open_corp(sqlite_url, tmp_path, tree, email_domains=["corp.example"]) as site:
        for number in range(40):
            add_person(site.server.tree, f"user{number:03}", "secret", 100 + number)
        site.try_password(site.browser())
        walk_once(site)
        owned = site.world.agent(site.acme, "owned", owner_email="Ada@corp.example")
        other = site.world.agent(site.acme, "other", owner_email="bob@corp.example")
        del site.server.tree.entries[ADA]
        assert walk_once(site).state == "done"
        agents = load_agents(site.rt, site.acme.id).agents
        assert (agents[owned.id].state, agents[other.id].state) == ("suspended", "active")
        (event,) = site.events("agent.suspended")
        assert (event.target_id, event.reason) == (owned.id, "owner_deprovisioned")


def test_a_sign_in_lets_in_again_without_waiting_for_a_walk(site: CorpSite) -> None:
    walk_once(site)
    entry = site.server.tree.entries.pop(ADA)
    walk_once(site)
    assert state_of(site, "Ada") == "disabled"
    assert site.try_password(site.browser()).status_code == 400
    site.server.tree.entries[ADA] = entry
    assert site.try_password(site.browser()).status_code == 303
    assert state_of(site, "Ada") == "active"


def test_an_administrators_word_stands_above_the_directorys(site: CorpSite) -> None:
    walk_once(site)
    user_id = str(site.events("sign_in.succeeded")[0].subject_id)
    with site.rt.database.core_write() as core:
        end_user(core, site.acme.id, user_id, "administrator", site.world.now)
    entry = site.server.tree.entries.pop(ADA)
    walk_once(site)
    site.server.tree.entries[ADA] = entry
    walk_once(site)
    assert state_of(site, "Ada") == "disabled"
    assert site.try_password(site.browser()).status_code == 400


def test_too_many_at_once_wait_for_a_person(site: CorpSite) -> None:
    walk_once(site)
    missing = [*[dn for dn in site.server.tree.entries if "user00" in dn][:4], ADA]
    kept = {dn: site.server.tree.entries.pop(dn) for dn in missing}
    found = walk_once(site)
    assert (found.state, found.leaving, found.known) == ("waiting", 5, CROWD + 2)
    assert state_of(site, "Ada") == "active"
    assert carry_on(site).state == "waiting"
    with pytest.raises(Refusal):
        start_sync(desk_of(site))
    (held,) = site.events("directory.sync_held")
    assert held.data["leaving"] == 5

    cancel_sync(desk_of(site))
    site.server.tree.entries.update(kept)
    assert walk_once(site).leaving == 0
    for dn in missing:
        del site.server.tree.entries[dn]
    assert walk_once(site).state == "waiting"
    confirm_sync(desk_of(site))
    assert carry_on(site).state == "done"
    assert state_of(site, "Ada") == "disabled"
    with pytest.raises(Refusal):
        confirm_sync(desk_of(site))


def test_the_first_walk_is_guarded_too(site: CorpSite) -> None:
    del site.server.tree.entries[ADA]
    found = walk_once(site)
    assert (found.state, found.leaving, found.known) == ("waiting", 1, 2)


def test_a_directory_that_is_empty_or_fails_switches_nobody_off(site: CorpSite) -> None:
    walk_once(site)
    everything = dict(site.server.tree.entries)
    site.server.tree.entries = {dn: entry for dn, entry in everything.items() if "ou=people" not in dn}
    assert walk_once(site).state == "waiting"
    cancel_sync(desk_of(site))
    site.server.tree.entries = everything

    def fail(request: Request) -> bool:
        raise EOFError

    site.server.on_request = fail
    found = walk_once(site)
    assert (found.state, found.phase) == ("running", "people")
    assert "could not be reached" in found.problem
    assert found.next_at == site.world.now + directory_sync.RETRY_SECONDS
    site.server.on_request = lambda request: False
    assert carry_on(site).state == "done"
    assert (state_of(site, "Ada"), state_of(site, "Bob")) == ("active", "active")


def test_a_walk_that_was_killed_goes_on_where_it_was(site: CorpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "MAX_PART", 8)
    monkeypatch.setattr(walking, "PEOPLE_PAGE", 4)
    for number in range(12):
        add_group(site.server.tree, f"group{number}", ADA)
    start_sync(desk_of(site))
    steps, phases = 0, set()
    while True:
        taken = [0]

        def count(taken: list[int] = taken) -> None:
            taken[0] += 1
            if taken[0] == 7:
                raise KeyboardInterrupt

        try:
            carry_on(site, on_step=count)
            break
        except KeyboardInterrupt:
            steps += 1
            found = sync_status(site.rt, site.acme.id, site.corp.id)
            assert found is not None
            phases.add(found.phase)
    found = carry_on(site)
    assert steps > 5
    assert {"people", "groups"} <= phases
    assert (found.state, found.people, found.groups) == ("done", CROWD + 2, 12)
    assert len(groups_of(site, "Ada")[0]) == 12
    with site.rt.database.read(site.acme.id) as rows:
        assert len(set(rows.scalars(select(DirectoryPerson.subject)).all())) == CROWD + 2


def test_a_process_that_was_killed_is_replaced_when_its_lease_is_over(site: CorpSite) -> None:
    start_sync(desk_of(site))
    with site.rt.database.core_write() as core:
        name = directory_walking.lease_name(site.corp.id)
        assert acquire_lease(core, name=name, holder="dead", now=site.world.now, ttl_seconds=60)
    assert not continue_sync(site.rt, CONNECTORS, site.tenant, site.corp)
    site.world.clock.advance(61)
    assert directory_schedule.continue_due_syncs(site.rt, CONNECTORS) == {"walked": 1}
    assert carry_on(site).state == "done"


def test_a_process_whose_lease_went_to_another_writes_no_more(site: CorpSite) -> None:
    start_sync(desk_of(site))

    def lose(request: Request) -> bool:
        if request.kind == SEARCH and b"ou=people" in bytes(request.body[0].content) + b"ou=people":
            site.world.clock.advance(61)
        return False

    site.server.on_request = lose
    found = carry_on(site)
    assert (found.state, found.people) == ("running", 0)
    site.server.on_request = lambda request: False
    assert carry_on(site).state == "done"


def test_walks_begin_by_the_clock(sqlite_url: str, tmp_path: Path) -> None:
    with open_corp(sqlite_url, tmp_path, sync_hours=6) as site:
        assert walk_once(site).next_at == site.world.now + 6 * 3600
        assert directory_schedule.continue_due_syncs(site.rt, CONNECTORS) == {"walked": 0}
        site.world.clock.advance(6 * 3600)
        assert directory_schedule.continue_due_syncs(site.rt, CONNECTORS) == {"walked": 1}
        assert len(site.events("directory.sync_finished")) == 2


def test_active_directory_counts_primary_groups_and_security_groups_only(
    sqlite_url: str, tmp_path: Path
) -> None:
    tree = active_directory(ada="ada-password")
    add_group(tree, "everyone", f"cn=Domain Users,ou=groups,{BASE}", objectSid=sid(600))
    add_group(tree, "mail list", ADA, objectSid=sid(601), groupType=2)
    tree.portion = 3
    add_group(tree, "many", *(f"cn=x{number},{BASE}" for number in range(10)), ADA, objectSid=sid(602))
    with open_corp(sqlite_url, tmp_path, tree) as site:
        site.try_password(site.browser())
        assert walk_once(site).state == "done"
        assert groups_of(site, "Ada") == ({"Domain Users", "everyone", "many"}, "complete", "ldap:walk")
        # A lock by wrong guesses, or a password that is too old, is no leaving.
        for change in ({"msDS-User-Account-Control-Computed": 16}, {"pwdLastSet": 0}):
            site.server.tree.put(ADA, **change)
            assert (walk_once(site).leaving, state_of(site, "Ada")) == (0, "active")
        site.server.tree.put(ADA, userAccountControl=[])
        assert "state of accounts" in walk_once(site).problem


def test_the_parts_of_a_part_hold_each_entry_once() -> None:
    names = ["", "a", "ab", "a-", "aé", "z9", "9", "Ünal", "_x", "a b", "ada"]
    for name in names:
        prefix, left = "", [walk.Part()]
        for _ in range(3):
            left = [part for whole in left for part in (whole.split() if not whole.is_rest else [whole])]
        holding = [
            part
            for part in left
            if name.startswith(part.prefix)
            and not (part.is_rest and any(name.startswith(part.prefix + one) for one in walk.ALPHABET))
        ]
        assert len(holding) == 1, (name, prefix)


def test_what_is_too_many() -> None:
    assert not directory_leaving.is_too_many(0, 0)
    assert not directory_leaving.is_too_many(5, 100)
    assert directory_leaving.is_too_many(6, 100)
    assert directory_leaving.is_too_many(1, 1)
