"""Metadata that is followed: taken over when somebody trusted signed it, else the last good state stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.federation.connection_warnings import list_warnings
from broker.federation.metadata_refresh import (
    LEASE,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    refresh_metadata,
    thumbprint,
)
from broker.kernel.jobs import acquire_lease
from idp_connectors.base import LoginRequest
from idp_connectors.registry import CONNECTORS
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import make_deps
from tests.builders.followed_metadata import URL, Following, certificate
from tests.builders.saml_idp import ACS_URL, ENTITY_ID, SamlIdentityProvider
from tests.builders.world import World, open_world

TAKEN, REFUSED = "connection.metadata_taken", "connection.metadata_refused"
LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(sqlite_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def scene(world: World) -> Following:
    return Following(world)


def warnings(scene: Following) -> list[tuple[str, str]]:
    connection = scene.world.again(scene.tenant).connections[scene.connection.id]
    with scene.world.rt.database.core_read() as core:
        found = list_warnings(core, scene.tenant.id, connection, scene.world.now)
    return [(one.code, one.detail) for one in found]


def test_a_new_certificate_in_signed_metadata_is_taken_over(scene: Following):
    assert (scene.run(), scene.events()) == ({"read": 1}, [])
    scene.provider.keys = ("idp", "idp-next")
    assert scene.run() == {}
    scene.world.clock.advance(REFRESH_SECONDS)
    assert scene.run() == {"read": 1, "changed": 1}
    assert scene.config["certificates"] == [certificate("idp"), certificate("idp-next")]
    assert scene.events() == [(TAKEN, "")]
    assert scene.reading.changed_at == scene.world.now
    assert scene.egress.asked == [URL, URL]


def test_s48_after_the_change_the_old_certificate_is_gone(scene: Following):
    scene.provider.keys = ("idp", "idp-next")
    scene.run()
    # Signed by the new key now, which is trusted since the reading before.
    scene.provider.keys, scene.provider.signed_by = ("idp-next",), "idp-next"
    scene.world.clock.advance(REFRESH_SECONDS)
    assert scene.run() == {"read": 1, "changed": 1}
    assert scene.config["certificates"] == [certificate("idp-next")]


def test_the_sign_in_address_follows_too(scene: Following):
    scene.provider.sso_url = "https://idp.example/sso2"
    scene.run()
    assert scene.config["sso_url"] == "https://idp.example/sso2"


def test_s46_unsigned_metadata_changes_nothing_and_is_shown(scene: Following):
    scene.provider.signed_by = ""
    assert scene.run() == {"read": 1}
    scene.provider.keys = ("idp", "attacker")
    for _ in range(2):
        scene.world.clock.advance(REFRESH_SECONDS)
        assert scene.run() == {"failed": 1}
    assert scene.config["certificates"] == [certificate("idp")]
    offered = {"certificates": [certificate("idp"), certificate("attacker")]}
    assert scene.reading.offered == {"changes": offered, "is_refused": False}
    assert scene.events() == [(REFUSED, "unsigned_change")]
    assert warnings(scene) == [("metadata_unsigned_change", "")]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"signed_by": "attacker"}, "signature_invalid", id="S46-foreign-signature"),
        pytest.param({"entity_id": "https://other.example"}, "other_entity", id="S46-other-entity"),
        pytest.param({"valid_until": 1_700_000_000}, "expired", id="S46-expired"),
        pytest.param({"keys": ()}, "metadata", id="no-key"),
        pytest.param({"use": "encryption"}, "metadata", id="no-signing-key"),
        pytest.param({"keys": ("weak",)}, "unusable", id="S42-weak-key"),
        pytest.param({"sso_url": "http://idp.example/sso"}, "unusable", id="plain-http"),
        pytest.param({"is_away": True}, "unreachable", id="unreachable"),
        pytest.param({"bend": lambda d: d + b" " * 300_000}, "unreachable", id="too-long"),
        pytest.param({"bend": lambda d: b"<!DOCTYPE x>" + d}, "metadata", id="S29-doctype"),
        pytest.param({"bend": lambda d: b"<html/>"}, "metadata", id="a-page"),
        pytest.param(
            {"bend": lambda d: d.replace(b"/sso", b"/evil")},
            "signature_invalid",
            id="S46-changed-after-signing",
        ),
    ],
)
def test_s46_the_last_good_state_survives(scene: Following, change: dict[str, Any], problem: str):
    scene.run()
    before = scene.config
    scene.provider.keys = ("idp", "idp-next")
    for name, value in change.items():
        setattr(scene.provider, name, value)
    scene.world.clock.advance(REFRESH_SECONDS)
    assert scene.run() == {"failed": 1}
    assert scene.config == before
    assert scene.reading.problem == problem
    assert scene.events() == [(REFUSED, problem)]
    assert warnings(scene) == [("metadata_failed", problem)]

    # An hour later it is tried again; what is well is taken, and the warning goes.
    for name in change:
        setattr(scene.provider, name, getattr(type(scene.provider)(), name))
    scene.provider.keys = ("idp", "idp-next")
    scene.world.clock.advance(RETRY_SECONDS)
    assert scene.run() == {"read": 1, "changed": 1}
    assert warnings(scene) == []


def test_s46_a_key_without_a_use_counts_and_no_check_is_switched_off(scene: Following):
    scene.provider.use, scene.provider.keys = None, ("idp", "idp-next")
    before = scene.config
    scene.run()
    after = scene.config
    assert after.pop("certificates") != before.pop("certificates")
    assert after == before


def test_a_federations_certificate_vouches_where_the_connection_says_so(world: World):
    scene = Following(world, metadata_certificates=[certificate("federation")])
    scene.provider.keys, scene.provider.signed_by = ("idp", "idp-next"), "idp"
    assert scene.run() == {"failed": 1}
    scene.provider.signed_by = "federation"
    world.clock.advance(RETRY_SECONDS)
    assert scene.run() == {"read": 1, "changed": 1}
    scene.provider.signed_by = ""
    world.clock.advance(REFRESH_SECONDS)
    scene.run()
    assert scene.reading.problem == "unsigned"


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]", "100.64.0.1"], ids=lambda host: f"S47-{host}"
)
def test_s47_metadata_is_not_fetched_from_inside(world: World, host: str):
    """Through the real way out; its own suite has the other ways to get there (W10)."""
    scene = Following(world, metadata_url=f"https://{host}/metadata")
    assert refresh_metadata(world.rt, CONNECTORS) == {"failed": 1}
    assert scene.reading.problem == "unreachable"


def test_one_process_at_a_time_reads(scene: Following):
    with scene.world.rt.database.core_write() as core:
        acquire_lease(core, name=LEASE, holder="another", now=scene.world.now, ttl_seconds=60)
    assert (scene.run(), scene.egress.asked) == ({}, [])
    scene.world.clock.advance(60)
    assert scene.run() == {"read": 1}


def test_connections_without_an_address_are_left_alone(world: World):
    scene = Following(world)
    scene.world.connection(scene.tenant, "plain", kind="saml", config=SamlIdentityProvider().config())
    scene.world.connection(scene.tenant, "off", kind="saml", config=scene.config, state="disabled")
    scene.world.connection(scene.tenant, "okta", kind="oidc")
    assert scene.run() == {"read": 1}
    assert refresh_metadata(scene.rt, CONNECTORS) == {}
    assert scene.egress.asked == [URL]


def test_an_administrators_change_meanwhile_is_not_overwritten(
    scene: Following, monkeypatch: pytest.MonkeyPatch
):
    fetch = scene.egress.fetch

    def edit_and_fetch(url: str, **how: Any) -> bytes:
        from broker.tenants.models import Connection

        with scene.world.rt.database.write(scene.tenant.id) as session:
            row = session.get(Connection, scene.connection.id)
            row.config = {**row.config, "groups_attribute": "memberOf"}
        return fetch(url, **how)

    monkeypatch.setattr(scene.egress, "fetch", edit_and_fetch)
    scene.provider.keys = ("idp", "idp-next")
    assert scene.run() == {"read": 1}
    assert scene.reading.changed_at is None


def test_certificates_that_end_are_told_a_month_ahead(scene: Following):
    assert warnings(scene) == []
    ends_in = 3650 * 86_400
    scene.world.clock.advance(ends_in - 350 * 86_400)
    assert [code for code, _ in warnings(scene)] == ["certificate_ends"]
    scene.world.clock.advance(60 * 86_400)
    assert warnings(scene) == [("certificate_ended", "CN=idp")]


def test_two_certificates_are_told_apart_by_their_print():
    assert thumbprint(certificate("idp")) != thumbprint(certificate("idp-next"))
    assert thumbprint(certificate("idp") + "\n") == thumbprint(certificate("idp"))


def _rotate_while_people_sign_in(scene: Following, sign_ins: int) -> int:
    """Change the provider's key half way, published one reading ahead; return how many sign-ins failed."""
    failed, key = 0, "idp"
    for number in range(sign_ins):
        if number == sign_ins // 4:
            scene.provider.keys = ("idp", "idp-next")
        if number == sign_ins // 2:
            key = scene.provider.signed_by = "idp-next"
        if number == sign_ins * 3 // 4:
            scene.provider.keys = ("idp-next",)
        if number % (sign_ins // 8) == 0:
            scene.world.clock.advance(REFRESH_SECONDS)
            scene.run()
        now = scene.world.now
        login = SamlConnector().interactive(scene.config, {})
        deps = make_deps(now=now)
        idp = SamlIdentityProvider(key_name=key, now=now)
        try:
            login.complete(idp.sign_in(login.begin(LOGIN, deps)), deps)
        except Exception:
            failed += 1
    return failed


def test_a_change_of_the_signing_key_locks_nobody_out(scene: Following):
    assert _rotate_while_people_sign_in(scene, 16) == 0
    assert scene.config["certificates"] == [certificate("idp-next")]
    assert [event for event, _ in scene.events()] == [TAKEN, TAKEN]


@pytest.mark.proof
def test_a_change_of_the_signing_key_during_a_thousand_sign_ins_locks_nobody_out(scene: Following):
    assert _rotate_while_people_sign_in(scene, 1000) == 0
    assert scene.config["certificates"] == [certificate("idp-next")]
