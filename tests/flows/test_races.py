"""Two worker processes, two hundred callers with the same code, refresh token or SAML response: one wins."""

import base64
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select

from broker.audit.models import AuditRecord
from broker.tokens.models import BrowserSession, Grant, IssuedToken, RefreshToken
from idp_connectors.base import Begun
from tests.builders.crowd import Reply, send, send_together
from tests.builders.oauth import REDIRECT_URI, VERIFIER, Scene
from tests.builders.saml_idp import SamlIdentityProvider
from tests.builders.served_world import open_served_world
from tests.builders.server import Server, free_port, running_broker
from tests.builders.world import SECRET

pytestmark = pytest.mark.proof

CALLERS = 200
MAX_SECONDS = 30
BASIC = {"Authorization": "Basic " + base64.b64encode(f"cli_a:{SECRET}".encode()).decode()}


@dataclass
class Race:
    """The scene, served by two processes, and the SAML provider of its connection ``adfs``."""

    scene: Scene
    server: Server
    saml: SamlIdentityProvider

    def redeem(self, **form: str) -> list[Reply]:
        """Have every caller send the same token request as client A."""
        started = time.monotonic()
        replies = send_together(self.server, CALLERS, "POST", "/t/acme/token", form=form, headers=BASIC)
        assert time.monotonic() - started < MAX_SECONDS
        return replies

    def count(self, what: object, *conditions: object) -> int:
        """How many rows of the tenant there are."""
        with self.scene.world.rt.database.read(self.scene.tenant.id) as session:
            return session.scalar(select(func.count()).select_from(what).where(*conditions)) or 0

    def processes(self, event: str) -> int:
        """How many processes wrote events of this kind."""
        with self.scene.world.rt.database.read(self.scene.tenant.id) as session:
            found = session.scalars(select(AuditRecord.writer).where(AuditRecord.event == event))
            return len(set(found))


@pytest.fixture
def race(empty_database_url: str, tmp_path: Path) -> Iterator[Race]:
    port = free_port()
    with open_served_world(empty_database_url, tmp_path, port) as world:
        scene, saml = Scene(world), SamlIdentityProvider(now=world.now)
        config = {**saml.config(), "subject": "nameid-any-format"}
        world.connection(scene.tenant, "adfs", kind="saml", config=config)
        with running_broker(empty_database_url, tmp_path / "data", port=port, workers=2) as server:
            yield Race(scene, server, saml)


def outcomes(replies: list[Reply]) -> Counter[str]:
    """How often each OAuth error was answered; "" is success."""
    return Counter(json.loads(reply.body).get("error", "") for reply in replies)


def test_one_code_is_redeemed_once(race: Race) -> None:
    form = {"redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER, "grant_type": "authorization_code"}
    replies = race.redeem(code=race.scene.code(), **form)

    assert outcomes(replies) == {"": 1, "invalid_grant": CALLERS - 1}
    assert race.processes("code.reused") == 2
    assert race.count(IssuedToken) == race.count(RefreshToken) == 1
    # Nobody can tell whether the first was the thief: what it got ended with the second redemption.
    assert race.count(IssuedToken, IssuedToken.ended_at.is_(None)) == 0
    assert race.count(Grant, Grant.ended_at.is_(None)) == 0


def test_one_refresh_token_is_used_once(race: Race) -> None:
    first = race.scene.redeem(race.scene.code()).json
    replies = race.redeem(grant_type="refresh_token", refresh_token=first["refresh_token"])

    assert outcomes(replies) == {"": 1, "invalid_grant": CALLERS - 1}
    assert race.processes("refresh.reused") == 2
    assert race.count(IssuedToken) == race.count(RefreshToken) == 2
    assert race.count(IssuedToken, IssuedToken.ended_at.is_(None)) == 0
    assert race.count(Grant, Grant.ended_at.is_(None)) == 0


def test_one_saml_response_signs_in_once(race: Race) -> None:
    begun = send(race.server, "GET", "/t/acme/sign-in/adfs")
    assert begun.status == 303
    cookie = {"Cookie": begun.headers["Set-Cookie"].partition(";")[0]}
    response = race.saml.sign_in(Begun(begun.headers["Location"], {}), name_id="maya")

    started = time.monotonic()
    posted = post_together(race, response.form)
    (won,) = [reply for reply in posted if reply.status == 303]
    onward = urlsplit(won.headers["Location"]).path
    came_back = send_together(race.server, CALLERS, "GET", onward, headers=cookie)
    assert time.monotonic() - started < MAX_SECONDS

    (signed_in,) = [reply for reply in came_back if reply.status == 303]
    assert signed_in.headers["Location"] == "/t/acme/me/agents"
    assert {reply.status for reply in (*posted, *came_back)} == {303, 400}
    assert race.processes("sign_in.refused") == 2
    assert race.count(BrowserSession, BrowserSession.connection_id != race.scene.okta.id) == 1


def post_together(race: Race, form: Mapping[str, str]) -> list[Reply]:
    """Have every caller bring the same response, as the provider's page would."""
    headers = {"Origin": "https://idp.example", "Sec-Fetch-Site": "cross-site"}
    return send_together(race.server, CALLERS, "POST", "/t/acme/saml/adfs/acs", form=form, headers=headers)
