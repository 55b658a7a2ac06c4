"""Registrations as clients send them, and what they do with the tokens that they get."""

from collections.abc import Mapping
from typing import Any

from werkzeug.test import TestResponse

from broker.agents.registration_tokens import make_token
from broker.agents.snapshot import load_agents
from tests.builders.onboarding import OnboardingDesk
from tests.builders.published_clients import policy

URI = "https://cli.example/callback"


def said(**changes: Any) -> dict[str, Any]:
    """What an MCP client of 2025 registers; None leaves a member out."""
    given = {
        "client_name": "Command line",
        "redirect_uris": [URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def register(
    desk: OnboardingDesk, body: Any = None, *, token: str = "", ip: str = "10.9.8.7"
) -> TestResponse:
    """POST a registration from an address of its own."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return desk.site.app.test_client().post(
        "/t/acme/register",
        json=said() if body is None else body,
        headers=headers,
        base_url=desk.site.base_url,
        environ_base={"REMOTE_ADDR": ip},
    )


def manage(
    desk: OnboardingDesk, method: str, told: Mapping[str, Any], body: Any = None, *, token: str | None = None
) -> TestResponse:
    """Send a request to a client's own address, with its token unless another is given."""
    bearer = told.get("registration_access_token", "") if token is None else token
    return desk.site.app.test_client().open(
        f"/t/acme/register/{told['client_id']}",
        method=method,
        json=body,
        headers={"Authorization": f"Bearer {bearer}"},
        base_url=desk.site.base_url,
    )


def initial_token(desk: OnboardingDesk, *, uses: int = 5, days: int = 7) -> str:
    """An initial access token of the tenant."""
    with desk.site.rt.database.write(desk.site.acme.id) as session:
        now = desk.site.world.now
        return make_token(session, desk.site.acme.id, name="CI", days=days, uses=uses, now=now)[1]


def opened(desk: OnboardingDesk, **changes: Any) -> OnboardingDesk:
    """Let anybody register, and nobody wait."""
    desk.set_policy(**policy(registration="open", registration_quarantine=False, **changes))
    return desk


def state_of(desk: OnboardingDesk, client_id: str) -> str:
    """The state of a client as requests see it."""
    return load_agents(desk.site.rt, desk.site.acme.id).clients[client_id].state
