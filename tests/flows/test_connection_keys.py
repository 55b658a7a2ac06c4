"""Our own keys towards a SAML provider, changed in the browser: published, used, dropped."""

import pytest

from broker.federation import service_keys
from broker.federation.service_keys import CERTIFICATE_SECONDS, OVERLAP_SECONDS, get_service_keys
from broker.tenants.snapshot import ConnectionView
from idp_connectors.saml.config import SamlConfig
from tests.builders.oauth import Scene
from tests.builders.office import Office, submit
from tests.builders.saml_idp import SamlIdentityProvider

HOME = "/t/acme/admin/connections"


@pytest.fixture
def corp(office: Office, monkeypatch: pytest.MonkeyPatch) -> ConnectionView:
    # The rules are the same for keys that are found faster.
    monkeypatch.setattr(service_keys, "RSA_BITS", 2048)
    config = SamlConfig.model_validate(SamlIdentityProvider().config()).model_dump(mode="json")
    return office.world.connection(office.tenant, "corp", kind="saml", config=config)


def published(office: Office, corp: ConnectionView) -> int:
    office.world.again(office.tenant)
    return len(get_service_keys(office.rt, office.tenant.id, corp.id, office.world.now).published_signing)


def test_keys_change_in_three_steps_each_written_down(office: Office, corp: ConnectionView) -> None:
    admin, page = office.admin(), f"{HOME}/{corp.id}/keys"
    assert "There are none yet." in admin.get(page).text
    submit(admin, page, page, action="publish")
    assert published(office, corp) == 1

    answer = submit(admin, page, page, action="publish")
    assert "The next keys are published." in admin.get(answer.location).text
    assert published(office, corp) == 2
    shown = admin.get(page).text
    assert shown.count("Published, not used yet") == 2
    assert "The provider has the next signing certificate" in shown

    office.world.clock.advance(OVERLAP_SECONDS)
    admin = office.admin()
    assert "The provider has the next signing certificate" not in admin.get(page).text
    submit(admin, page, page, action="use")
    assert published(office, corp) == 1
    assert "Drop the former keys?" in admin.get(page).text
    submit(admin, page, page, action="drop")
    assert "Drop the former keys?" not in admin.get(page).text

    events = office.events("connection.keys_changed")
    assert [(event.reason, event.target_id) for event in events] == [
        (step, corp.id) for step in ("publish", "publish", "use", "drop")
    ]
    assert {(event.actor or {})["kind"] for event in events} == {"admin"}


def test_next_keys_are_used_at_once_only_by_somebody_who_brought_them(
    office: Office, corp: ConnectionView
) -> None:
    admin, page = office.admin(), f"{HOME}/{corp.id}/keys"
    submit(admin, page, page, action="publish")
    submit(admin, page, page, action="publish")
    refused = submit(admin, page, page, action="use")
    assert (refused.status_code, "less than a day" in refused.text) == (400, True)
    assert published(office, corp) == 2
    assert submit(admin, page, page, action="use", brought="on").status_code == 303
    assert published(office, corp) == 1
    assert office.events("connection.keys_changed")[-1].data["at_once"] is True


def test_certificates_are_files_and_private_keys_are_nowhere(office: Office, corp: ConnectionView) -> None:
    admin, page = office.admin(), f"{HOME}/{corp.id}/keys"
    submit(admin, page, page, action="publish")
    keys = get_service_keys(office.rt, office.tenant.id, corp.id, office.world.now)
    answer = admin.get(f"{page}/certificate?use=signing&number=1")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="acme-corp-signing-1.pem"'
    assert "".join(answer.text.splitlines()[1:-1]) == keys.signing.certificate
    assert admin.get(f"{page}/certificate").text == answer.text
    assert "PRIVATE" not in answer.text + admin.get(page).text
    for wrong in ("use=signing&number=2", "use=secret", "use=signing&number=1%00"):
        assert admin.get(f"{page}/certificate?{wrong}").status_code == 404, wrong


def test_a_certificate_that_ends_leads_to_the_page(office: Office, corp: ConnectionView) -> None:
    admin = office.admin()
    submit(admin, f"{HOME}/{corp.id}/keys", f"{HOME}/{corp.id}/keys", action="publish")
    office.world.clock.advance(CERTIFICATE_SECONDS - 86_400)
    page = office.admin().get(f"{HOME}/{corp.id}").text
    assert "Our own certificate towards this provider ends soon." in page
    assert f'href="{HOME}/{corp.id}/keys">Our keys</a>' in page


@pytest.mark.parametrize("path", ["keys", "keys/certificate?use=signing&number=1", "metadata"])
def test_T01_keys_and_metadata_of_another_tenant_are_not_there(
    office: Office, corp: ConnectionView, path: str
) -> None:
    beta = Scene(office.world, slug="beta")
    config = dict(corp.config)
    theirs = office.world.connection(beta.tenant, "corp", kind="saml", config=config)
    get_service_keys(office.rt, beta.tenant.id, theirs.id, office.world.now)
    get_service_keys(office.rt, office.tenant.id, corp.id, office.world.now)
    admin = office.admin()
    foreign, own = (admin.get(f"{HOME}/{one.id}/{path}").status_code for one in (theirs, corp))
    assert (foreign, own) == (404, 200)
    assert office.person().get(f"{HOME}/{corp.id}/{path}").status_code == 403


def test_what_has_no_keys_has_no_page(office: Office) -> None:
    assert office.admin().get(f"{HOME}/{office.scene.okta.id}/keys").status_code == 404
