"""A tenant whose clients introduce themselves, seen over HTTP by a browser and by the client."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from broker.agents.models import Client
from broker.kernel.versions import bump
from broker.tenants.models import Tenant
from tests.builders.consent_flow import answer
from tests.builders.oauth import CHALLENGE, VERIFIER
from tests.builders.published_clients import (
    CLIENT_ID,
    REDIRECT_URI,
    ProviderAndClients,
    policy,
)
from tests.builders.site import Browser, Site
from tests.builders.world import TICKETS


class OnboardingDesk:
    """The tenant of a site, and clients that only publish what they are."""

    def __init__(self, site: Site, op: ProviderAndClients) -> None:
        self.site, self.op, self.web = site, op, op.clients
        site.world.resource(site.acme)
        self.web.put()
        self.set_policy(**policy())

    def set_policy(self, **onboarding: Any) -> None:
        """Change the tenant's one setting."""
        with self.site.rt.database.unscoped(write=True) as session:
            session.execute(
                update(Tenant)
                .where(Tenant.id == self.site.acme.id)
                .values(settings={"onboarding": onboarding})
            )
            bump(session.connection(), self.site.acme.id)

    def asking(self, **changes: str) -> str:
        """The path of an authorization request."""
        request = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "scope": "tickets:read",
            "resource": TICKETS,
            "state": "s-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        return f"/t/acme/authorize?{urlencode(request)}"

    def question(self, browser: Browser, **changes: str) -> str:
        """Come to the consent page; returns its path."""
        begun = browser.get(self.asking(**changes))
        assert begun.status_code == 303, begun.text
        if "/sign-in" in begun.location:
            query = urlsplit(begun.location).query
            back = self.site.sign_in(
                browser, "maya", query=query, name="Maya Moss", email="maya@acme.example"
            )
            begun = browser.get(back.location)
        assert begun.location.startswith("/t/acme/consent/"), begun.headers
        return begun.location

    def code(self, browser: Browser, **changes: str) -> str:
        """Agree, and return the code that the client gets."""
        agreed = answer(browser, self.question(browser, **changes), "allow")
        onward = browser.get(agreed.headers["Refresh"].partition("; url=")[2])
        query = parse_qs(urlsplit(onward.location).query)
        assert onward.location.startswith(changes.get("redirect_uri", REDIRECT_URI)), onward.location
        assert query["iss"] == ["http://127.0.0.1:8080/t/acme"]
        return query["code"][0]

    def token(self, **params: str) -> TestResponse:
        """POST to the token endpoint as the public client unless told otherwise."""
        given = {"client_id": CLIENT_ID, **params}
        return self.site.app.test_client().post("/t/acme/token", data=given, base_url=self.site.base_url)

    def redeem(self, code: str, **changes: str) -> dict[str, Any]:
        """Redeem a code and return the answer."""
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
            **changes,
        }
        answered = self.token(**given)
        assert answered.status_code == 200, answered.text
        return dict(answered.json or {})

    def redeem_for(self, client_id: str, uri: str) -> dict[str, Any]:
        """Bring a public client from nothing to its tokens, with a new browser."""
        code = self.code(self.site.browser(), client_id=client_id, redirect_uri=uri)
        return self.redeem(code, client_id=client_id, redirect_uri=uri)

    def rows(self, model: Any) -> int:
        """How many rows of a table the tenant has."""
        with self.site.rt.database.read(self.site.acme.id) as session:
            return session.scalar(select(func.count()).select_from(model)) or 0

    def client(self) -> Client:
        """The client's row."""
        with self.site.rt.database.read(self.site.acme.id) as session:
            row = session.get(Client, (self.site.acme.id, CLIENT_ID))
            assert row is not None
            session.expunge(row)
            return row

    def later(self, seconds: int) -> None:
        """Let time pass."""
        self.site.world.clock.advance(seconds)
