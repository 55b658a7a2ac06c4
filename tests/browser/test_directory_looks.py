"""A tenant whose people sign in by password at a directory: set up by clicks, every page looked at."""

import pytest
from playwright.sync_api import Browser

from broker.demo.world import World
from tests.browser.gallery import Gallery
from tests.browser.visitor import Visitor, visiting
from tests.browser.walks import enter_administration
from tests.builders.ldap_server import LdapServer, authority, serving
from tests.builders.ldap_trees import BASE, READER, READER_PASSWORD, openldap

pytestmark = [pytest.mark.browser, pytest.mark.proof]


def connect(visitor: Visitor, world: World, server: LdapServer, gallery: Gallery) -> None:
    """Add the directory by the wizard, look at its pages and switch it on."""
    visitor.open(f"{world.tenant_url}/admin/connections/new")
    visitor.page.get_by_role("link", name="Every setting by hand by LDAP").click()
    visitor.page.locator('[name="name"]').fill("Corporate directory")
    visitor.page.locator('[name="slug"]').fill("corp")
    visitor.press("Continue")
    visitor.page.locator("details.more-fields summary").click()
    settings = {
        "urls": f"ldaps://localhost:{server.port}",
        "base_dn": BASE,
        "bind_dn": READER,
        "bind_password": READER_PASSWORD,
        "ca_certificates": authority().certificate,
    }
    for name, value in settings.items():
        visitor.page.locator(f'[name="set-{name}"]').fill(value)
    gallery.take("admin-directory-set-up")
    visitor.press("Save, switched off")
    visitor.sees("The connection was saved, switched off.")
    visitor.press("Enable")
    visitor.page.get_by_role("dialog").get_by_role("button", name="Enable").click()
    visitor.sees("The connection was enabled.")
    gallery.take("admin-directory-connection")


def test_a_directory_from_the_wizard_to_a_password(
    new_world: World, chromium: Browser, visitor: Visitor, gallery: Gallery
) -> None:
    tree = openldap(ada="ada-password")
    with serving(tree, authority().issue("localhost")) as server:
        enter_administration(visitor, new_world)
        connect(visitor, new_world, server, gallery)
        with visiting(chromium) as ada:
            pages = Gallery(ada)
            ada.open(f"{new_world.tenant_url}/me/agents")
            pages.take("sign-in-with-a-directory")
            ada.page.get_by_role("link", name="Continue with Corporate directory").click()
            pages.take("sign-in-password")
            ada.page.get_by_label("User name").fill("ada")
            ada.page.get_by_label("Password").fill("not-it")
            ada.page.get_by_role("button", name="Sign in", exact=True).click()
            pages.take("sign-in-password-wrong", status=400)
            assert ada.page.get_by_label("User name").input_value() == "ada"
            ada.page.get_by_label("Password").fill("ada-password")
            ada.page.get_by_role("button", name="Sign in", exact=True).click()
            ada.arrives_at(f"{new_world.tenant_url}/me/agents")
            assert not pages.problems, "\n".join(pages.problems)
        visitor.page.reload()
        # A certificate is told by whose it is, and the wrong password in words for a directory.
        visitor.sees("CN=directory CA, until")
        visitor.sees("The directory did not accept user name and password")
        gallery.take("admin-directory-signed-in")
        visitor.follow("Progress of the directory")
        visitor.press("Read the directory now")
        gallery.take("admin-directory-walk")
