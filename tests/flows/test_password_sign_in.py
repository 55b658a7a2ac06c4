"""A person whose organization has a directory and no web sign-in: by password to an agent's token."""

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from broker.audit.log import ActorRef
from broker.directory.models import GroupSnapshot, IdentityLink
from broker.federation.connection_tests import begin_test, find_test
from broker.federation.steps import open_signing
from idp_connectors.registry import CONNECTORS
from tests.builders.consent_flow import answer, answer_of, asking
from tests.builders.corp_directory import SIGN_IN, CorpSite, open_corp
from tests.builders.ldap_trees import BASE, READER, add_group
from tests.builders.oauth import REDIRECT_URI, VERIFIER, claims_of
from tests.builders.site import form_token, refreshed_to
from tests.builders.world import SECRET

ADA = f"uid=ada,ou=people,{BASE}"


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[CorpSite]:
    with open_corp(database_url, tmp_path) as opened:
        yield opened


def add_desk_agent(site: CorpSite) -> None:
    """An agent that may write tickets for people of the group ``Ticket desk``."""
    world = site.world
    world.role(site.acme, "desk", ["tickets:write"])
    world.mapping(site.acme, site.corp, "Ticket desk", "desk")
    world.resource(site.acme, roles=["desk"])
    agent = world.agent(site.acme, "writer", roles=["desk"])
    world.client(site.acme, agent=agent)


def test_from_a_password_to_an_agents_token(site: CorpSite) -> None:
    add_group(site.server.tree, "Ticket desk", add_group(site.server.tree, "First line", ADA))
    add_desk_agent(site)
    browser = site.browser()
    begun = browser.get(asking(scope="tickets:read tickets:write"))
    query = urlsplit(begun.location).query
    choice = browser.get(begun.location)
    assert "Continue with Corp" in choice.text
    page = browser.get(f"{SIGN_IN}?{query}")
    assert "let <strong>Writer</strong> act for you" in page.text

    handle = query.partition("=")[2]
    done = site.try_password(browser, query=query, resume=handle)
    assert refreshed_to(done) == f"/t/acme/authorize?{query}"
    onward = browser.get(refreshed_to(done))
    code = answer_of(browser.get(refreshed_to(answer(browser, onward.location, "allow"))))["code"]
    token = browser.post(
        "/t/acme/token",
        {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": REDIRECT_URI,
        },
        headers={"Authorization": "Basic " + base64.b64encode(f"cli_writer:{SECRET}".encode()).decode()},
    )
    claims = claims_of(token.json["access_token"])
    assert claims["scope"] == "tickets:read tickets:write"
    assert claims["roles"] == ["desk"]
    with site.rt.database.read(site.acme.id) as rows:
        link = rows.scalars(select(IdentityLink).where(IdentityLink.user_id == claims["sub"])).one()
        told = rows.scalars(select(GroupSnapshot).where(GroupSnapshot.user_id == claims["sub"])).one()
    assert (link.connection_id, link.subject_kind) == (site.corp.id, "entryUUID")
    assert (told.state, told.source) == ("complete", "ldap:member")
    (event,) = site.events("sign_in.succeeded")
    assert (event.subject_id, event.target_id) == (claims["sub"], site.corp.id)


def test_an_e_mail_address_leads_to_the_form(site: CorpSite) -> None:
    browser = site.browser()
    token = form_token(browser.get("/t/acme/sign-in"))
    page = browser.post("/t/acme/sign-in", {"csrf_token": token, "email": "ada@corp.example"})
    assert page.status_code == 200
    assert "Sign in with Corp" in page.text
    assert 'autocomplete="current-password"' in page.text
    assert 'autocomplete="username"' in page.text


def test_where_a_password_is_asked_nothing_else_is_claimed(site: CorpSite) -> None:
    assert "We never see your password" not in site.browser().get("/t/acme/sign-in").text
    assert "We do not keep it" in site.browser().get(SIGN_IN).text


def test_a_second_sign_in_ends_the_first_session(site: CorpSite) -> None:
    browser = site.browser()
    assert site.try_password(browser).location == "/t/acme/me/agents"
    (first,) = site.live_sessions()
    assert site.try_password(browser, "bob", "bob-password").status_code == 303
    (second,) = site.live_sessions()
    assert second.user_id != first.user_id
    assert second.amr == ["pwd"]


def test_an_administrator_tries_the_connection_without_a_persons_password(site: CorpSite) -> None:
    ctx = site.world.ctx
    step = open_signing(site.rt, CONNECTORS, site.tenant, "corp", ctx)
    actor = ActorRef("admin", "a")
    given = {"actor": actor, "browser_secret": "b" * 43, "result_path": lambda test: f"/t/acme/{test}"}
    good = begin_test(step, {}, **given)
    assert good.address == ""
    report = find_test(site.rt, site.acme.id, good.id, site.world.now)
    assert report is not None
    assert (report.state, len(report.rows)) == ("passed", 8)
    site.server.tree.passwords[READER] = "changed"
    bad = find_test(site.rt, site.acme.id, begin_test(step, {}, **given).id, site.world.now)
    assert bad is not None
    failed = {row.name: row for row in bad.rows if row.state == "failed"}
    assert list(failed) == ["bind"]
    assert "bind account" in failed["bind"].cause
    assert failed["bind"].console == "Bind account"
