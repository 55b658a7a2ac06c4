"""The demo without a person: the same steps as assertions, with a table line for each."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from broker.agent_client import OAuthRefused
from broker.demo.agents import claims_of
from broker.demo.mcp_server import CREATE, READ
from broker.demo.person_browser import Page, PersonBrowser
from broker.demo.story import Story
from broker.demo.world import World

SHOWN_WIDTH = 46


class JourneyFailed(AssertionError):
    """A step did not end as it must."""


@dataclass(slots=True)
class Journey:
    """What the steps share: the world, the story and the browser of whoever is at the keyboard."""

    world: World
    browser: PersonBrowser
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def story(self) -> Story:
        """The agents and what they hold."""
        return self.world.story

    def sign_in(self, connection: str, person: str) -> Page:
        """A new browser goes through the broker to a provider and back; the page after the sign-in."""
        self.browser.close()
        self.browser = PersonBrowser(stop_at=self.world.callback_url)
        chooser = self.browser.open(self.story.begin())
        login = self.browser.open(_absolute(chooser, chooser.link_to(f"/sign-in/{connection}")))
        return self.browser.press(login, login.form_with("person", person), "person", person)

    def allow(self, consent: Page) -> None:
        """Press Allow and let the planner redeem the code."""
        answer = self.browser.press(consent, consent.form_with("decision", "allow"), "decision", "allow")
        self.story.finish(answer.query)


def run_journey(world: World, tell: Callable[[str], None] = print) -> bool:
    """Walk every step and tell a line for each; True when all of them ended as they must."""
    journey = Journey(world, PersonBrowser())
    began_at = time.monotonic()
    try:
        for number, (name, step) in enumerate(STEPS, start=1):
            started_at = time.monotonic()
            try:
                seen = step(journey)
            except (JourneyFailed, LookupError, OAuthRefused, ValueError, RuntimeError) as failure:
                tell(f"{number:2}  FAIL  {name:<{SHOWN_WIDTH}}  {type(failure).__name__}: {failure}")
                return False
            spent = (time.monotonic() - started_at) * 1000
            tell(f"{number:2}  ok  {spent:5.0f} ms  {name:<{SHOWN_WIDTH}}  {seen}")
    finally:
        journey.browser.close()
    tell(f"All {len(STEPS)} steps ended as they must, in {time.monotonic() - began_at:.1f} s.")
    return True


def refuse_without_token(journey: Journey) -> str:
    """The MCP server challenges a caller without a good token and says where to get one."""
    answer = journey.story.planner.call_tool("none", "list_tickets")
    _check(answer.status == 401 and "resource_metadata=" in answer.challenge, f"got {answer}")
    return "401, with the address of its metadata"


def find_broker(journey: Journey) -> str:
    """From the challenge alone the agent finds the broker."""
    issuer = journey.story.planner.server.issuer
    _check(issuer == journey.world.tenant_url, f"found {issuer}")
    return issuer


def sign_in_by_oidc(journey: Journey) -> str:
    """Maya signs in at the Okta-like provider and is asked about the planner."""
    page = journey.sign_in("okta", "maya")
    _check(page.status == 200 and "Planner" in page.text, f"arrived at {page.url} ({page.status})")
    listed = page.text.partition("What it may do")[2].partition("For how long")[0]
    _check(
        "Read your tickets" in listed and "Create tickets in your name" in listed, "a permission is missing"
    )
    journey.memory["consent"] = page
    return "Maya Lindqvist is asked whether Planner may act"


def allow_planner(journey: Journey) -> str:
    """She allows it, and the planner gets its token."""
    journey.allow(journey.memory["consent"])
    claims = claims_of(journey.story.planner_token)
    _check(set(claims["scope"].split()) == {READ, CREATE}, f"scope {claims['scope']}")
    _check(claims["aud"] == journey.story.planner.resource, f"audience {claims['aud']}")
    return f"scope {claims['scope']}, for {claims['exp'] - claims['iat']} s"


def token_names_both(journey: Journey) -> str:
    """The token names the person by an opaque id and the agent as the actor."""
    claims = claims_of(journey.story.planner_token)
    _check("@" not in str(claims), "an e-mail address is in the token")
    _check(claims["act"]["sub"] == journey.world.agent_ids["planner"], f"actor {claims['act']}")
    _check("act" not in claims["act"], "there is one actor only")
    return f"sub {claims['sub']}, act {claims['act']['sub']}"


def planner_reads(journey: Journey) -> str:
    """The planner calls a tool."""
    answer = journey.story.list_tickets()
    _check(answer.is_allowed, f"got {answer}")
    return f"list_tickets answered for {answer.result['for']}"


def hand_over(journey: Journey) -> str:
    """The ticket writer joins the chain with less than the planner has."""
    journey.story.hand_over(f"{READ} {CREATE}")
    parent, child = claims_of(journey.story.planner_token), claims_of(journey.story.writer_token)
    _check(child["scope"] == CREATE, f"scope {child['scope']}")
    _check(child["sub"] == parent["sub"] and child["exp"] <= parent["exp"], "person or lifetime changed")
    ids = journey.world.agent_ids
    chain = (child["act"]["sub"], child["act"].get("act", {}).get("sub"))
    _check(chain == (ids["ticket-writer"], ids["planner"]), f"chain {chain}")
    return f"asked for both, got {CREATE}; the chain names both agents"


def writer_creates(journey: Journey) -> str:
    """The ticket writer changes something, and the server sees the whole chain."""
    answer = journey.story.create_ticket()
    _check(answer.is_allowed and len(answer.result["through"]) == 2, f"got {answer}")
    return f"ticket {answer.result['number']} through {len(answer.result['through'])} agents"


def writer_may_not_read(journey: Journey) -> str:
    """What was not handed over is refused."""
    answer = journey.story.read_beyond()
    _check(answer.status == 403 and "insufficient_scope" in answer.challenge, f"got {answer}")
    return "403 insufficient_scope"


def writer_may_not_act_alone(journey: Journey) -> str:
    """Without a person behind it the writer gets no permission that a role gives."""
    try:
        own = journey.story.writer.own_token(CREATE)
    except OAuthRefused as refused:
        return f"refused: {refused.error}"
    raise JourneyFailed(f"it got {own.scope}")


def nothing_upstream(journey: Journey) -> str:
    """No agent ever received a token of an identity provider, and no tool saw a token at all."""
    upstream = [*journey.world.providers.okta.issued, *journey.world.providers.entra.issued]
    for agent in (journey.story.planner, journey.story.writer):
        received = agent.recorder.received()
        _check(not any(token.encode() in received for token in upstream), f"{agent.name} got one")
    _check("authorization" not in journey.world.desk.seen_headers, "a tool saw the header")
    return f"{len(upstream)} upstream tokens, none of them at an agent"


def give_back(journey: Journey) -> str:
    """The planner needs its token no longer and revokes it itself (RFC 7009)."""
    journey.story.planner.revoke(journey.story.planner_token)
    answer = journey.story.list_tickets()
    _check(answer.status == 401, f"got {answer}")
    return "revoked by its own client, then 401"


def upstream_token_is_refused(journey: Journey) -> str:
    """A token of a provider is worth nothing at the MCP server, although its person is the same."""
    id_token = journey.world.providers.okta.issued[-1]
    answer = journey.story.planner.call_tool(id_token, "list_tickets")
    _check(answer.status == 401 and "invalid_token" in answer.challenge, f"got {answer}")
    return "an ID token of the provider gets 401"


def come_back(journey: Journey) -> str:
    """Maya allowed this before and it has not ended, so she goes through without a question."""
    page = journey.sign_in("okta", "maya")
    _check(page.url.startswith(journey.world.callback_url), f"arrived at {page.url} ({page.status})")
    journey.story.finish(page.query)
    return "what Maya allowed still holds"


def check_event_log(journey: Journey) -> str:
    """Everything so far is in the log, and its chain of hashes is unbroken."""
    report = journey.world.broker.event_log()
    _check(report.ok, f"fault: {report.fault}")
    return f"{report.events} events, unbroken"


def revoke(journey: Journey) -> str:
    """Maya opens her agents page and revokes the planner."""
    browser = journey.browser
    page = browser.open(f"{journey.world.tenant_url}/me/agents")
    after = browser.press(page, page.form_to(f"/{journey.world.agent_ids['planner']}"))
    _check(after.status == 200 and "revoked" in after.text, f"arrived at {after.url} ({after.status})")
    return "Maya revoked Planner"


def next_call_fails(journey: Journey) -> str:
    """What the planner handed on is over at once, although nobody revoked it by name."""
    answer = journey.story.create_ticket("Too late")
    _check(answer.status == 401 and "invalid_token" in answer.challenge, f"got {answer}")
    _check(journey.story.list_tickets().status == 401, "the planner may still read")
    return "401 invalid_token for Ticket writer and Planner"


def fewer_groups_less_scope(journey: Journey) -> str:
    """Omar's groups allow reading only, so that is all the planner gets for him."""
    journey.allow(journey.sign_in("okta", "omar"))
    scope = claims_of(journey.story.planner_token)["scope"]
    _check(scope == READ, f"scope {scope}")
    return f"Omar Haddad: {scope}"


def sign_in_by_guid_groups(journey: Journey) -> str:
    """Jonas comes from the Entra-like provider, whose groups are GUIDs."""
    journey.allow(journey.sign_in("entra", "jonas"))
    claims = claims_of(journey.story.planner_token)
    _check(set(claims["scope"].split()) == {READ, CREATE}, f"scope {claims['scope']}")
    return f"Jonas Weber: {claims['scope']}"


def sign_in_by_saml(journey: Journey) -> str:
    """Aiko comes from the Google-like SAML provider."""
    journey.allow(journey.sign_in("google", "aiko"))
    claims = claims_of(journey.story.planner_token)
    _check(set(claims["scope"].split()) == {READ, CREATE}, f"scope {claims['scope']}")
    answer = journey.story.list_tickets()
    _check(answer.is_allowed, f"got {answer}")
    return f"Aiko Tanaka: {claims['scope']}"


STEPS: tuple[tuple[str, Callable[[Journey], str]], ...] = (
    ("No token, no tool", refuse_without_token),
    ("The agent finds the broker by itself", find_broker),
    ("Sign in by OpenID Connect (Okta-like)", sign_in_by_oidc),
    ("Allow the agent", allow_planner),
    ("The token names person and agent", token_names_both),
    ("The agent calls a tool", planner_reads),
    ("It hands on less than it has", hand_over),
    ("The second agent calls a tool", writer_creates),
    ("... and not a tool beyond its scope", writer_may_not_read),
    ("An agent alone may not do what a person may", writer_may_not_act_alone),
    ("Fewer groups, less scope", fewer_groups_less_scope),
    ("Sign in with GUID groups (Entra-like)", sign_in_by_guid_groups),
    ("Sign in by SAML (Google-like)", sign_in_by_saml),
    ("The agent gives its token back", give_back),
    ("No agent ever held an upstream token", nothing_upstream),
    ("... and could not have used one", upstream_token_is_refused),
    ("Coming back, nobody is asked twice", come_back),
    ("Hand over again", hand_over),
    ("The event log is whole", check_event_log),
    ("Take it back", revoke),
    ("The next call fails", next_call_fails),
)


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise JourneyFailed(otherwise)


def _absolute(page: Page, link: str) -> str:
    return urljoin(page.url, link)
