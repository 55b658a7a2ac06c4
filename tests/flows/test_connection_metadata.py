"""Unsigned changes of a provider's metadata: shown beside what is in force, taken or refused by a person."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from broker.app import build_app
from broker.federation.metadata_refresh import REFRESH_SECONDS, refresh_metadata
from broker.tenants.snapshot import ConnectionView
from idp_connectors.registry import CONNECTORS
from idp_connectors.saml.config import SamlConfig
from tests.builders.followed_metadata import URL, Fetching, Publication, certificate
from tests.builders.office import Office, submit
from tests.builders.saml_idp import SamlIdentityProvider
from tests.builders.site import Browser

HOME = "/t/acme/admin/connections"
WARNING = "The provider&#39;s metadata changed, and nobody we trust signed it."


@dataclass
class Followed:
    """A tenant whose provider publishes metadata that nobody signed."""

    office: Office
    provider: Publication = field(default_factory=lambda: Publication(signed_by=""))

    def __post_init__(self) -> None:
        office = self.office
        egress: Any = Fetching(self.provider)
        office.rt = replace(office.rt, egress=egress)
        office.app = build_app(office.rt, CONNECTORS)
        given = SamlIdentityProvider().config(metadata_url=URL)
        config = SamlConfig.model_validate(given).model_dump(mode="json")
        self.connection = office.world.connection(office.tenant, "corp", kind="saml", config=config)
        self.page = f"{HOME}/{self.connection.id}/metadata"

    def read_again(self) -> None:
        self.office.world.clock.advance(REFRESH_SECONDS)
        refresh_metadata(self.office.rt, CONNECTORS)

    def now(self) -> ConnectionView:
        return self.office.world.again(self.office.tenant).connections[self.connection.id]

    def decide(self, admin: Browser, action: str) -> TestResponse:
        stamp = admin.get(self.page).text.partition('name="stamp" value="')[2].partition('"')[0]
        return submit(admin, self.page, self.page, action=action, stamp=stamp)


@pytest.fixture
def followed(office: Office) -> Followed:
    return Followed(office)


def test_what_is_offered_is_compared_and_taken_over(followed: Followed) -> None:
    followed.provider.keys = ("idp", "idp-next")
    followed.provider.sso_url = "https://idp.example/sso2"
    followed.read_again()
    assert followed.now().config["certificates"] == [certificate("idp")]
    admin = followed.office.admin()
    assert WARNING in admin.get(f"{HOME}/{followed.connection.id}").text
    page = admin.get(followed.page).text
    assert page.count("Offered, not trusted") == 1
    assert "https://idp.example/sso2" in page

    answer = followed.decide(admin, "take")
    assert "Changed: certificates and sso url." in admin.get(answer.location).text
    assert followed.now().config["certificates"] == [certificate("idp"), certificate("idp-next")]
    assert followed.now().config["sso_url"] == "https://idp.example/sso2"
    assert WARNING not in admin.get(f"{HOME}/{followed.connection.id}").text
    event = followed.office.events("connection.metadata_taken")[-1]
    assert ((event.actor or {})["kind"], event.data["fields"]) == ("admin", ["certificates", "sso_url"])
    assert len(event.data["certificates_came"]) == 1


def test_what_was_refused_warns_again_only_when_something_else_is_offered(followed: Followed) -> None:
    followed.provider.keys = ("idp-next",)
    followed.read_again()
    admin = followed.office.admin()
    assert followed.decide(admin, "refuse").status_code == 303
    followed.read_again()
    admin = followed.office.admin()
    assert WARNING not in admin.get(f"{HOME}/{followed.connection.id}").text
    assert "You refused this." in admin.get(followed.page).text
    assert followed.now().config["certificates"] == [certificate("idp")]
    event = followed.office.events("connection.metadata_refused")[-1]
    assert ((event.actor or {})["kind"], event.reason) == ("admin", "refused_by_administrator")

    followed.provider.keys = ("idp-later",)
    followed.read_again()
    assert WARNING in followed.office.admin().get(f"{HOME}/{followed.connection.id}").text


def test_nobody_takes_over_what_they_did_not_see(followed: Followed) -> None:
    followed.provider.keys = ("idp", "idp-next")
    followed.read_again()
    admin = followed.office.admin()
    stamp = admin.get(followed.page).text.partition('name="stamp" value="')[2].partition('"')[0]
    followed.provider.keys = ("idp", "idp-evil")
    submit(admin, followed.page, followed.page, action="read")

    late = submit(admin, followed.page, followed.page, action="take", stamp=stamp)
    assert (late.status_code, "offers something else by now" in late.text) == (400, True)
    assert followed.now().config["certificates"] == [certificate("idp")]
    assert followed.office.events("connection.metadata_taken") == []
    assert followed.decide(admin, "take").status_code == 303
    assert certificate("idp-evil") in followed.now().config["certificates"]


def test_reading_now_says_how_it_went(followed: Followed) -> None:
    admin = followed.office.admin()
    followed.provider.is_away = True
    answer = submit(admin, followed.page, followed.page, action="read")
    assert "The address did not answer" in admin.get(answer.location).text
    followed.provider.is_away = False
    answer = submit(admin, followed.page, followed.page, action="read")
    assert "The last reading changed nothing." not in admin.get(answer.location).text
    assert submit(admin, followed.page, followed.page, action="burn").status_code == 400


def test_without_an_address_the_page_leads_to_one(office: Office) -> None:
    config = SamlConfig.model_validate(SamlIdentityProvider().config()).model_dump(mode="json")
    corp = office.world.connection(office.tenant, "corp", kind="saml", config=config)
    admin = office.admin()
    assert "No metadata is followed" in admin.get(f"{HOME}/{corp.id}/metadata").text
    assert admin.get(f"{HOME}/{office.scene.okta.id}/metadata").status_code == 404
