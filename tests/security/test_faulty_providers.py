"""Providers with each of their faults: nobody is signed in, or nothing new is granted; then healed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import select

from broker.demo.idps.faults import SWITCH_PATH, Fault, FaultSwitch
from broker.demo.idps.google_like import GROUP_LIMIT
from broker.directory.models import GroupSnapshot
from broker.directory.roles import live_roles
from broker.kernel import egress
from broker.tokens.models import BrowserSession
from tests.builders.emulated import PEOPLE, EmulatedSite, open_emulated

REFUSED_BY_OIDC = {
    Fault.CLOCK_SKEW: "not_yet_valid",
    Fault.WRONG_AUDIENCE: "audience_mismatch",
    Fault.WRONG_ISSUER: "issuer_mismatch",
    Fault.ROTATED_KEY: "signature_invalid",
    Fault.UNSIGNED: "algorithm_refused",
    Fault.BUSY: "upstream_unreachable",
    Fault.SLOW: "upstream_unreachable",
    Fault.DRIP: "upstream_unreachable",
    Fault.MALFORMED: "upstream_unreachable",
    Fault.HUGE: "upstream_unreachable",
}
REFUSED_BY_SAML = {
    Fault.CLOCK_SKEW: "not_yet_valid",
    Fault.WRONG_AUDIENCE: "audience_mismatch",
    Fault.WRONG_ISSUER: "issuer_mismatch",
    Fault.ROTATED_KEY: "signature_invalid",
    Fault.UNSIGNED: "signature_invalid",
    Fault.MALFORMED: "document_refused",
}
REFUSED = [
    *(("okta", fault, reason) for fault, reason in REFUSED_BY_OIDC.items()),
    # The same code serves both OpenID providers; what differs between them is tried on both.
    ("okta", Fault.OVERAGE, "upstream_refused"),
    ("entra", Fault.WRONG_AUDIENCE, "audience_mismatch"),
    ("entra", Fault.ROTATED_KEY, "signature_invalid"),
    *(("google", fault, reason) for fault, reason in REFUSED_BY_SAML.items()),
]
DEGRADED = [
    ("okta", Fault.MISSING_GROUPS, "absent"),
    ("entra", Fault.MISSING_GROUPS, "absent"),
    ("entra", Fault.OVERAGE, "overage"),
    ("google", Fault.MISSING_GROUPS, "absent"),
]


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedSite]:
    """One site for all; what its providers publish is remembered after the first sign-in at each."""
    folder: Path = tmp_path_factory.mktemp("emulated")
    with pytest.MonkeyPatch.context() as patch:
        # Otherwise a slow provider is waited for as long as in real life.
        patch.setattr(egress, "TOTAL_SECONDS", 1.0)
        with open_emulated(f"sqlite:///{folder / 'broker.db'}", folder) as site:
            for name in PEOPLE:
                assert_signed_in(site, name)
            yield site


def assert_signed_in(site: EmulatedSite, name: str) -> None:
    """The valid twin: everything as it is just now, without the fault."""
    before = site.count(BrowserSession)
    answer = site.sign_in(name)
    assert answer.status_code == 303, answer.text
    assert site.count(BrowserSession) == before + 1


def groups_of(site: EmulatedSite, name: str) -> GroupSnapshot:
    """What is known of the groups of the person who signs in at a provider."""
    with site.rt.database.read(site.acme.id) as session:
        found = select(GroupSnapshot).where(GroupSnapshot.connection_id == site.connections[name].id)
        return session.scalars(found).one()


@pytest.mark.parametrize(("name", "fault", "reason"), REFUSED)
def test_a_faulty_answer_signs_nobody_in(
    emulated: EmulatedSite, name: str, fault: Fault, reason: str
) -> None:
    switch, before = emulated.providers[name].switch, emulated.count(BrowserSession)
    switch.turn(fault)
    try:
        answer = emulated.sign_in(name)
    finally:
        switch.turn(None)
    assert answer.status_code == 400, answer.text
    assert emulated.reason() == reason
    assert emulated.count(BrowserSession) == before
    assert_signed_in(emulated, name)


@pytest.mark.parametrize(("name", "fault", "state"), DEGRADED)
def test_without_all_groups_a_person_comes_in_and_gets_nothing(
    emulated: EmulatedSite, name: str, fault: Fault, state: str
) -> None:
    switch = emulated.providers[name].switch
    switch.turn(fault)
    try:
        assert_signed_in(emulated, name)
    finally:
        switch.turn(None)
    found = groups_of(emulated, name)
    assert found.state == state
    assert roles_of(emulated, found.user_id) == set()
    assert_signed_in(emulated, name)
    assert groups_of(emulated, name).state == "complete"
    assert roles_of(emulated, found.user_id) == {"support"}


def roles_of(site: EmulatedSite, user_id: str) -> set[str]:
    """The roles that a person has now."""
    with site.rt.database.core_read() as core:
        return set(live_roles(core, site.rt, site.acme.id, user_id, site.world.now).roles)


def test_a_google_like_provider_leaves_out_what_is_too_much(emulated: EmulatedSite) -> None:
    emulated.google.switch.turn(Fault.OVERAGE)
    assert_signed_in(emulated, "google")
    assert len(groups_of(emulated, "google").groups) == GROUP_LIMIT
    emulated.google.switch.turn(None)


def test_a_huge_assertion_is_not_even_read(emulated: EmulatedSite) -> None:
    emulated.google.switch.turn(Fault.HUGE)
    before = emulated.count(BrowserSession)
    assert emulated.sign_in("google").status_code == 413
    assert emulated.count(BrowserSession) == before
    emulated.google.switch.turn(None)
    assert_signed_in(emulated, "google")


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.MALFORMED])
def test_a_provider_that_was_never_reached_starts_no_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(egress, "TOTAL_SECONDS", 1.0)
    with open_emulated(f"sqlite:///{tmp_path / 'broker.db'}", tmp_path) as site:
        site.okta.switch.turn(fault)
        answer = site.sign_in("okta")
        assert answer.status_code == 400
        assert "The identity provider could not be reached." in answer.text
        site.okta.switch.turn(None)
        site.world.clock.advance(60)
        assert_signed_in(site, "okta")


def test_an_ended_certificate_is_that_of_the_same_key(emulated: EmulatedSite) -> None:
    good = x509.load_pem_x509_certificate(emulated.google.certificate_pem.encode())
    emulated.google.switch.turn(Fault.EXPIRED_CERTIFICATE)
    ended = x509.load_pem_x509_certificate(emulated.google.certificate_pem.encode())
    emulated.google.switch.turn(None)
    assert ended.public_key() == good.public_key()
    assert ended.not_valid_after_utc.timestamp() < emulated.world.now < good.not_valid_after_utc.timestamp()


def test_a_fault_is_turned_at_the_provider_itself(emulated: EmulatedSite) -> None:
    client = emulated.okta.create_app().test_client()
    assert client.get(SWITCH_PATH).json["fault"] is None
    assert client.put(SWITCH_PATH, json={"fault": "busy"}).json["fault"] == "busy"
    assert client.get("/oauth2/default/v1/keys").status_code == 429
    assert client.put(SWITCH_PATH, json={"fault": None}).json["fault"] is None
    assert client.get("/oauth2/default/v1/keys").status_code == 200


@pytest.mark.parametrize("body", [{"fault": "nonsense"}, {"fault": "expired_certificate"}, {}, []])
def test_an_impossible_fault_is_refused(emulated: EmulatedSite, body: object) -> None:
    client = emulated.okta.create_app().test_client()
    assert client.put(SWITCH_PATH, json=body).status_code == 400
    assert client.post(SWITCH_PATH, data={"fault": "busy"}).status_code == 405
    assert emulated.okta.switch.fault is None


def test_a_provider_can_be_made_faulty() -> None:
    assert FaultSwitch(fault=Fault.DRIP).is_on(Fault.DRIP)
    with pytest.raises(ValueError, match="cannot have"):
        FaultSwitch({Fault.BUSY}, Fault.DRIP)
