"""Signing out as an OpenID provider: a client asks for it (OC logout), and every client is told of it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from broker.agents.models import Client
from broker.agents.options import client_options
from broker.audit.log import ActorRef
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.jobs import acquire_lease
from broker.kernel.versions import bump
from broker.oauth.back_channel_logout import (
    EVENT,
    FIRST_PAUSE_SECONDS,
    LEASE,
    pause_seconds,
    send_due_logouts,
)
from broker.tokens.cascade import end_sessions_of_user
from broker.tokens.encoding import decode
from broker.tokens.key_rotation import revoke_key, rotate_key
from broker.tokens.keys import public_jwks, signing_key
from broker.tokens.models import LogoutNotice
from broker.tokens.signing import sign_jwt
from broker.tokens.switching_off import end_connection, end_user
from tests.builders.consent_flow import add_agent, answer, answer_of, come_to_the_question
from tests.builders.logout import logout_token, tell
from tests.builders.oauth import REDIRECT_URI, VERIFIER, claims_of
from tests.builders.site import Browser, Site, form_token, open_site, refreshed_to
from tests.builders.world import SECRET, TICKETS

OUT = "https://writer.example/signed-out"
TELL = "https://writer.example/backchannel"
LOGOUT = "/t/acme/logout"


@dataclass
class ToldClient:
    """The client's side of the back channel: answers as it is told to, and keeps what it got."""

    statuses: list[int | None] = field(default_factory=list)
    got: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def post_form(self, url: str, fields: Mapping[str, str], *, max_bytes: int = 0) -> int:
        self.got.append((url, dict(fields)))
        status = self.statuses.pop(0) if self.statuses else 200
        if status is None:
            raise Refusal(ErrorCode.EGRESS_REFUSED, "The other server could not be reached.")
        return status


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(database_url, tmp_path) as opened:
        add_agent(opened)
        # A second client of the tenant, that wants to hear too, and one that does not.
        writer = opened.world.agent(opened.acme, "other")
        opened.world.client(
            opened.acme,
            "cli_other",
            agent=writer,
            options={"backchannel_logout_uri": "https://other.example/b"},
        )
        opened.world.client(opened.acme, "cli_quiet", agent=writer)
        change_options(opened, post_logout_redirect_uris=[OUT, f"{OUT}?kept=1"], backchannel_logout_uri=TELL)
        yield opened


def change_options(site: Site, **options: Any) -> None:
    with site.rt.database.write(site.acme.id) as session:
        row = session.scalars(select(Client).where(Client.client_id == "cli_writer")).one()
        row.options = options
        bump(session.connection(), site.acme.id)


def sign_in(site: Site, sub: str = "maya") -> tuple[Browser, str]:
    """A browser that signed in and let the agent act, and the ID token that the client got."""
    browser = site.browser()
    page = come_to_the_question(site, browser, sub, scope="openid tickets:read")
    got = answer_of(browser.get(refreshed_to(answer(browser, page, "allow"))))
    form = {
        "grant_type": "authorization_code",
        "code": got["code"],
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
        "resource": TICKETS,
    }
    reply = site.app.test_client().post("/t/acme/token", data=form, auth=("cli_writer", SECRET))
    assert reply.status_code == 200, reply.text
    return browser, str(reply.json["id_token"])


def leave(browser: Browser, **query: str) -> TestResponse:
    return browser.get(f"{LOGOUT}?{urlencode(query)}")


def notices(site: Site) -> list[tuple[str, int]]:
    with site.rt.database.read(site.acme.id) as session:
        return [(one.client_id, one.tries) for one in session.scalars(select(LogoutNotice))]


def send(site: Site, client: ToldClient) -> dict[str, int]:
    return send_due_logouts(replace(site.rt, egress=client))  # type: ignore[arg-type]


# -- a client asks ------------------------------------------------------------------------------------


def test_oc_a_client_that_names_the_person_signs_them_out_at_once(site: Site) -> None:
    browser, token = sign_in(site)
    gone = leave(browser, id_token_hint=token, post_logout_redirect_uri=OUT, state="s 1")
    assert gone.status_code == 303
    assert gone.location == f"{OUT}?state=s+1"
    assert site.live_sessions() == []
    assert site.events("session.ended")[-1].reason == "signed_out"
    assert browser.get("/t/acme/me/agents").status_code == 303


def test_oc_an_expired_hint_and_one_of_a_retired_key_still_count(site: Site) -> None:
    browser, token = sign_in(site)
    operator = ActorRef("operator", "test")
    rotate_key(site.rt, site.tenant, ctx=site.world.ctx, actor=operator, at_once=True)
    site.world.clock.advance(3000)
    assert leave(browser, id_token_hint=token, post_logout_redirect_uri=f"{OUT}?kept=1").location == (
        f"{OUT}?kept=1"
    )
    assert site.live_sessions() == []


def test_oc_a_post_is_taken_as_a_get_that_brings_the_cookie(site: Site) -> None:
    browser, token = sign_in(site)
    sent = {"id_token_hint": token, "post_logout_redirect_uri": OUT}
    posted = browser.post_from_elsewhere(LOGOUT, sent, "https://writer.example")
    assert posted.status_code == 303
    assert len(site.live_sessions()) == 1
    assert browser.get(posted.location).location == OUT
    assert site.live_sessions() == []


@pytest.mark.parametrize("hint", ["none", "anothers", "not_ours", "access_token", "revoked_key", "unsigned"])
def test_o28_without_a_hint_that_names_who_is_here_the_person_is_asked(site: Site, hint: str) -> None:
    _, others = sign_in(site, "noor")
    browser, own = sign_in(site)
    key = signing_key(site.rt, site.acme.id)
    head, payload, signature = own.split(".")
    given = {
        "none": "",
        "anothers": others,
        "not_ours": f"{head}.{payload}.{signature[::-1]}",
        "access_token": sign_jwt(key, "at+jwt", claims_of(own)),
        "revoked_key": own,
        "unsigned": f"eyJhbGciOiJub25lIn0.{payload}.",
    }[hint]
    if hint == "revoked_key":
        with site.rt.database.core_write() as core:
            revoke_key(core, site.rt, site.acme.id, key.kid, now=site.world.now)
    query = {"id_token_hint": given, "client_id": "cli_writer", "post_logout_redirect_uri": OUT, "state": "x"}
    page = leave(browser, **{name: value for name, value in query.items() if value})
    assert page.status_code == 200
    assert "Do you want to sign out?" in page.text
    assert len(site.live_sessions()) == 2
    assert given not in unescape(page.text) or not given
    # Without the form's token nothing ends; with it the person is signed out and sent on.
    carried = {"client_id": "cli_writer", "post_logout_redirect_uri": OUT, "state": "x"}
    assert browser.post(f"{LOGOUT}/confirm", carried).status_code == 400
    assert len(site.live_sessions()) == 2
    done = browser.post(f"{LOGOUT}/confirm", {**carried, "csrf_token": form_token(page)})
    assert refreshed_to(done) == f"{OUT}?state=x"
    assert len(site.live_sessions()) == 1


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", f"{OUT}/", f"{OUT}?x=1", OUT.upper(), "https://writer.example/callback"],
)
def test_o28_nobody_is_sent_to_an_address_that_is_not_registered(site: Site, target: str) -> None:
    browser, token = sign_in(site)
    refused = leave(browser, id_token_hint=token, post_logout_redirect_uri=target)
    assert (refused.status_code, refused.headers.get("Location")) == (400, None)
    assert len(site.live_sessions()) == 1
    page = leave(browser)
    form = {"client_id": "cli_writer", "post_logout_redirect_uri": target, "csrf_token": form_token(page)}
    assert browser.post(f"{LOGOUT}/confirm", form).status_code == 400
    assert leave(site.browser(), post_logout_redirect_uri=target).status_code == 400
    assert leave(browser, id_token_hint=token, post_logout_redirect_uri=OUT).location == OUT


def test_o28_a_client_cannot_use_anothers_id_token(site: Site) -> None:
    browser, token = sign_in(site)
    assert leave(browser, id_token_hint=token, client_id="cli_other").status_code == 400
    assert len(site.live_sessions()) == 1
    assert leave(browser, id_token_hint=token, client_id="cli_writer").status_code == 200
    assert site.live_sessions() == []


def test_oc_without_an_address_a_page_of_ours_comes_last(site: Site) -> None:
    browser, token = sign_in(site)
    assert "You are signed out" in leave(browser, id_token_hint=token).text
    # Nobody is signed in any more: there is nobody to ask.
    assert "You are signed out" in leave(browser).text


# -- every client is told -----------------------------------------------------------------------------


def test_oc_every_client_that_got_tokens_in_the_session_is_told(site: Site) -> None:
    browser, token = sign_in(site)
    session_id = site.live_sessions()[0].id
    leave(browser, id_token_hint=token)
    assert notices(site) == [("cli_writer", 0)]
    client = ToldClient()
    assert send(site, client) == {"told": 1}
    ((url, fields),) = client.got
    assert url == TELL
    claims, header = claims_of(fields["logout_token"]), header_of(fields["logout_token"])
    assert header["typ"] == "logout+jwt"
    assert header["kid"] in [jwk["kid"] for jwk in public_jwks(site.rt, site.acme.id)["keys"]]
    assert set(claims) == {"iss", "aud", "iat", "exp", "jti", "events", "sub", "sid"}
    assert (claims["iss"], claims["aud"], claims["events"]) == (site.tenant.issuer, "cli_writer", {EVENT: {}})
    assert claims["exp"] - claims["iat"] <= 120
    assert (claims["sub"], claims["sid"]) == (claims_of(token)["sub"], session_id)
    assert claims_of(token)["sid"] == session_id
    assert notices(site) == []
    assert site.events("logout.sent")[0].client_id == "cli_writer"
    assert send(site, client) == {}


@pytest.mark.parametrize("how", ["sign_out", "admin", "person_disabled", "connection_disabled", "replaced"])
def test_oc_every_end_of_a_session_is_told(site: Site, how: str) -> None:
    browser, token = sign_in(site)
    user_id = str(claims_of(token)["sub"])
    if how == "sign_out":
        page = leave(browser)
        browser.post("/t/acme/sign-out", {"csrf_token": form_token(page)})
    elif how == "replaced":
        site.sign_in(browser, "noor")
    else:
        with site.rt.database.core_write() as core:
            now, tenant_id = site.world.now, site.acme.id
            if how == "admin":
                end_sessions_of_user(core, tenant_id, user_id, now)
            elif how == "person_disabled":
                end_user(core, tenant_id, user_id, "test", now)
            else:
                end_connection(core, tenant_id, site.okta.id, "test", now)
    assert notices(site) == [("cli_writer", 0)]


def test_oc_a_provider_s_sign_out_is_passed_on(site: Site) -> None:
    sign_in(site)
    assert tell(site, logout_token(site.op, sub="maya")).status_code == 200
    assert notices(site) == [("cli_writer", 0)]


def test_oc_proving_again_who_one_is_tells_nobody(site: Site) -> None:
    browser, _ = sign_in(site)
    site.sign_in(browser, "maya")
    assert notices(site) == []


def test_oc_a_client_that_does_not_answer_is_asked_again_with_pauses_that_grow(site: Site) -> None:
    browser, token = sign_in(site)
    leave(browser, id_token_hint=token)
    client = ToldClient(statuses=[None, 503, 500])
    assert send(site, client) == {"put_off": 1}
    assert send(site, client) == {}
    for tries in (1, 2):
        site.world.clock.advance(pause_seconds(tries - 1))
        assert send(site, client) == {"put_off": 1}
        assert notices(site) == [("cli_writer", tries + 1)]
    site.world.clock.advance(pause_seconds(2))
    assert send(site, client) == {"told": 1}
    # Each try brings a token of its own, which has not run out.
    tokens = {claims_of(fields["logout_token"])["jti"] for _, fields in client.got}
    assert len(tokens) == 4
    assert site.events("logout.sent")[0].data["tries"] == 4


def test_oc_nobody_is_asked_for_ever(site: Site) -> None:
    browser, token = sign_in(site)
    leave(browser, id_token_hint=token)
    client = ToldClient(statuses=[503] * 200)
    for _ in range(100):
        site.world.clock.advance(3600)
        if "given_up" in send(site, client):
            break
    assert len(client.got) < 40
    assert notices(site) == []
    assert site.events("logout.failed")[0].reason == "status_503"


def test_oc_a_client_that_says_no_is_not_asked_again(site: Site) -> None:
    browser, token = sign_in(site)
    leave(browser, id_token_hint=token)
    assert send(site, ToldClient(statuses=[400])) == {"refused": 1}
    assert site.events("logout.failed")[0].reason == "client_refused"


def test_oc_one_process_tells_at_a_time_and_one_dead_client_holds_up_nobody(site: Site) -> None:
    for sub in ("maya", "noor", "olu"):
        browser, token = sign_in(site, sub)
        leave(browser, id_token_hint=token)
    with site.rt.database.core_write() as core:
        acquire_lease(core, name=LEASE, holder="another", now=site.world.now, ttl_seconds=120)
    assert send(site, ToldClient()) == {}
    site.world.clock.advance(121)
    assert send(site, ToldClient(statuses=[None])) == {"put_off": 1, "told": 2}
    assert pause_seconds(0) == FIRST_PAUSE_SECONDS


def test_oc_what_the_metadata_says_of_signing_out(site: Site) -> None:
    told = site.browser().get("/.well-known/openid-configuration/t/acme").json
    assert told["end_session_endpoint"] == f"{site.tenant.issuer}/logout"
    assert told["backchannel_logout_supported"] is True
    assert told["backchannel_logout_session_supported"] is True


@pytest.mark.parametrize("name", ["post_logout_redirect_uris", "backchannel_logout_uri"])
def test_o25_an_address_that_is_no_plain_https_is_not_registered(name: str) -> None:
    for bad in ("http://writer.example/x", "javascript:alert(1)", "https://a.example/#f", "//evil.example"):
        with pytest.raises(Refusal):
            client_options({name: [bad] if name.endswith("s") else bad})
    good = "https://a.example/x"
    assert client_options({name: [good] if name.endswith("s") else good})


def header_of(token: str) -> dict[str, Any]:
    return json.loads(decode(token.split(".")[0]))
