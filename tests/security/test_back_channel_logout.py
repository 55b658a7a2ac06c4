"""Attacks on the back-channel logout endpoint (O64): replay, wrong door, wrong time; each beside its twin."""

from typing import Any

import pytest
from sqlalchemy import select, update

from broker.kernel.models import ReplayMark
from broker.kernel.versions import bump
from broker.tenants.models import Connection
from tests.builders.logout import LOGOUT_PATH, logout_claims, logout_token, rs256, tell
from tests.builders.oidc_op import CLIENT_ID, CLIENT_SECRET
from tests.builders.site import Site

MAYA = {"sub": "maya", "sid": "sid-1"}


@pytest.fixture
def signed_in(site: Site) -> Site:
    """Maya has a session, which her provider calls ``sid-1``."""
    assert site.sign_in(site.browser(), **MAYA).status_code == 303
    return site


def assert_the_honest_message_ends_the_session(site: Site) -> None:
    assert len(site.live_sessions()) == 1
    assert tell(site, logout_token(site.op, **MAYA)).status_code == 200
    assert site.live_sessions() == []


def test_O64_a_refused_message_is_a_faulty_request_and_written_down(signed_in: Site) -> None:
    answer = tell(signed_in, logout_token(signed_in.op, nonce="n-1", **MAYA))
    assert answer.status_code == 400
    assert answer.json["error"] == "invalid_request"
    assert answer.headers["Cache-Control"] == "no-store"
    assert [one.reason for one in signed_in.events("sign_out.refused")] == ["document_refused"]
    assert signed_in.events("sign_out.received") == []
    assert_the_honest_message_ends_the_session(signed_in)


def test_O64_a_token_works_once_and_ends_no_later_session(signed_in: Site) -> None:
    token = logout_token(signed_in.op, sub="maya")
    assert tell(signed_in, token).status_code == 200
    assert signed_in.sign_in(signed_in.browser(), **MAYA).status_code == 303
    assert [tell(signed_in, token).status_code for _ in range(2)] == [400, 400]
    assert [one.reason for one in signed_in.events("sign_out.refused")] == ["replayed", "replayed"]
    assert_the_honest_message_ends_the_session(signed_in)


def test_O64_a_refused_token_is_not_used_up(signed_in: Site) -> None:
    claims = logout_claims(signed_in.op, **MAYA)
    header = {"alg": signed_in.op.alg, "kid": signed_in.op.key.kid, "typ": "logout+jwt"}
    assert tell(signed_in, rs256(header, claims | {"nonce": "x"}, signed_in.op.key)).status_code == 400
    assert tell(signed_in, rs256(header, claims, signed_in.op.key)).status_code == 200


def test_O35_a_logout_token_signs_nobody_in(site: Site) -> None:
    site.op.bend_token = lambda _, claims: logout_token(site.op, sub="noor", nonce=claims["nonce"])
    assert site.sign_in(site.browser(), sub="noor").status_code == 400
    assert site.live_sessions() == []
    site.op.bend_token = None
    assert site.sign_in(site.browser(), sub="noor").status_code == 303


def test_O64_a_token_at_another_connection_or_tenant_ends_nothing(signed_in: Site) -> None:
    # The same provider and client, so that the token itself is right there.
    config = {"issuer": signed_in.op.issuer, "client_id": CLIENT_ID}
    secrets = {"client_secret": CLIENT_SECRET}
    signed_in.world.connection(signed_in.acme, "second", config=config, secrets=secrets)
    signed_in.world.connection(signed_in.world.tenant("beta"), "okta", config=config, secrets=secrets)
    for path in (LOGOUT_PATH.replace("/okta/", "/second/"), LOGOUT_PATH.replace("/acme/", "/beta/")):
        assert tell(signed_in, logout_token(signed_in.op, **MAYA), path).status_code == 200
    assert_the_honest_message_ends_the_session(signed_in)


def test_O64_a_token_used_at_one_tenant_is_not_used_up_at_another(signed_in: Site) -> None:
    config = {"issuer": signed_in.op.issuer, "client_id": CLIENT_ID}
    beta = signed_in.world.tenant("beta")
    signed_in.world.connection(beta, "okta", config=config, secrets={"client_secret": CLIENT_SECRET})
    token = logout_token(signed_in.op, **MAYA)
    assert tell(signed_in, token, LOGOUT_PATH.replace("/acme/", "/beta/")).status_code == 200
    assert tell(signed_in, token).status_code == 200
    assert signed_in.live_sessions() == []


def test_a_token_at_an_address_of_nobody_ends_nothing(signed_in: Site) -> None:
    for path in (
        "/t/acme/oidc/nobody/backchannel-logout",
        "/t/acme/oidc/adfs/backchannel-logout",
        "/t/nobody/oidc/okta/backchannel-logout",
    ):
        assert tell(signed_in, logout_token(signed_in.op, **MAYA), path).status_code == 404
    assert_the_honest_message_ends_the_session(signed_in)


def test_a_disabled_connection_takes_no_message(signed_in: Site) -> None:
    set_state(signed_in, "disabled")
    assert tell(signed_in, logout_token(signed_in.op, **MAYA)).status_code == 400
    assert [one.reason for one in signed_in.events("sign_out.refused")] == ["connection_disabled"]
    set_state(signed_in, "active")
    assert_the_honest_message_ends_the_session(signed_in)


def set_state(site: Site, state: str) -> None:
    with site.rt.database.write(site.acme.id) as session:
        session.execute(update(Connection).where(Connection.slug == "okta").values(state=state))
        bump(session.connection(), site.acme.id)


def test_a_token_is_taken_from_the_form_once_and_from_nowhere_else(signed_in: Site) -> None:
    token = logout_token(signed_in.op, **MAYA)
    path = f"{LOGOUT_PATH}?logout_token={token}"
    stranger: Any = signed_in.browser()
    assert stranger.post_from_elsewhere(path, {}, origin="null").status_code == 400
    assert stranger.get(path).status_code == 405
    twice = {"logout_token": [token, token]}
    assert stranger.post_from_elsewhere(LOGOUT_PATH, twice, origin="null").status_code == 400
    assert_the_honest_message_ends_the_session(signed_in)


def test_a_provider_that_does_not_answer_may_try_the_same_token_again(signed_in: Site) -> None:
    token = logout_token(signed_in.op, header={"kid": "new"}, **MAYA)
    signed_in.op.down.add("/jwks")
    assert tell(signed_in, token).status_code == 400
    with signed_in.rt.database.core_read() as core:
        kinds = set(core.execute(select(ReplayMark.kind)).scalars())
    assert "oidc_logout_token" not in kinds
    signed_in.op.down.clear()
    assert_the_honest_message_ends_the_session(signed_in)
