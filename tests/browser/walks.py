"""The ways that several tests walk: from the demo console to a consent, and into the administration."""

from broker.demo.world import World
from tests.browser.visitor import Visitor


def start(visitor: Visitor, world: World) -> None:
    """Open the console and begin; ends at the choice of a sign-in."""
    visitor.open(world.console_url)
    visitor.press("Sign in")
    visitor.sees_heading("Sign in to Acme")


def choose(visitor: Visitor, provider: str) -> None:
    """Choose a provider; ends at its login page."""
    visitor.page.get_by_role("link", name=f"Continue with {provider}").click()
    visitor.sees("Pick who you are.")


def pick(visitor: Visitor, person: str) -> None:
    """Sign in at the provider as one of its people."""
    visitor.page.locator(f'button[name="person"][value="{person}"]').click()


def sign_in(visitor: Visitor, world: World, provider: str = "Okta-like", person: str = "maya") -> None:
    """From the console to the consent page."""
    start(visitor, world)
    choose(visitor, provider)
    pick(visitor, person)
    visitor.sees_heading("May Planner act for you?")


def allow(visitor: Visitor, world: World) -> None:
    """Allow what the consent page asks; ends at the console."""
    visitor.press("Allow")
    visitor.arrives_at(f"{world.console_url}/")
    visitor.sees("Planner may act for you.")


def use_agents(visitor: Visitor) -> None:
    """Let Planner read and Ticket writer create."""
    visitor.press("Let Planner read")
    visitor.sees("Planner read the tickets.")
    visitor.press("Hand over and create")
    visitor.sees("Ticket writer created a ticket for you.")


def enter_administration(visitor: Visitor, world: World) -> None:
    """Become administrator by the setup link."""
    assert visitor.open(world.setup_link) == 200
    visitor.press("Continue as administrator")
    visitor.arrives_at(f"{world.tenant_url}/admin")


def sign_in_to(visitor: Visitor, world: World, path: str, provider: str, person: str) -> None:
    """Open a page of the tenant that needs a sign-in, and sign in; ends at that page."""
    visitor.open(f"{world.tenant_url}{path}")
    choose(visitor, provider)
    pick(visitor, person)
    visitor.arrives_at(f"{world.tenant_url}{path}")
