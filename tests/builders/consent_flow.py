"""An agent's request on its way through sign-in and consent, as a browser sees it."""

from urllib.parse import parse_qs, urlencode, urlsplit

from werkzeug.test import TestResponse

from broker.approvals.consents import ConsentView, list_consents
from tests.builders.oauth import CHALLENGE, REDIRECT_URI
from tests.builders.site import Browser, Site, form_token
from tests.builders.world import TICKETS


def add_agent(site: Site) -> Site:
    """Give a site a ticket service and an agent ``Writer`` that may read, write and delete tickets."""
    world = site.world
    world.role(site.acme, "deleter", ["tickets:delete"])
    world.resource(site.acme)
    other = world.agent(site.acme, "proofreader", name="Proofreader")
    writer = world.agent(
        site.acme,
        "writer",
        scopes=["tickets:read", "tickets:write", "tickets:delete"],
        delegable_to=[other.slug],
    )
    world.client(
        site.acme, agent=writer, scopes=["openid", "tickets:read", "tickets:write", "tickets:delete"]
    )
    return site


def asking(**changes: str) -> str:
    """The path of the agent's authorization request."""
    request = {
        "response_type": "code",
        "client_id": "cli_writer",
        "redirect_uri": REDIRECT_URI,
        "scope": "tickets:read tickets:delete",
        "resource": TICKETS,
        "state": "s-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    return f"/t/acme/authorize?{urlencode(request)}"


def come_to_the_question(site: Site, browser: Browser, sub: str = "maya", **changes: str) -> str:
    """Begin, sign in, and return the path of the consent page."""
    begun = browser.get(asking(**changes))
    assert begun.location.startswith("/t/acme/sign-in?resume="), begun.text
    query = urlsplit(begun.location).query
    back = site.sign_in(browser, sub, query=query, name="Maya Moss", email="maya@acme.example")
    assert back.location == f"/t/acme/authorize?{query}"
    onward = browser.get(back.location)
    assert onward.location.startswith("/t/acme/consent/"), onward.headers
    return onward.location


def answer(browser: Browser, path: str, decision: str, duration: str = "3600") -> TestResponse:
    """Answer the question as its form does."""
    token = form_token(browser.get(path))
    return browser.post(path, {"csrf_token": token, "decision": decision, "duration": duration})


def answer_of(response: TestResponse) -> dict[str, str]:
    """The parameters that the agent gets back."""
    assert response.status_code == 303, response.text
    assert response.location.startswith(REDIRECT_URI)
    return {name: values[0] for name, values in parse_qs(urlsplit(response.location).query).items()}


def consents(site: Site) -> tuple[ConsentView, ...]:
    """The consents of whoever signed in last."""
    with site.rt.database.read(site.acme.id) as session:
        user_id = site.events("sign_in.succeeded")[-1].subject_id
        return list_consents(session, site.acme.id, user_id)
