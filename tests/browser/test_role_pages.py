"""Groups → roles of a person and a rule that is tried first, in light and dark, on a phone and a desktop."""

import pytest
from playwright.sync_api import Browser

from broker.demo.journey import Journey
from broker.demo.person_browser import PersonBrowser
from broker.demo.world import World
from tests.browser.gallery import Gallery
from tests.browser.visitor import Visitor, visiting
from tests.browser.walks import enter_administration

pytestmark = pytest.mark.browser

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2


def let_in(world: World) -> None:
    """Some people sign in, Maya with groups that no rule names."""
    maya = world.providers.okta.people["maya"]
    maya.groups = [*maya.groups, LONG, *(f"club-{number}" for number in range(30))]
    journey = Journey(world, PersonBrowser())
    for connection, person in (("okta", "maya"), ("okta", "omar"), ("entra", "sofia"), ("entra", "tomek")):
        journey.sign_in(connection, person)
    journey.browser.close()


@pytest.mark.proof
def test_groups_are_followed_by_clicks_and_a_rule_is_tried(
    new_world: World, visitor: Visitor, gallery: Gallery
) -> None:
    tenant = new_world.tenant_url
    enter_administration(visitor, new_world)
    visitor.open(f"{tenant}/admin/roles/preview")
    gallery.take("admin-role-preview-nobody")
    let_in(new_world)
    visitor.open(f"{tenant}/admin/roles")
    visitor.follow("Follow a person")
    gallery.take("admin-role-preview-choice")
    visitor.follow("Maya Lindqvist")
    visitor.sees_heading("Groups → roles of Maya Lindqvist")
    gallery.take("admin-role-preview")
    visitor.follow("Add a rule for club-7")
    gallery.take("admin-rule-new")
    visitor.page.get_by_label("Gives the role").select_option("support.reader")
    visitor.press("Try it")
    visitor.sees("1 person gains a role")
    gallery.take("admin-rule-tried")
    visitor.press("Save the rule")
    visitor.sees("The rule was made.")

    visitor.open(f"{tenant}/admin/people")
    visitor.follow("Tomek Zając")
    visitor.follow("Groups → roles")
    gallery.take("admin-role-preview-incomplete")


def test_all_of_it_works_without_scripts(new_world: World, chromium: Browser) -> None:
    let_in(new_world)
    with visiting(chromium, has_scripts=False, size=(360, 640)) as phone:
        enter_administration(phone, new_world)
        phone.open(f"{new_world.tenant_url}/admin/roles/preview?q=Maya")
        phone.follow("Maya Lindqvist")
        phone.follow("Add a rule for club-7")
        phone.press("Try it")
        phone.sees("1 person gains a role")
        phone.press("Save the rule")
        phone.sees("The rule was made.")
